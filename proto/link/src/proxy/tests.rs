//! A small proxy that behaves in every way that proxies do.

use std::net::SocketAddr;

use tokio::{net::TcpListener, task::JoinHandle};

use super::*;
use crate::api::{ApiError, ManagerApi};

/// A proxy that hears one request, says `answer`, and gives the request.
async fn proxy_that_says(answer: Vec<u8>) -> (SocketAddr, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let proxy = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(END) {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
        }
        // One who has heard enough may be gone.
        drop(stream.write_all(&answer).await);
        drop(stream.read_to_end(&mut Vec::new()).await);
        request
    });
    (address, proxy)
}

/// The way to a relay, through a proxy at `address` with these credentials.
fn via(address: SocketAddr, credentials: &str) -> Via {
    let proxies: Proxies = format!("http://{credentials}{address}").parse().unwrap();
    proxies.on_the_way_to("relay.example.jp", 443).unwrap()
}

async fn answered(answer: impl Into<Vec<u8>>) -> Result<(), ProxyError> {
    let (address, _proxy) = proxy_that_says(answer.into()).await;
    via(address, "").connect("relay.example.jp", 443).await.map(drop)
}

#[tokio::test]
async fn it_asks_for_the_relay_by_name_with_the_credentials_of_the_url() {
    let (address, proxy) = proxy_that_says(b"HTTP/1.1 200 Connection established\r\n\r\n".to_vec()).await;

    let stream = via(address, "us%40er:pass%3Aword@").connect("relay.example.jp", 443).await.unwrap();
    drop(stream);

    let request = String::from_utf8(proxy.await.unwrap()).unwrap();
    assert!(
        request.starts_with("CONNECT relay.example.jp:443 HTTP/1.1\r\nHost: relay.example.jp:443\r\n"),
        "{request}"
    );
    // Basic of "us@er:pass:word".
    assert!(request.contains("\r\nProxy-Authorization: Basic dXNAZXI6cGFzczp3b3Jk\r\n"), "{request}");
}

#[tokio::test]
async fn without_credentials_none_are_sent() {
    let (address, proxy) = proxy_that_says(b"HTTP/1.0 200 OK\r\nVia: 1.0 old\r\n\r\n".to_vec()).await;

    drop(via(address, "").connect("2001:db8::1", 443).await.unwrap());

    let request = String::from_utf8(proxy.await.unwrap()).unwrap();
    assert!(request.starts_with("CONNECT [2001:db8::1]:443 HTTP/1.1\r\n"), "{request}");
    assert!(!request.contains("Authorization"), "{request}");
}

#[tokio::test]
async fn every_answer_has_its_error() {
    let sign_in = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n<html>";
    assert_eq!(answered(sign_in).await, Err(ProxyError::SignIn));
    assert_eq!(answered("HTTP/1.1 403 Forbidden\r\n\r\n").await, Err(ProxyError::Refused));
    assert_eq!(answered("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad").await, Err(ProxyError::Refused));
    assert_eq!(answered("HTTP/1.1 200 OK\r\n\r\nand more").await, Err(ProxyError::NotUnderstood));
    assert_eq!(answered("SSH-2.0-OpenSSH_9.2\r\n\r\n").await, Err(ProxyError::NotUnderstood));
    assert_eq!(answered("HTTP/1.1 2000 OK\r\n\r\n").await, Err(ProxyError::NotUnderstood));
    assert_eq!(answered("HTTP/2 200\r\n\r\n").await, Err(ProxyError::NotUnderstood));
}

#[tokio::test(start_paused = true)]
async fn one_that_drips_or_says_nothing_ends_at_its_deadline() {
    let begun = tokio::time::Instant::now();
    let (mut stream, mut proxy) = tokio::io::duplex(4096);
    let drips = async {
        for byte in b"HTTP/1.1 200 OK\r\n".iter().chain(std::iter::repeat(&b'x')) {
            tokio::time::sleep(Duration::from_secs(1)).await;
            proxy.write_all(&[*byte]).await.unwrap();
        }
    };

    let asked = tokio::select! {
        asked = ask(&mut stream, "relay.example.jp:443", None) => asked,
        () = drips => Ok(()),
    };

    assert_eq!((asked, begun.elapsed()), (Err(ProxyError::Timeout), ANSWER_TIMEOUT));
}

