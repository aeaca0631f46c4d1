//! Webhooks: what another program is told, against a real HTTPS server.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use manager::{
    admin::AdminRole,
    company::policy::Network,
    execute, fetch_one,
    halt::page::ADDRESS,
    role::Role,
    session::sweep::Sweep,
    webhook::{self, Caller, Config, EVENTS, sweep},
};
use ops::{
    config::Span,
    shutdown::Shutdown,
    tls::{self, Certificate},
    web,
};
use serde_json::Value;
use sha2::Sha256;
use tokio::{io::AsyncWriteExt as _, net::TcpListener, sync::Notify};

use crate::{
    browser::Browser,
    live::browser,
    session::Desk,
    system::{
        halt::{halt, lift},
        logged_in,
    },
    testing::{Manager, PASSWORD, on_both},
};

/// Where the pages are.
const PAGE: &str = "/settings/webhooks";

/// One call as it came.
#[derive(Clone)]
struct Said {
    headers: HeaderMap,
    body: String,
}

/// What the receiver shares with the test.
struct Shared {
    said: Mutex<Vec<Said>>,
    status: Mutex<StatusCode>,
    /// While there is one, calls at `/slow` are not answered until it is notified.
    gate: Notify,
}

/// Another program, on loopback.
struct Receiver {
    folder: tempfile::TempDir,
    shared: Arc<Shared>,
    port: u16,
    shutdown: Shutdown,
}

impl Receiver {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = tls::authority().unwrap();
        let files = authority.issue(&["localhost"]).unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.ca_pem()).unwrap();
        let certificate = Certificate::from_pem(files.cert_pem.as_bytes(), files.key_pem.as_bytes()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared =
            Arc::new(Shared { said: Mutex::default(), status: Mutex::new(StatusCode::OK), gate: Notify::new() });
        let app =
            Router::new().route("/slow", axum::routing::post(slow)).fallback(heard).with_state(Arc::clone(&shared));
        let shutdown = Shutdown::new();
        let tls = tls::web_config(Arc::new(certificate)).unwrap();
        tokio::spawn(web::serve_tls(listener, tls, app, web::Limits::public(), shutdown.clone()));
        Self { folder, shared, port, shutdown }
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A caller that may call loopback, and trusts the receiver.
    fn caller(&self) -> Caller {
        let networks = vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        Caller::new(&Config { networks, ca_file: Some(self.ca_file()), ..Config::default() }).unwrap()
    }

    fn answers(&self, status: StatusCode) {
        *self.shared.status.lock().unwrap() = status;
    }

    fn said(&self) -> Vec<Said> {
        self.shared.said.lock().unwrap().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shutdown.force();
    }
}

