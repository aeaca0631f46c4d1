//! The pages show the right tool in the right language.

use crate::run::{Answer, Server, TOOLS};

const WINDOWS: &str = "user-agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:143.0) Gecko/20100101 Firefox/143.0";
const LINUX: &str = "user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0";
const LINUX_ARM: &str = "user-agent: Mozilla/5.0 (X11; Linux aarch64; rv:143.0) Gecko/20100101 Firefox/143.0";
const MAC: &str = "user-agent: Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Safari/605.1.15";
const PHONE: &str = "user-agent: Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) Mobile/15E148 Safari/604.1";

async fn page(server: &Server, path: &str, headers: &[&str]) -> Answer {
    let line = format!("GET {path} HTTP/1.1");
    let mut lines = vec![line.as_str()];
    lines.extend(headers);
    server.ask(&lines).await
}

/// Text of the one large button, if there is one.
fn button(page: &str) -> Option<&str> {
    page.split_once("class=\"button\"")?.1.split_once('>')?.1.split_once('<').map(|(text, _)| text)
}

#[tokio::test]
async fn each_visitor_gets_the_tool_of_the_own_system_first() {
    let server = Server::start().await;
    let table = [
        (WINDOWS, Some("Windows 用をダウンロード")),
        (LINUX, Some("Linux 用をダウンロード")),
        (LINUX_ARM, None),
        (MAC, None),
        (PHONE, None),
        ("user-agent: curl/8", None),
    ];

    for (agent, expected) in table {
        let text = page(&server, "/", &[agent]).await.text();
        assert_eq!(button(&text), expected, "{agent}");
        assert!(text.contains("client-windows-x86_64.exe") && text.contains("client-linux-x86_64"), "{agent}");
        assert!(!text.contains("uketsuke-operator"), "{agent}");
    }
}

#[tokio::test]
async fn a_visitor_without_a_tool_is_told_so_and_what_to_do() {
    let server = Server::start().await;

    let mac = page(&server, "/?lang=en", &[MAC]).await.text();
    let phone = page(&server, "/?lang=en", &[PHONE]).await.text();
    let unknown = page(&server, "/?lang=en", &[]).await.text();

    assert!(mac.contains("There is no tool for your computer (Mac) yet."), "{mac}");
    assert!(phone.contains("There is no tool for phones and tablets yet."), "{phone}");
    assert!(phone.contains("tell the operator on the phone"), "{phone}");
    assert!(unknown.contains("Choose from the list below."), "{unknown}");
}

#[tokio::test]
async fn the_customer_reads_the_warning_the_size_the_hash_and_three_steps() {
    let server = Server::start().await;

    let text = page(&server, "/", &[WINDOWS]).await.text();

    assert!(text.contains("知らない相手から電話や警告画面で案内された場合は、ここで中止してください。"));
    assert!(text.contains("0.1 MB"));
    assert!(text.contains("bb4f3d3a7f10d26e14dd33b84b6db2041ab6f92ec83db1613128a19530ab4160"));
    assert_eq!(text.matches("<li>").count(), 3 + 1);
}

#[tokio::test]
async fn the_operator_page_offers_the_operator_tool_only() {
    let server = Server::start().await;

    let text = page(&server, "/operator", &[LINUX]).await.text();

    assert_eq!(button(&text), Some("Linux 用をダウンロード"));
    assert!(text.contains("uketsuke-operator-linux-x86_64") && !text.contains("uketsuke-client"));
}

#[tokio::test]
async fn the_language_follows_the_browser_and_the_link() {
    let server = Server::start().await;

    let japanese = page(&server, "/", &["accept-language: ja-JP,ja;q=0.9"]).await.text();
    let english = page(&server, "/", &["accept-language: en-US,en;q=0.9"]).await.text();
    let chosen = page(&server, "/?lang=ja", &["accept-language: en-US"]).await.text();

    assert!(japanese.contains("<html lang=\"ja\">") && japanese.contains("href=\"/?lang=en\""));
    assert!(english.contains("<html lang=\"en\">") && english.contains("href=\"/?lang=ja\""));
    assert!(chosen.contains("<html lang=\"ja\">"));
}

#[tokio::test]
async fn pages_are_guarded_compressed_and_not_kept() {
    let server = Server::start().await;

    let answer = page(&server, "/", &["accept-encoding: br"]).await;

    assert_eq!(answer.header("content-encoding"), Some("br"));
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    assert!(answer.header("vary").is_some());
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'self'") && !policy.contains("unsafe"), "{policy}");
    assert!(answer.header("strict-transport-security").unwrap().starts_with("max-age="));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
}

#[tokio::test]
async fn the_page_has_no_script_and_its_style_and_icon_are_kept_for_ever() {
    let server = Server::start().await;
    let text = page(&server, "/", &[]).await.text();

    assert!(!text.contains("<script") && !text.contains("style=\"") && !text.contains(" on"));
    for (start, kind) in [("/style-", "text/css; charset=utf-8"), ("/icon-", "image/svg+xml")] {
        let path = text.split('"').find(|part| part.starts_with(start)).unwrap();
        let answer = server.get(path).await;
        assert_eq!(answer.header("content-type"), Some(kind));
        assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"));
    }
}

#[tokio::test]
async fn the_other_processor_is_only_offered_where_it_runs() {
    let arm = TOOLS.replace("x86_64", "aarch64");
    let server = Server::start_with(&arm).await;

    assert_eq!(button(&page(&server, "/", &[LINUX]).await.text()), None);
    assert!(button(&page(&server, "/", &[LINUX_ARM]).await.text()).is_some());
    assert!(button(&page(&server, "/", &[WINDOWS]).await.text()).is_some());
}
