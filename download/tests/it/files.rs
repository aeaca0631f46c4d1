//! Tools are served whole, in part, or not at all when the visitor has them.

use crate::run::{Answer, Server, client_bytes};

const STABLE: &str = "GET /tools/uketsuke-client-linux-x86_64 HTTP/1.1";

async fn stable(server: &Server, headers: &[&str]) -> Answer {
    let mut lines = vec![STABLE];
    lines.extend(headers);
    server.ask(&lines).await
}

#[tokio::test]
async fn a_whole_tool_has_everything_a_visitor_can_check() {
    let server = Server::start().await;

    let answer = stable(&server, &[]).await;

    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, client_bytes());
    assert_eq!(answer.header("content-length"), Some("1000"));
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    assert_eq!(answer.header("accept-ranges"), Some("bytes"));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let name = "attachment; filename=\"uketsuke-client-linux-x86_64\"";
    assert_eq!(answer.header("content-disposition"), Some(name));
    assert!(answer.header("etag").unwrap().len() == 66 && answer.header("last-modified").is_some());
}

#[tokio::test]
async fn the_content_address_on_the_page_is_kept_for_ever() {
    let server = Server::start().await;
    let tag = stable(&server, &[]).await.header("etag").unwrap().trim_matches('"').to_owned();

    let answer = server.get(&format!("/files/{tag}/uketsuke-client-linux-x86_64")).await;
    let other = server.get(&format!("/files/{}/uketsuke-client-linux-x86_64", "0".repeat(64))).await;

    assert_eq!(answer.body, client_bytes());
    assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(other.status, 404);
}

#[tokio::test]
async fn parts_of_a_tool_are_the_right_bytes() {
    let server = Server::start().await;
    let bytes = client_bytes();
    let table: [(&str, &str, &[u8]); 6] = [
        ("bytes=0-0", "bytes 0-0/1000", &bytes[..1]),
        ("bytes=0-99", "bytes 0-99/1000", &bytes[..100]),
        ("bytes=400-499", "bytes 400-499/1000", &bytes[400..500]),
        ("bytes=990-", "bytes 990-999/1000", &bytes[990..]),
        ("bytes=-5", "bytes 995-999/1000", &bytes[995..]),
        ("bytes=990-5000", "bytes 990-999/1000", &bytes[990..]),
    ];

    for (range, content_range, expected) in table {
        let answer = stable(&server, &[&format!("range: {range}")]).await;
        assert_eq!(answer.status, 206, "{range}");
        assert_eq!(answer.header("content-range"), Some(content_range), "{range}");
        assert_eq!(answer.header("content-length"), Some(expected.len().to_string().as_str()), "{range}");
        assert_eq!(answer.body, expected, "{range}");
    }
}

#[tokio::test]
async fn a_part_behind_the_end_is_refused() {
    let server = Server::start().await;

    for range in ["bytes=1000-", "bytes=1000-1001", "bytes=-0"] {
        let answer = stable(&server, &[&format!("range: {range}")]).await;
        assert_eq!(answer.status, 416, "{range}");
        assert_eq!(answer.header("content-range"), Some("bytes */1000"), "{range}");
    }
}

#[tokio::test]
async fn a_range_that_is_none_gives_the_whole_tool() {
    let server = Server::start().await;

    for range in ["lines=1-2", "bytes=", "bytes=-", "bytes=5-1", "bytes=a-b", "bytes=0-1,5-6", "bytes=+1-2"] {
        let answer = stable(&server, &[&format!("range: {range}")]).await;
        assert_eq!((answer.status, answer.body.len()), (200, 1000), "{range}");
    }
}

#[tokio::test]
async fn a_download_goes_on_only_if_the_tool_is_the_same() {
    let server = Server::start().await;
    let tag = stable(&server, &[]).await.header("etag").unwrap().to_owned();

    let same = stable(&server, &["range: bytes=500-", &format!("if-range: {tag}")]).await;
    let other = stable(&server, &["range: bytes=500-", "if-range: \"other\""]).await;
    let weak = stable(&server, &["range: bytes=500-", &format!("if-range: W/{tag}")]).await;

    assert_eq!((same.status, same.body.len()), (206, 500));
    assert_eq!((other.status, other.body.len()), (200, 1000));
    assert_eq!((weak.status, weak.body.len()), (200, 1000));
}

#[tokio::test]
async fn a_visitor_who_has_the_tool_gets_no_bytes() {
    let server = Server::start().await;
    let first = stable(&server, &[]).await;
    let (tag, modified) = (first.header("etag").unwrap(), first.header("last-modified").unwrap());

    for condition in [
        format!("if-none-match: {tag}"),
        format!("if-none-match: \"x\", W/{tag}"),
        "if-none-match: *".to_owned(),
        format!("if-modified-since: {modified}"),
    ] {
        let answer = stable(&server, &[&condition]).await;
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{condition}");
        assert_eq!(answer.header("etag"), Some(tag), "{condition}");
    }
    let other_tag = stable(&server, &["if-none-match: \"x\"", &format!("if-modified-since: {modified}")]).await;
    assert_eq!(other_tag.status, 200);
}

#[tokio::test]
async fn a_condition_on_another_tool_fails() {
    let server = Server::start().await;

    assert_eq!(stable(&server, &["if-match: \"x\""]).await.status, 412);
    assert_eq!(stable(&server, &["if-unmodified-since: Thu, 01 Jan 1970 00:00:00 GMT"]).await.status, 412);
    assert_eq!(stable(&server, &["if-match: *"]).await.status, 200);
}

#[tokio::test]
async fn asking_for_the_head_gives_the_length_and_no_bytes() {
    let server = Server::start().await;

    let answer = server.ask(&["HEAD /tools/uketsuke-client-linux-x86_64 HTTP/1.1", "range: bytes=0-9"]).await;

    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(answer.header("content-length"), Some("1000"));
    assert!(answer.header("etag").is_some());
}

#[tokio::test]
async fn tools_are_never_compressed() {
    let server = Server::start().await;

    let answer = stable(&server, &["accept-encoding: gzip, br"]).await;

    assert_eq!(answer.header("content-encoding"), None);
    assert_eq!(answer.body, client_bytes());
}

#[tokio::test]
async fn a_tool_that_changed_on_the_disk_is_not_served_under_the_old_hash() {
    let server = Server::start().await;
    assert_eq!(stable(&server, &[]).await.status, 200);

    std::fs::write(server.folder.path().join("client"), b"something else").unwrap();

    let answer = stable(&server, &[]).await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("入れ替えています") && answer.text().contains("try again"));
    let metrics = Server::plain(server.private, "GET /metrics HTTP/1.1").await.text();
    assert!(metrics.contains("download_changed_files_total 1"), "{metrics}");
}

#[tokio::test]
async fn requests_and_bytes_are_counted() {
    let server = Server::start().await;

    stable(&server, &[]).await;
    stable(&server, &["range: bytes=0-9"]).await;
    server.get("/").await;
    server.get("/nothing").await;

    let metrics = Server::plain(server.private, "GET /metrics HTTP/1.1").await.text();
    for line in [
        "download_requests_total{artifact=\"client\",status=\"200\"} 1",
        "download_requests_total{artifact=\"client\",status=\"206\"} 1",
        "download_requests_total{artifact=\"page\",status=\"200\"} 1",
        "download_requests_total{artifact=\"missing\",status=\"404\"} 1",
        "download_sent_bytes_total 1010",
        "download_build_info{version=\"",
        "download_config_info{hash=\"",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
}