impl Said {
    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Whether the signature is that of the secret, as the page shows it.
    fn is_signed_with(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        let (id, at) = (self.header("webhook-id"), self.header("webhook-timestamp"));
        mac.update(format!("{id}.{at}.{}", self.body).as_bytes());
        self.header("webhook-signature") == format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

async fn heard(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let said = Said { headers, body: String::from_utf8(body.to_vec()).unwrap() };
    shared.said.lock().unwrap().push(said);
    let status = *shared.status.lock().unwrap();
    (status, [(header::LOCATION, "https://localhost:1/elsewhere")]).into_response()
}

async fn slow(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.gate.notified().await;
    StatusCode::OK
}

/// Adds a webhook that hears of everything; its page and its secret.
async fn add(admin: &Browser<'_>, url: &str) -> (String, String) {
    admin.get(PAGE).await;
    let mut fields = vec![("url", url)];
    fields.extend(EVENTS.map(|event| ("events", event)));
    let seen = admin.post(PAGE, &fields).await;
    assert_eq!(seen.status, StatusCode::OK, "{}", seen.text);
    let secret = seen.between("<p class=\"secret mono\">", "</p>");
    let page = format!("{PAGE}/{}", seen.between("href=\"/settings/webhooks/", "\""));
    (page, secret)
}

async fn press(admin: &Browser<'_>, page: &str, verb: &str) {
    admin.get(page).await;
    admin.post(&format!("{page}/{verb}"), &[]).await.goes_to(page);
}

async fn call_due(manager: &Manager, caller: &Caller) -> usize {
    sweep::call_due(&manager.app, caller).await.unwrap()
}

#[tokio::test]
async fn what_happens_is_told_signed_once_and_without_names() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let (_, admin) = browser(&desk, "admin", Role::CompanyAdmin).await;
        let receiver = Receiver::start().await;
        let caller = receiver.caller();
        admin.get(PAGE).await.says("Webhookはまだありません");
        let (page, secret) = add(&admin, &receiver.url("/hooks?desk=1")).await;

        let entered = desk.connected().await;
        assert_eq!(call_due(&desk.manager, &caller).await, 3);
        assert_eq!(call_due(&desk.manager, &caller).await, 0, "each is made once");

        let mut said = receiver.said();
        said.sort_by_key(|said| EVENTS.iter().position(|event| said.json()["type"] == **event));
        let types: Vec<_> = said.iter().map(|said| said.json()["type"].as_str().unwrap().to_owned()).collect();
        assert_eq!(types, ["reception.issued", "reception.entered", "session.connected"]);
        for said in &said {
            assert!(said.is_signed_with(&secret) && !said.is_signed_with("whsec_AAAA"));
            assert_eq!(said.json()["id"], said.header("webhook-id"));
            assert_eq!(said.header("content-type"), "application/json");
            assert_eq!(said.json()["timestamp"], "2026-09-21T14:13:20+00:00");
            assert!(!said.body.contains("山田") && !said.body.contains("yamada"), "{}", said.body);
        }
        assert_eq!(said[2].json()["data"]["session_id"], entered.pairing.session_id.to_string());
        let seen = admin.get(&page).await;
        seen.says("送信済み");
        seen.lacks(&secret);
        // What nobody wants to hear of is not told.
        let fields = [("url", &*receiver.url("/hooks")), ("events", "session.ended"), ("version", "0")];
        admin.post(&page, &fields).await.goes_to(&page);
        desk.issue().await;
        assert_eq!(call_due(&desk.manager, &caller).await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_call_that_is_refused_is_made_again_ever_later_and_fails_after_a_day() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let (_, admin) = browser(&desk, "admin", Role::CompanyAdmin).await;
        let receiver = Receiver::start().await;
        let caller = receiver.caller();
        let (page, _) = add(&admin, &receiver.url("/hooks")).await;
        receiver.answers(StatusCode::INTERNAL_SERVER_ERROR);
        press(&admin, &page, "test").await;

        assert_eq!(call_due(&desk.manager, &caller).await, 1);
        admin.get(&page).await.says("500 Internal Server Error");
        for seconds in [30, 60, 120] {
            desk.manager.advance(Duration::from_secs(seconds - 1));
            assert_eq!(call_due(&desk.manager, &caller).await, 0, "{seconds}");
            desk.manager.advance(Duration::from_secs(1));
            assert_eq!(call_due(&desk.manager, &caller).await, 1, "{seconds}");
        }
        for _ in 0..30 {
            desk.manager.advance(Duration::from_hours(1));
            call_due(&desk.manager, &caller).await;
        }
        let tried = receiver.said();
        assert!((20..=35).contains(&tried.len()), "{}", tried.len());
        assert!(tried.iter().all(|said| said.header("webhook-id") == tried[0].header("webhook-id")));

        let admin = Browser::new(&desk.manager);
        admin.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        admin.get(PAGE).await.says("<td data-name=\"失敗\" class=\"number\">1</td>");
        let again = format!("{page}/calls/{}/again", admin.get(&page).await.between("/calls/", "/again"));
        receiver.answers(StatusCode::NO_CONTENT);
        admin.post(&again, &[]).await.goes_to(&page);
        assert_eq!(call_due(&desk.manager, &caller).await, 1);
        admin.get(&page).await.says("送信済み");
        assert_eq!(admin.post(&again, &[]).await.status, StatusCode::NOT_FOUND, "it did not fail");

        desk.manager.advance(Duration::from_hours(29 * 24));
        assert_eq!(sweep::forget(&desk.manager.app).await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn who_says_410_is_told_nothing_more_and_no_redirect_is_followed() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let (_, admin) = browser(&desk, "admin", Role::CompanyAdmin).await;
        let receiver = Receiver::start().await;
        let caller = receiver.caller();
        let (page, _) = add(&admin, &receiver.url("/hooks")).await;
        receiver.answers(StatusCode::TEMPORARY_REDIRECT);
        press(&admin, &page, "test").await;
        assert_eq!(call_due(&desk.manager, &caller).await, 1);
        admin.get(&page).await.says("307 Temporary Redirect");

        receiver.answers(StatusCode::GONE);
        press(&admin, &page, "test").await;
        assert_eq!(call_due(&desk.manager, &caller).await, 1);
        admin.get(&page).await.says("停止中");
        admin.get("/log/operations?event=webhook.").await.says("Webhookを停止");
        desk.issue().await;
        desk.manager.advance(Duration::from_mins(5));
        assert_eq!(call_due(&desk.manager, &caller).await, 0, "nothing is told while it is stopped");

        receiver.answers(StatusCode::OK);
        press(&admin, &page, "start").await;
        desk.issue().await;
        // The number that was issued after it started, and the call that waited when it was stopped.
        assert_eq!(call_due(&desk.manager, &caller).await, 2);
    })
    .await;
}

#[tokio::test]
async fn two_managers_make_no_call_twice() {
    on_both(|db| async {
        let desk = Desk::open(db.clone()).await;
        let other = Manager::new(db);
        let (_, admin) = browser(&desk, "admin", Role::CompanyAdmin).await;
        let receiver = Receiver::start().await;
        let caller = receiver.caller();
        let mut pages = Vec::new();
        for n in 0..5 {
            pages.push(add(&admin, &receiver.url(&format!("/hooks/{n}"))).await.0);
        }
        let now = desk.manager.app.now_ms();
        let company_id = desk.operator.company_id;
        let mut tx = desk.manager.app.db.begin().await.unwrap();
        for page in &pages {
            let webhook_id = page.rsplit('/').next().unwrap();
            let webhook = webhook::store::find(&mut tx, company_id, webhook_id).await.unwrap().unwrap();
            for _ in 0..12 {
                webhook::store::queue_test(&mut tx, company_id, &webhook, now).await.unwrap();
            }
        }
        tx.commit().await.unwrap();

        let mut made = 0;
        while made < 60 {
            let (here, there) = tokio::join!(call_due(&desk.manager, &caller), call_due(&other, &caller));
            assert!(0 < here + there, "{made}");
            made += here + there;
        }

        let mut ids: Vec<_> = receiver.said().iter().map(|said| said.header("webhook-id").to_owned()).collect();
        ids.sort();
        ids.dedup();
        assert_eq!((made, ids.len(), receiver.said().len()), (60, 60, 60));
    })
    .await;
}

#[tokio::test]
async fn calls_wait_while_the_service_is_halted_and_none_is_lost_or_made_twice() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let manager = &desk.manager;
        let (_, admin) = browser(&desk, "admin", Role::CompanyAdmin).await;
        let receiver = Receiver::start().await;
        let caller = receiver.caller();
        add(&admin, &receiver.url("/hooks")).await;
        let root = logged_in(manager, "root", AdminRole::Operations).await;
        desk.issue().await;
        halt(&root).await;
        // The number is cancelled, which is told, too.
        Sweep::begin(manager.app.now_ms()).round(&manager.app).await.unwrap();

