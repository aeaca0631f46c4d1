//! HTTP listeners survive strangers: too many, silent, slow, and not speaking the protocol.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo, routing::get as route};
use ops::{
    metrics::Registry,
    shutdown::Shutdown,
    tls::{Certificate, authority, web_config},
    web::{self, Limits},
};
use prometheus::IntCounterVec;
use proto::proxied;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

struct Server {
    address: SocketAddr,
    refused: IntCounterVec,
    shutdown: Shutdown,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn start(limits: Limits, tls: bool) -> Self {
        let refused = Registry::new("t").declare("t_refused_total", "Refused.", &["reason"], &[]).unwrap();
        let limits = Limits { refused: Some(IntCounterVec::clone(&refused)), ..limits };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let app = Router::new()
            .route("/who", route(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() }));
        let task = if tls {
            let files = authority().unwrap().issue(&["localhost"]).unwrap();
            let certificate = Certificate::from_pem(files.cert_pem.as_bytes(), files.key_pem.as_bytes()).unwrap();
            let tls = web_config(Arc::new(certificate)).unwrap();
            tokio::spawn(web::serve_tls(listener, tls, app, limits, shutdown.clone()))
        } else {
            tokio::spawn(web::serve_plain(listener, app, limits, shutdown.clone()))
        };
        Self { address, refused, shutdown, task }
    }

    fn refused(&self, reason: &str) -> u64 {
        self.refused.with_label_values(&[reason]).get()
    }
}

/// One request on a connection of its own; the whole answer as text.
pub(crate) async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Everything until the other side ends the connection, well or badly.
async fn until_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(len @ 1..) = stream.read(&mut buffer).await {
        bytes.extend_from_slice(&buffer[..len]);
    }
    bytes
}

#[tokio::test]
async fn a_handler_learns_who_asks() {
    let server = Server::start(Limits::public(), false).await;

    assert!(get(server.address, "/who").await.ends_with("\r\n\r\n127.0.0.1"));
}

#[tokio::test]
async fn a_load_balancer_that_is_listed_says_who_asks_and_must() {
    let listed = || ["127.0.0.0/8".parse().unwrap()].into_iter().collect();
    let server = Server::start(Limits { proxy_from: listed(), ..Limits::public() }, false).await;
    let request = b"GET /who HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let header = proxied::header("192.0.2.7:40000".parse().unwrap(), "198.51.100.1:443".parse().unwrap());

    let mut balancer = TcpStream::connect(server.address).await.unwrap();
    balancer.write_all(&[header.as_slice(), request.as_slice()].concat()).await.unwrap();
    let answer = until_end(&mut balancer).await;
    assert!(answer.ends_with(b"\r\n\r\n192.0.2.7"), "{}", String::from_utf8_lossy(&answer));

    let mut silent = TcpStream::connect(server.address).await.unwrap();
    silent.write_all(request).await.unwrap();
    assert!(until_end(&mut silent).await.is_empty());
    assert_eq!(server.refused("handshake"), 1);
}

#[tokio::test]
async fn nobody_else_can_say_so() {
    let elsewhere = ["192.0.2.0/24".parse().unwrap()].into_iter().collect();
    let server = Server::start(Limits { proxy_from: elsewhere, ..Limits::public() }, false).await;

    let mut stranger = TcpStream::connect(server.address).await.unwrap();
    let header = proxied::header("10.0.0.1:1".parse().unwrap(), "198.51.100.1:443".parse().unwrap());
    stranger.write_all(&[header.as_slice(), b"GET /who HTTP/1.1\r\nhost: a\r\n\r\n"].concat()).await.unwrap();

    let answer = String::from_utf8_lossy(&until_end(&mut stranger).await).into_owned();
    assert!(!answer.contains("200 OK"), "{answer}");
}

#[tokio::test]
async fn a_connection_too_many_is_closed_and_counted_and_places_come_back() {
    let server = Server::start(Limits { connections: 1, ..Limits::public() }, false).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(b"GET /who HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = [0; 15];
    first.read_exact(&mut answer).await.unwrap();

    let mut second = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(until_end(&mut second).await, b"");
    assert_eq!(server.refused("full"), 1);

    first.shutdown().await.unwrap();
    until_end(&mut first).await;
    assert!(get(server.address, "/who").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_silent_connection_is_ended() {
    let limits = Limits { idle: Duration::from_millis(20), head: Duration::from_mins(1), ..Limits::public() };
    let server = Server::start(limits, false).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();

    assert_eq!(until_end(&mut silent).await, b"");
    assert_eq!(server.refused("idle"), 1);
}

#[tokio::test]
async fn a_request_that_never_ends_its_head_is_ended() {
    let server = Server::start(Limits { head: Duration::from_millis(20), ..Limits::public() }, false).await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"GET /who HTTP/1.1\r\nhost: local").await.unwrap();

    let answer = until_end(&mut slow).await;

    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"));
}

#[tokio::test]
async fn bytes_that_are_not_tls_are_refused_and_counted() {
    let server = Server::start(Limits::public(), true).await;
    let mut stranger = TcpStream::connect(server.address).await.unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();

    until_end(&mut stranger).await;

    assert_eq!(server.refused("handshake"), 1);
}

#[tokio::test]
async fn a_handshake_that_never_comes_is_refused_and_counted() {
    let server = Server::start(Limits { handshake: Duration::from_millis(20), ..Limits::public() }, true).await;
    let mut stranger = TcpStream::connect(server.address).await.unwrap();

    until_end(&mut stranger).await;

    assert_eq!(server.refused("handshake"), 1);
}

#[tokio::test]
async fn draining_ends_listening_and_then_the_server() {
    let server = Server::start(Limits::public(), false).await;
    assert!(get(server.address, "/who").await.starts_with("HTTP/1.1 200"));

    server.shutdown.drain();

    server.task.await.unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn forcing_ends_open_connections_at_once() {
    let server = Server::start(Limits::public(), false).await;
    let mut open = TcpStream::connect(server.address).await.unwrap();
    open.write_all(b"GET /who HTTP/1.1\r\n").await.unwrap();

    server.shutdown.force();

    server.task.await.unwrap().unwrap();
    assert_eq!(until_end(&mut open).await, b"");
}
