//! What strangers send changes nothing and finds nothing.

use crate::run::Server;

#[tokio::test]
async fn an_unknown_address_is_answered_in_both_languages() {
    let server = Server::start().await;

    let answer = server.ask(&["GET /nothing HTTP/1.1", "accept-language: en"]).await;

    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("There is no such page.") && answer.text().contains("お探しのページはありません。"));
    assert!(answer.header("content-security-policy").is_some());
}

#[tokio::test]
async fn no_path_reaches_a_file_that_is_not_listed() {
    let server = Server::start().await;

    for path in [
        "/secret",
        "/tools/secret",
        "/tools/client",
        "/tools/../secret",
        "/tools/..%2fsecret",
        "/tools/%2e%2e/secret",
        "/tools/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/tools/uketsuke-client-linux-x86_64/../../secret",
        "/tools//etc/passwd",
        "/tools/%00",
        "/tools/..\\secret",
        "/files/../secret",
        "/files/x/..%2f..%2fsecret",
        "/files/%2e%2e/secret",
        "//tools/uketsuke-client-linux-x86_64",
        "/cert.pem",
        "/key.pem",
        "/metrics",
    ] {
        let answer = server.get(path).await;
        assert!(matches!(answer.status, 400 | 404), "{path} is answered with {}", answer.status);
        assert!(!answer.text().contains("never served"), "{path}");
    }
}

#[tokio::test]
async fn only_reading_is_allowed() {
    let server = Server::start().await;

    for path in ["/", "/operator", "/tools/uketsuke-client-linux-x86_64"] {
        for method in ["POST", "PUT", "DELETE"] {
            let answer = server.ask(&[&format!("{method} {path} HTTP/1.1"), "content-length: 0"]).await;
            assert_eq!(answer.status, 405, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn what_is_put_into_the_address_is_not_put_into_the_page() {
    let server = Server::start().await;

    for path in ["/?lang=%3Cscript%3E", "/%3Cscript%3E", "/tools/%3Cscript%3E", "/operator?lang=%22%3E%3Cscript%3E"] {
        assert!(!server.get(path).await.text().contains("<script"), "{path}");
    }
}

#[tokio::test]
async fn plain_http_points_to_https_and_never_serves_a_tool() {
    let server = Server::start().await;
    let table = [
        ("GET / HTTP/1.1", "https://download.example.jp/"),
        ("GET /operator?lang=en HTTP/1.1", "https://download.example.jp/operator?lang=en"),
        (
            "GET /tools/uketsuke-client-linux-x86_64 HTTP/1.1",
            "https://download.example.jp/tools/uketsuke-client-linux-x86_64",
        ),
        ("GET http://evil.example/x HTTP/1.1", "https://download.example.jp/x"),
        ("GET //evil.example/x HTTP/1.1", "https://download.example.jp//evil.example/x"),
        ("OPTIONS * HTTP/1.1", "https://download.example.jp/"),
        ("POST /x HTTP/1.1", "https://download.example.jp/x"),
    ];

    for (line, location) in table {
        let answer = Server::plain(server.http, line).await;
        assert_eq!(answer.status, 308, "{line}");
        assert_eq!(answer.header("location"), Some(location), "{line}");
        assert!(answer.body.is_empty(), "{line}");
        assert_eq!(answer.header("strict-transport-security"), None, "{line}");
    }
}

#[tokio::test]
async fn the_server_is_ready_drains_and_ends() {
    let server = Server::start().await;
    server.get("/").await;
    assert_eq!(Server::plain(server.private, "GET /readyz HTTP/1.1").await.status, 200);

    server.shutdown.drain();

    server.task.await.unwrap().unwrap();
}