        assert_eq!(call_due(manager, &caller).await, 0);
        // Longer than a call is tried, and than the page remembers it.
        manager.advance(Duration::from_hours(29 * 24));
        assert_eq!(call_due(manager, &caller).await, 0);
        assert_eq!(sweep::forget(&manager.app).await.unwrap(), 0);
        assert!(receiver.said().is_empty());
        let later = logged_in(manager, "later", AdminRole::Operations).await;
        later.get(ADDRESS).await.says("<dt>解除した後に送るWebhook</dt><dd>2</dd>");
        // What is stopped is told nothing afterwards, either.
        for (stopped, told) in [(true, 0), (false, 2)] {
            let mut tx = manager.app.db.begin().await.unwrap();
            execute!(&mut tx, "UPDATE webhooks SET stopped = $1", stopped).unwrap();
            tx.commit().await.unwrap();
            later.get(ADDRESS).await.says(&format!("<dt>解除した後に送るWebhook</dt><dd>{told}</dd>"));
        }
        lift(&later).await;

        receiver.answers(StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(call_due(manager, &caller).await, 2);
        receiver.answers(StatusCode::OK);
        manager.advance(Duration::from_secs(30));
        assert_eq!(sweep::forget(&manager.app).await.unwrap(), 0, "they were not given up");
        assert_eq!(call_due(manager, &caller).await, 2);
        assert_eq!(call_due(manager, &caller).await, 0);
        let mut told: Vec<_> =
            receiver.said().iter().map(|said| said.json()["type"].as_str().unwrap().to_owned()).collect();
        told.sort();
        assert_eq!(told, ["reception.cancelled", "reception.cancelled", "reception.issued", "reception.issued"]);
    })
    .await;
}

