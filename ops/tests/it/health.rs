//! The private listener says the truth about the server.

use ops::{metrics::Registry, private, private::Readiness, shutdown::Shutdown};
use tokio::net::TcpListener;

use crate::listeners::get;

#[tokio::test]
async fn metrics_and_life_are_answered() {
    let registry = Registry::new("test");
    registry.build_info("9.8.7").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(private::serve(listener, registry, Readiness::new(), Shutdown::new()));

    let metrics = get(address, "/metrics").await;
    assert!(metrics.starts_with("HTTP/1.1 200 OK"), "{metrics}");
    assert!(metrics.contains("test_build_info{version=\"9.8.7\"} 1"), "{metrics}");
    assert!(get(address, "/livez").await.ends_with("live\n"));
    assert!(get(address, "/readyz").await.ends_with("ready\n"));
    assert!(get(address, "/secret").await.starts_with("HTTP/1.1 404"));
    server.abort();
}

#[tokio::test]
async fn a_missing_condition_and_draining_mean_not_ready() {
    let mut readiness = Readiness::new();
    let database = readiness.condition("database");
    let shutdown = Shutdown::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(private::serve(listener, Registry::new("test"), readiness, shutdown.clone()));

    assert!(get(address, "/readyz").await.ends_with("not ready: database\n"));
    assert!(get(address, "/metrics").await.contains("\ntest_ready 0\n"));
    database.set(true);
    assert!(get(address, "/readyz").await.ends_with("\r\n\r\nready\n"));
    assert!(get(address, "/metrics").await.contains("\ntest_ready 1\n"));
    shutdown.drain();
    let draining = get(address, "/readyz").await;
    assert!(draining.starts_with("HTTP/1.1 503"), "{draining}");
    assert!(draining.ends_with("not ready: draining\n"), "{draining}");
    assert!(get(address, "/metrics").await.contains("\ntest_ready 0\n"));

    shutdown.force();
    server.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_comes_first_is_named_alone_until_it_is_done() {
    let (mut readiness, opened) = Readiness::after("the store is being opened");
    let database = readiness.condition("database");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(private::serve(listener, Registry::new("test"), readiness, Shutdown::new()));

    let opening = get(address, "/readyz").await;
    assert!(opening.starts_with("HTTP/1.1 503"), "{opening}");
    assert!(opening.ends_with("\r\n\r\nnot ready: the store is being opened\n"), "{opening}");
    assert!(get(address, "/livez").await.ends_with("live\n"));
    opened.set(true);
    assert!(get(address, "/readyz").await.ends_with("not ready: database\n"));
    database.set(true);
    assert!(get(address, "/readyz").await.ends_with("\r\n\r\nready\n"));
    server.abort();
}