#[tokio::test]
async fn an_endless_answer_ends_at_its_bound() {
    let mut answer = b"HTTP/1.1 200 OK\r\n".to_vec();
    while answer.len() < 4 * ANSWER_LEN_MAX {
        answer.extend(b"X-More: and more and more\r\n");
    }
    answer.extend(b"\r\n");

    assert_eq!(answered(answer).await, Err(ProxyError::NotUnderstood));
}

#[tokio::test]
async fn one_that_hangs_up_or_is_not_there_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let hangs_up = tokio::spawn(async move { drop(listener.accept().await.unwrap()) });

    assert_eq!(via(address, "").connect("relay.example.jp", 443).await.err(), Some(ProxyError::NotUnderstood));
    hangs_up.await.unwrap();
    assert_eq!(via(address, "").connect("relay.example.jp", 443).await.err(), Some(ProxyError::Unreachable));
}

#[test]
fn this_machine_and_what_no_proxy_lists_are_reached_directly() {
    let matcher =
        Matcher::builder().all("http://proxy:3128").no("example.jp, 10.0.0.0/8, 2001:db8::/32, 192.0.2.7").build();
    let proxies = Proxies(Arc::new(Kind::System(matcher)));
    let is_direct = |host: &str| proxies.on_the_way_to(host, 443).is_none();

    for host in
        ["localhost", "127.0.0.1", "::1", "example.jp", "relay.example.jp", "10.1.2.3", "192.0.2.7", "2001:db8::9"]
    {
        assert!(is_direct(host), "{host}");
    }
    for host in ["relay.example.com", "notexample.jp", "192.0.2.8", "2001:db9::9", "11.0.0.1"] {
        assert!(!is_direct(host), "{host}");
    }
    assert!(Proxies::none().on_the_way_to("relay.example.com", 443).is_none());
}

#[tokio::test]
async fn a_socks_proxy_of_the_system_says_that_it_cannot_be_used() {
    let matcher = Matcher::builder().all("socks5://127.0.0.1:1").build();
    let proxies = Proxies(Arc::new(Kind::System(matcher)));
    let via = proxies.on_the_way_to("relay.example.jp", 443).unwrap();

    assert_eq!(via.connect("relay.example.jp", 443).await.err(), Some(ProxyError::Unsupported));
}

#[test]
fn what_names_no_proxy_says_what_one_looks_like() {
    for good in ["none", "http://proxy.example.jp:3128", "proxy.example.jp:3128", "http://u:p@10.0.0.1:8080/"] {
        assert!(good.parse::<Proxies>().is_ok(), "{good}");
    }
    for bad in
        ["", "socks5://h:1", "https://h:1", "http://", "http://h:1/path", "http://h:1/?q", "ftp://h", "http://h:x"]
    {
        assert_eq!(bad.parse::<Proxies>().err(), Some(ProxyUrlError), "{bad}");
    }
}

#[test]
fn a_password_is_never_shown() {
    let proxies: Proxies = "http://user:hunter2@proxy:3128".parse().unwrap();

    let shown = format!("{proxies:?} {:?}", proxies.on_the_way_to("relay.example.jp", 443));

    assert!(!shown.contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn calls_of_the_manager_take_the_same_proxy_and_tell_the_same_errors() {
    let call = async |answer: &str| {
        let (address, proxy) = proxy_that_says(answer.into()).await;
        let proxies = format!("http://user:pass@{address}").parse().unwrap();
        let api = ManagerApi::through("https://manager.example.jp/", None, proxies).unwrap();
        let failed = api.receptions().await.unwrap_err();
        (failed, String::from_utf8(proxy.await.unwrap()).unwrap())
    };

    let (failed, request) = call("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
    assert_eq!(failed, ApiError::Proxy(ProxyError::SignIn));
    assert!(request.starts_with("CONNECT manager.example.jp:443 HTTP/1.1\r\n"), "{request}");
    assert!(request.to_lowercase().contains("proxy-authorization: basic "), "{request}");
    assert_eq!(call("HTTP/1.1 403 Forbidden\r\n\r\n").await.0, ApiError::Proxy(ProxyError::Refused));
}

#[test]
fn what_was_asked_for_by_name_is_used_for_this_machine_too() {
    let one: Proxies = "http://proxy:3128".parse().unwrap();

    assert!(one.on_the_way_to("127.0.0.1", 443).is_some());
}