#[tokio::test]
async fn a_webhook_is_tried_a_few_times_a_minute_and_the_page_says_when_again() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let (_, admin) = browser(&desk, "admin", Role::CompanyAdmin).await;
        let (page, _) = add(&admin, "https://hooks.example.co.jp/0").await;
        let (other, _) = add(&admin, "https://hooks.example.co.jp/1").await;
        desk.manager.advance(Duration::from_secs(1));
        for _ in 0..5 {
            press(&admin, &page, "test").await;
            desk.manager.advance(Duration::from_secs(10));
        }

        let seen = admin.post(&format!("{page}/test"), &[]).await;

        assert_eq!(seen.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(seen.headers[header::RETRY_AFTER], "10");
        seen.says("1分に5回までです。2026/09/21 23:14:21 からまた送れます");
        seen.says("value=\"https://hooks.example.co.jp/0\"");
        press(&admin, &other, "test").await;
        admin.get("/log/operations?event=webhook.tested").await.says("全6件");
        desk.manager.advance(Duration::from_secs(10));
        press(&admin, &page, "test").await;
    })
    .await;
}

#[tokio::test]
async fn a_program_that_does_not_answer_holds_up_no_other() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let (_, admin) = browser(&desk, "admin", Role::CompanyAdmin).await;
        let receiver = Receiver::start().await;
        let caller = receiver.caller();
        let (slow, _) = add(&admin, &receiver.url("/slow")).await;
        press(&admin, &slow, "test").await;
        let (app, its) = (desk.manager.app.clone(), caller.clone());
        let hanging = tokio::spawn(async move { sweep::call_due(&app, &its).await.unwrap() });
        // Once the first round holds the slow call, the next one takes what is for others.
        loop {
            let mut tx = desk.manager.app.db.read().await.unwrap();
            let (held,) =
                fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM webhook_calls WHERE claimed_until_ms > 0").unwrap();
            if held == 1 {
                break;
            }
            drop(tx);
            tokio::task::yield_now().await;
        }
        let (quick, _) = add(&admin, &receiver.url("/quick")).await;
        press(&admin, &quick, "test").await;
        press(&admin, &slow, "test").await;

        assert_eq!(call_due(&desk.manager, &caller).await, 1);
        assert_eq!(receiver.said().len(), 1);
        receiver.shared.gate.notify_one();
        assert_eq!(hanging.await.unwrap(), 1);
        receiver.shared.gate.notify_one();
        assert_eq!(call_due(&desk.manager, &caller).await, 1, "its second one, once the first is done");
    })
    .await;
}

#[tokio::test]
async fn a_webhook_whose_company_cannot_be_read_is_an_error_and_not_nobodys() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let (_, admin) = browser(&desk, "admin", Role::CompanyAdmin).await;
        let (page, _) = add(&admin, "https://hooks.example.co.jp/").await;
        let webhook_id = page.rsplit('/').next().unwrap();
        let mut tx = desk.manager.app.db.begin().await.unwrap();
        assert_eq!(webhook::store::company_of(&mut tx, webhook_id).await.unwrap(), Some(desk.operator.company_id));
        assert_eq!(webhook::store::company_of(&mut tx, "nothing").await.unwrap(), None);
        execute!(
            &mut tx,
            "INSERT INTO companies (company_id, code, name, created_at_ms) VALUES ('broken', 'broken', 'x', 0)"
        )
        .unwrap();
        execute!(&mut tx, "UPDATE webhooks SET company_id = 'broken'").unwrap();

        let error = webhook::store::company_of(&mut tx, webhook_id).await.unwrap_err();

        assert_eq!(error.to_string(), format!("row {webhook_id} of webhooks has an impossible company_id"));
    })
    .await;
}

#[tokio::test]
async fn what_came_back_is_explained_in_the_language_of_the_page() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let (_, admin) = browser(&desk, "admin", Role::CompanyAdmin).await;
        let receiver = Receiver::start().await;
        let networks: Vec<Network> = vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let with = |ca_file: Option<PathBuf>, timeout: Span| {
            Caller::new(&Config { networks: networks.clone(), ca_file, timeout, ..Config::default() }).unwrap()
        };
        let trusting = receiver.caller();
        let strict = Caller::new(&Config { ca_file: Some(receiver.ca_file()), ..Config::default() }).unwrap();
        let distrusting = with(None, Span::secs(10));
        let hasty = with(Some(receiver.ca_file()), Span::new(Duration::from_millis(100)));
        // A port where nobody listens, and one where somebody speaks no TLS.
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let plain_port = plain.local_addr().unwrap().port();
        let speaking = tokio::spawn(async move {
            let (mut stream, _) = plain.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
            stream
        });
        let unknown = format!("https://{}.example/", "a".repeat(64));
        let at = |port: u16| format!("https://localhost:{port}/");
        let (url, slow) = (receiver.url("/hooks"), receiver.url("/slow"));

        for (url, caller, status, ja, en) in [
            (&url, &trusting, 503, "相手が 503 を返しました", "It answered 503."),
            (&url, &trusting, 307, "転送（307）", "redirect (307)"),
            (&url, &strict, 200, "公開されていないアドレス", "address is not public"),
            (&url, &distrusting, 200, "証明書を信頼できません", "certificate is not trusted"),
            (&slow, &hasty, 200, "時間内に答えがありませんでした", "no answer in time"),
            (&at(closed), &trusting, 200, "接続を拒否されました", "connection was refused"),
            (&at(plain_port), &trusting, 200, "安全な接続（TLS", "secure connection (TLS"),
            (&unknown, &trusting, 200, "ホスト名が見つかりません", "host was not found"),
            (&url, &trusting, 410, "410を返したので、知らせるのをやめました", "It answered 410, so nothing more"),
        ] {
            receiver.answers(StatusCode::from_u16(status).unwrap());
            let (page, _) = add(&admin, url).await;
            press(&admin, &page, "test").await;
            assert_eq!(call_due(&desk.manager, caller).await, 1, "{ja}");
            let seen = admin.get(&page).await;
            seen.says(ja);
            seen.says("<summary>相手の答え</summary><code>");
            seen.lacks(en);
            admin.post("/language", &[("lang", "en"), ("back", "/")]).await.goes_to("/");
            admin.get(&page).await.says(en);
            admin.post("/language", &[("lang", "ja"), ("back", "/")]).await.goes_to("/");
            admin.get(&page).await;
            admin.post(&format!("{page}/delete"), &[]).await.goes_to(PAGE);
        }
        drop(speaking.await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn no_address_inside_is_called() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let (_, admin) = browser(&desk, "admin", Role::CompanyAdmin).await;
        let receiver = Receiver::start().await;
        let strict = Caller::new(&Config { ca_file: Some(receiver.ca_file()), ..Config::default() }).unwrap();
        let (page, _) = add(&admin, &receiver.url("/hooks")).await;
        press(&admin, &page, "test").await;

        assert_eq!(call_due(&desk.manager, &strict).await, 1);

        assert!(receiver.said().is_empty());
        admin.get(&page).await.says("公開されていないアドレスなので送れません");
        for (url, text) in [
            ("https://127.0.0.1/", "このアドレスへは送れません"),
            ("https://2130706433/", "このアドレスへは送れません"),
            ("https://[fd00::1]/", "このアドレスへは送れません"),
            ("http://example.co.jp/", "https:// で始まるURL"),
            ("https://a:b@example.co.jp/", "https:// で始まるURL"),
            ("<script>", "https:// で始まるURL"),
        ] {
            let seen = admin.post(PAGE, &[("url", url), ("events", "session.ended")]).await;
            assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY, "{url}");
            seen.says(text);
            seen.lacks("<script>");
        }
        let seen = admin.post(PAGE, &[("url", "https://example.co.jp/"), ("events", "login.failed")]).await;
        assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY);
        seen.says("知らせることを1つ以上選んでください");
    })
    .await;
}

#[tokio::test]
async fn webhooks_are_counted_kept_apart_and_changed_by_one_at_a_time() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let (_, admin) = browser(&desk, "admin", Role::CompanyAdmin).await;
        let (page, secret) = add(&admin, "https://hooks.example.co.jp/0").await;
        let change = |url: &'static str, version: &'static str| {
            [("url", url), ("events", "session.ended"), ("version", version)]
        };
        admin.post(&page, &change("https://hooks.example.co.jp/1", "0")).await.goes_to(&page);
        let late = admin.post(&page, &change("https://hooks.example.co.jp/2", "0")).await;
        assert_eq!(late.status, StatusCode::CONFLICT);
        admin.get(&page).await.says("https://hooks.example.co.jp/1");

        let anew = admin.post(&format!("{page}/secret"), &[]).await;
        assert_ne!(anew.between("<p class=\"secret mono\">", "</p>"), secret);
        admin.get("/log/operations?event=webhook.").await.says("Webhookの署名の鍵を再作成");

        let other = desk.manager.company("other").await;
        desk.manager.account(other, "thief", Role::CompanyAdmin).await;
        let thief = Browser::from(&desk.manager, "198.51.100.7");
        thief.log_in("other", "thief", PASSWORD).await.goes_to("/");
        assert_eq!(thief.get(&page).await.status, StatusCode::NOT_FOUND);
        thief.get(PAGE).await.lacks("hooks.example.co.jp");
        for verb in ["stop", "start", "test", "secret", "delete"] {
            assert_eq!(thief.post(&format!("{page}/{verb}"), &[]).await.status, StatusCode::NOT_FOUND, "{verb}");
        }
        assert_eq!(admin.post(&format!("{page}/explode"), &[]).await.status, StatusCode::NOT_FOUND);

        for n in 1..webhook::WEBHOOKS_MAX {
            add(&admin, &format!("https://hooks.example.co.jp/{n}")).await;
        }
        let seen = admin.post(PAGE, &[("url", "https://example.co.jp/"), ("events", "session.ended")]).await;
        assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY);
        seen.says("Webhookは20個までです");
        admin.post(&format!("{page}/delete"), &[]).await.goes_to(PAGE);
        assert_eq!(admin.get(&page).await.status, StatusCode::NOT_FOUND);
    })
    .await;
}
