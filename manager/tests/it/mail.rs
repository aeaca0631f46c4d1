//! Mail: the outbox against a real SMTP server, and passwords set by links.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    time::Duration,
};

use axum::http::StatusCode;
use manager::{
    App,
    admin::AdminRole,
    config::Config,
    execute, fetch_one,
    login::link,
    mail::{self, Kind, NewMail, Smtp, Text, config::Tls, sweep},
    role::Role,
};
use ops::tls;
use proto::id::{CompanyId, OperatorId};
use serde_json::Value;

use crate::{
    browser::Browser,
    system::{
        halt::{halt, lift},
        logged_in,
    },
    testing::{Manager, PASSWORD, config, on_both},
};

/// How long a test waits for what the server must have got.
const PATIENCE: Duration = Duration::from_secs(30);
/// The password at the SMTP server.
const SECRET: &str = "planted-smtp-secret";

/// The server as a process; it ends with its standard input.
struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Value>,
    port: u16,
}

/// How a server behaves.
#[derive(Clone, Copy)]
struct Manners {
    mode: &'static str,
    tls: &'static str,
    password: &'static str,
}

const TAKES: Manners = Manners { mode: "take", tls: "starttls", password: SECRET };

/// The files of a server and the configuration to reach it.
pub(crate) struct Post {
    folder: tempfile::TempDir,
}

impl Post {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = tls::authority().unwrap();
        let files = authority.issue(&["localhost"]).unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("certificate.pem", &files.cert_pem);
        write("certificate.key", &files.key_pem);
        write("ca.pem", &authority.ca_pem());
        write("password", SECRET);
        Self { folder }
    }

    fn start(&self, manners: Manners) -> Server {
        let at = |name: &str| self.folder.path().join(name);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/smtp.py");
        let mut child = Command::new("/usr/bin/python3")
            .arg(script)
            .args([at("certificate.pem"), at("certificate.key")])
            .args([manners.mode, manners.tls, manners.password])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the package python3-aiosmtpd is needed");
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::sync_channel(64);
        let read = move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(serde_json::from_str(&line).unwrap()).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("smtp-lines".to_owned()).spawn(read).unwrap();
        let first: Value = lines.recv_timeout(PATIENCE).expect("the package python3-aiosmtpd is needed");
        let port = first["port"].as_u64().unwrap().try_into().unwrap();
        Server { stdin: child.stdin.take(), child, lines, port }
    }

    pub(crate) fn config(&self, port: u16) -> Config {
        let at = |name: &str| self.folder.path().join(name);
        config(|config| {
            let mail = &mut config.mail;
            mail.server = Some("localhost".to_owned());
            mail.port = port;
            mail.ca_file = Some(at("ca.pem"));
            mail.user = Some("uketsuke".to_owned());
            mail.password_file = Some(at("password"));
            mail.from = Some("受付 <no-reply@example.co.jp>".parse().unwrap());
            mail.site = Some("https://support.example.co.jp".parse().unwrap());
        })
    }
}

impl Server {
    /// The next mail that it took.
    fn mail(&self) -> Mail {
        let value = self.lines.recv_timeout(PATIENCE).expect("a mail");
        let text = |name: &str| value[name].as_str().unwrap().to_owned();
        let data = text("data");
        let (head, body) = data.split_once("\r\n\r\n").unwrap();
        let head = head.replace("\r\n ", " ");
        let body = base64_or_plain(&head, body);
        Mail {
            to: value["to"][0].as_str().unwrap().to_owned(),
            head,
            body,
            user: text("user"),
            tls: value["tls"] == true,
        }
    }

    fn nothing(&self) {
        assert!(self.lines.try_recv().is_err(), "a mail that nobody expected");
    }

    fn stop(mut self) {
        drop(self.stdin.take());
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stdin.take());
        drop(self.child.wait());
    }
}

/// A mail as it arrived.
struct Mail {
    to: String,
    head: String,
    body: String,
    user: String,
    tls: bool,
}

impl Mail {
    fn header(&self, name: &str) -> String {
        let begin = format!("{name}: ");
        self.head.lines().find_map(|line| line.strip_prefix(&begin)).unwrap_or_default().to_owned()
    }

    fn link(&self) -> String {
        let begin = "https://support.example.co.jp";
        self.body.lines().find_map(|line| line.strip_prefix(begin)).expect("a link").trim().to_owned()
    }
}

fn base64_or_plain(head: &str, body: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    if head.contains("Content-Transfer-Encoding: base64") {
        let packed: String = body.split_whitespace().collect();
        String::from_utf8(STANDARD.decode(packed).unwrap()).unwrap().replace("\r\n", "\n")
    } else {
        body.replace("\r\n", "\n")
    }
}

/// Puts a mail into the outbox; its id.
async fn put(app: &App, company: CompanyId, subject: &str) -> String {
    let address = "hanako@example.jp".parse().unwrap();
    let new = NewMail {
        company: Some(company),
        operator: None,
        kind: Kind::Incident,
        about: String::new(),
        address: &address,
        text: Text { subject: subject.to_owned(), body: "本文です。\n.\n終わり".to_owned() },
        expires_at_ms: None,
    };
    let mut tx = app.db.begin().await.unwrap();
    let mail_id = mail::queue(app, &mut tx, new, app.now_ms()).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    mail_id
}

async fn state(app: &App, mail_id: &str) -> (String, i64, String) {
    let mut tx = app.db.read().await.unwrap();
    fetch_one!(&mut tx, (String, i64, String), "SELECT state, tries, answer FROM mails WHERE mail_id = $1", mail_id)
        .unwrap()
}

fn smtp(app: &App) -> Smtp {
    Smtp::new(&app.config.mail).unwrap().unwrap()
}

#[tokio::test]
async fn a_mail_goes_over_tls_with_its_login_and_its_own_id() {
    on_both(|db| async move {
        let post = Post::new();
        for tls in ["starttls", "implicit"] {
            let server = post.start(Manners { tls, ..TAKES });
            let mut config = post.config(server.port);
            config.mail.tls = if tls == "implicit" { Tls::Implicit } else { Tls::Starttls };
            let manager = Manager::with(db.clone(), config);
            let company_id = manager.company(tls).await;
            let mail_id = put(&manager.app, company_id, "お知らせ\r\nBcc: thief@example.com").await;

            assert_eq!(sweep::send_due(&manager.app, &smtp(&manager.app)).await.unwrap(), 1);

            let mail = server.mail();
            assert!(mail.tls && mail.user == "uketsuke", "{tls}");
            assert_eq!((mail.to.as_str(), mail.body.as_str()), ("hanako@example.jp", "本文です。\n.\n終わり"));
            assert_eq!(mail.header("Message-ID"), format!("<{mail_id}@example.co.jp>"));
            assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
            assert!(!mail.head.contains("\nBcc"), "{}", mail.head);
            assert_eq!(state(&manager.app, &mail_id).await.0, "sent");
            assert_eq!(sweep::send_due(&manager.app, &smtp(&manager.app)).await.unwrap(), 0);
            server.nothing();
            let mut tx = manager.app.db.read().await.unwrap();
            let (left,) = fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM mails WHERE body_sealed <> ''").unwrap();
            assert_eq!(left, 0, "the text is forgotten");
        }
    })
    .await;
}

#[tokio::test]
async fn nothing_goes_in_the_clear_or_to_a_stranger() {
    on_both(|db| async move {
        let post = Post::new();
        let clear = post.start(Manners { tls: "none", password: "", ..TAKES });
        let manager = Manager::with(db.clone(), post.config(clear.port));
        let company_id = manager.company("acme").await;
        let mail_id = put(&manager.app, company_id, "A").await;

        sweep::send_due(&manager.app, &smtp(&manager.app)).await.unwrap();
        let (state_now, _, answer) = state(&manager.app, &mail_id).await;
        assert_eq!(state_now, "queued");
        assert!(answer.contains("STARTTLS"), "{answer}");
        clear.nothing();

        let stranger = Post::new().start(TAKES);
        let manager = Manager::with(db.clone(), post.config(stranger.port));
        manager.advance(Duration::from_mins(2));
        sweep::send_due(&manager.app, &smtp(&manager.app)).await.unwrap();
        assert_eq!(state(&manager.app, &mail_id).await.0, "queued", "its certificate is of another authority");
        stranger.nothing();
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_away_gets_the_mail_when_it_is_back() {
    on_both(|db| async move {
        let post = Post::new();
        let gone = post.start(TAKES);
        let port = gone.port;
        gone.stop();
        let manager = Manager::with(db.clone(), post.config(port));
        let company_id = manager.company("acme").await;
        let mail_id = put(&manager.app, company_id, "A").await;
        sweep::send_due(&manager.app, &smtp(&manager.app)).await.unwrap();
        assert_eq!(
            sweep::send_due(&manager.app, &smtp(&manager.app)).await.unwrap(),
            0,
            "not before its pause is over"
        );
        let (state_now, tries, answer) = state(&manager.app, &mail_id).await;
        assert_eq!((state_now.as_str(), tries), ("queued", 1));
        assert!(!answer.is_empty());
        assert!(manager.app.metrics.registry.text().contains("manager_mails_total{result=\"again\"} 1"));

        let wrong = post.start(Manners { password: "another", ..TAKES });
        let manager = Manager::with(db.clone(), post.config(wrong.port));
        manager.advance(Duration::from_mins(1));
        sweep::send_due(&manager.app, &smtp(&manager.app)).await.unwrap();
        let (state_now, tries, answer) = state(&manager.app, &mail_id).await;
        assert_eq!((state_now.as_str(), tries), ("queued", 2), "a wrong password is not the mail's fault: {answer}");
        assert!(!answer.contains(SECRET), "{answer}");

        let back = post.start(TAKES);
        let manager = Manager::with(db.clone(), post.config(back.port));
        manager.advance(Duration::from_mins(3));
        sweep::send_due(&manager.app, &smtp(&manager.app)).await.unwrap();
        assert_eq!(back.mail().header("Message-ID"), format!("<{mail_id}@example.co.jp>"));
        assert_eq!(state(&manager.app, &mail_id).await.0, "sent");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_dies_in_the_middle_gets_the_same_mail_again() {
    on_both(|db| async move {
        let post = Post::new();
        let dying = post.start(Manners { mode: "die", ..TAKES });
        let manager = Manager::with(db.clone(), post.config(dying.port));
        let company_id = manager.company("acme").await;
        let mail_id = put(&manager.app, company_id, "A").await;
        sweep::send_due(&manager.app, &smtp(&manager.app)).await.unwrap();
        let first = dying.mail().header("Message-ID");
        assert_eq!(state(&manager.app, &mail_id).await.0, "queued");

        let other = post.start(TAKES);
        let manager = Manager::with(db.clone(), post.config(other.port));
        manager.advance(Duration::from_mins(1));
        sweep::send_due(&manager.app, &smtp(&manager.app)).await.unwrap();
        assert_eq!(other.mail().header("Message-ID"), first, "so that the mailbox can drop the second");
    })
    .await;
}

#[tokio::test]
async fn a_refusal_for_good_is_shown_and_can_be_tried_again() {
    on_both(|db| async move {
        let post = Post::new();
        let refusing = post.start(Manners { mode: "refuse", ..TAKES });
        let manager = Manager::with(db.clone(), post.config(refusing.port));
        let company_id = manager.company("acme").await;
        manager.account(company_id, "admin", Role::CompanyAdmin).await;
        put(&manager.app, company_id, "拒否される件名").await;
        put(&manager.app, company_id, "もう一つ").await;
        assert_eq!(sweep::send_due(&manager.app, &smtp(&manager.app)).await.unwrap(), 2);

        let browser = Browser::new(&manager);
        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        let page = browser.get("/mails?state=failed").await;
        page.says("全2件");
        page.says("no such mailbox");
        browser.get("/log/operations?event=mail.").await.says("メールを送信できず");
        browser.get("/log/operations?event=mail.").await.lacks("hanako@example.jp");
        let again = page.between("action=\"/mails/", "\"");
        browser.get("/mails").await;
        browser.post(&format!("/mails/{again}"), &[]).await.goes_to("/mails");
        browser.get("/mails?state=queued").await.says("全1件");

        let later = post.start(Manners { mode: "later", ..TAKES });
        let manager = Manager::with(db.clone(), post.config(later.port));
        assert_eq!(sweep::send_due(&manager.app, &smtp(&manager.app)).await.unwrap(), 1);
        let browser = Browser::new(&manager);
        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        browser.get("/mails?state=queued").await.says("try again later");
        manager.advance(Duration::from_hours(4 * 24));
        sweep::send_due(&manager.app, &smtp(&manager.app)).await.unwrap();
        let mut tx = manager.app.db.read().await.unwrap();
        let (failed,) = fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM mails WHERE state = 'failed'").unwrap();
        assert_eq!(failed, 2, "days later it has failed");
    })
    .await;
}

#[tokio::test]
async fn two_managers_never_take_one_mail_and_a_dead_one_s_comes_back() {
    on_both(|db| async move {
        let post = Post::new();
        let server = post.start(TAKES);
        let (one, two) =
            (Manager::with(db.clone(), post.config(server.port)), Manager::with(db.clone(), post.config(server.port)));
        let company_id = one.company("acme").await;
        for number in 0..8 {
            put(&one.app, company_id, &format!("{number}")).await;
        }
        let (smtp_one, smtp_two) = (smtp(&one.app), smtp(&two.app));
        // Boxed: two such futures are larger than a stack should hold.
        let at_once = Box::pin(async {
            tokio::join!(sweep::send_due(&one.app, &smtp_one), sweep::send_due(&two.app, &smtp_two))
        });
        let (a, b) = at_once.await;
        assert_eq!(a.unwrap() + b.unwrap(), 8);
        let mut ids: Vec<String> = (0..8).map(|_| server.mail().header("Message-ID")).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 8);
        server.nothing();

        let mail_id = put(&one.app, company_id, "claimed").await;
        let mut tx = one.app.db.begin().await.unwrap();
        let lease = Duration::from_mins(5);
        let claimed = mail::store::claim(&mut tx, "dead", 10, lease, one.app.now_ms()).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(claimed.len(), 1);
        assert_eq!(sweep::send_due(&two.app, &smtp_two).await.unwrap(), 0);
        two.advance(Duration::from_mins(6));
        assert_eq!(sweep::send_due(&two.app, &smtp_two).await.unwrap(), 1);
        assert_eq!(server.mail().header("Message-ID"), format!("<{mail_id}@example.co.jp>"));
        let mut tx = one.app.db.begin().await.unwrap();
        let settled = mail::store::settle(&mut tx, "dead", &claimed[0], &mail::store::Settled::Sent, 0).await.unwrap();
        assert!(!settled, "who lost the claim settles nothing");
    })
    .await;
}

/// Company `acme` with `sato`, whose address is known, and mail.
async fn with_sato(manager: &Manager) -> (CompanyId, OperatorId) {
    let company_id = manager.company("acme").await;
    let operator_id = manager.account(company_id, "sato", Role::Operator).await;
    let mut tx = manager.app.db.begin().await.unwrap();
    let id = operator_id.to_string();
    execute!(&mut tx, "UPDATE operators SET email = 'sato@example.jp' WHERE operator_id = $1", &id).unwrap();
    tx.commit().await.unwrap();
    (company_id, operator_id)
}

#[tokio::test]
async fn who_forgot_the_password_sets_another_by_a_link_that_works_once() {
    on_both(|db| async move {
        let post = Post::new();
        let server = post.start(TAKES);
        let manager = Manager::with(db, post.config(server.port));
        with_sato(&manager).await;
        let old = Browser::new(&manager);
        old.log_in("acme", "sato", PASSWORD).await.goes_to("/");
        let lost = Browser::from(&manager, "198.51.100.3");
        lost.get("/login").await.says("href=\"/login/forgotten\"");
        lost.get("/login/forgotten").await;
        lost.post("/login/forgotten", &[("company", "acme"), ("user", "sato")]).await.says("受け付けました");

        assert_eq!(link::answer(&manager.app).await.unwrap(), 1);
        assert_eq!(sweep::send_due(&manager.app, &smtp(&manager.app)).await.unwrap(), 1);
        let mail = server.mail();
        assert_eq!(mail.to, "sato@example.jp");
        assert!(mail.body.find("再設定が依頼").unwrap() < mail.body.find("asked for a new password").unwrap());
        let address = mail.link();
        let mut tx = manager.app.db.read().await.unwrap();
        let (hash,) = fetch_one!(&mut tx, (String,), "SELECT token_hash FROM password_links").unwrap();
        assert!(!address.contains(&hash), "the database has the hash only");
        drop(tx);

        // A program that looks at the link does not use it up.
        Browser::from(&manager, "203.0.113.5").get(&address).await.says("新しいパスワードの設定");
        lost.get(&address).await.says("新しいパスワードの設定");
        let fields = |new: &'static str, again: &'static str| [("new", new), ("again", again)];
        lost.post(&address, &fields("short", "short")).await.says("8〜20文字");
        lost.post(&address, &fields("Table-9-Lamp", "Table-9-Lump")).await.says("2つで違います");
        old.get("/account").await.says("sato");
        lost.post(&address, &fields("Table-9-Lamp", "Table-9-Lamp")).await.goes_to("/login");
        lost.get("/login").await.says("パスワードを変更しました");

        old.get("/account").await.goes_to("/login?next=%2Faccount");
        let seen = lost.get(&address).await;
        assert_eq!(seen.status, StatusCode::NOT_FOUND);
        seen.says("このリンクは使えません");
        lost.post(&address, &fields("Chair-7-Door", "Chair-7-Door")).await.says("このリンクは使えません");
        lost.log_in("acme", "sato", "Table-9-Lamp").await.goes_to("/");
        sweep::send_due(&manager.app, &smtp(&manager.app)).await.unwrap();
        assert!(server.mail().body.contains("パスワードが変更されました"));
    })
    .await;
}

#[tokio::test]
async fn while_the_service_is_halted_nobody_asks_for_a_link_and_nothing_is_counted() {
    on_both(|db| async move {
        let post = Post::new();
        let manager = Manager::with(db, post.config(9));
        with_sato(&manager).await;
        let root = logged_in(&manager, "root", AdminRole::Operations).await;
        let lost = Browser::from(&manager, "198.51.100.3");
        let ask = async || {
            lost.get("/login/forgotten").await;
            lost.post("/login/forgotten", &[("company", "acme"), ("user", "sato")]).await
        };
        let told = "ただいまサービスを停止しています";

        halt(&root).await;
        let page = lost.get("/login/forgotten").await;
        page.says(told);
        page.lacks("name=\"company\"");
        // More often than one source may ask in an hour.
        for _ in 0..12 {
            let seen = ask().await;
            assert_eq!(seen.status, StatusCode::OK);
            seen.says(told);
            seen.lacks("受け付けました");
        }
        lift(&root).await;

        lost.get("/login/forgotten").await.lacks(told);
        ask().await.says("受け付けました");
        assert_eq!(link::answer(&manager.app).await.unwrap(), 1, "what was asked after the halt");
    })
    .await;
}

#[tokio::test]
async fn asking_for_a_link_tells_nothing_and_only_the_newest_link_works_for_half_an_hour() {
    on_both(|db| async move {
        let post = Post::new();
        let manager = Manager::with(db, post.config(9));
        let (company_id, _) = with_sato(&manager).await;
        manager.account(company_id, "nomail", Role::Operator).await;
        let browser = Browser::new(&manager);
        let ask = async |company: &str, user: &str| {
            browser.get("/login/forgotten").await;
            let seen = browser.post("/login/forgotten", &[("company", company), ("user", user)]).await;
            (seen.status, seen.text)
        };

        let known = ask("acme", "sato").await;
        for (company, user) in [("acme", "nobody"), ("nowhere", "sato"), ("acme", "nomail"), ("\u{0}", "' OR 1=1")] {
            assert_eq!(ask(company, user).await, known, "{company} {user}");
        }
        assert_eq!(link::answer(&manager.app).await.unwrap(), 5);
        let mut tx = manager.app.db.read().await.unwrap();
        let (mails,) = fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM mails").unwrap();
        assert_eq!(mails, 1);
        drop(tx);

        for _ in 0..3 {
            assert_eq!(ask("acme", "sato").await, known);
        }
        assert_eq!(link::answer(&manager.app).await.unwrap(), 2, "three in an hour for one account");
        let mut tx = manager.app.db.read().await.unwrap();
        let (links,) = fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM password_links").unwrap();
        assert_eq!(links, 1, "only the newest works");
        drop(tx);
        for _ in 0..2 {
            ask("acme", "x").await;
        }
        assert_eq!(ask("acme", "x").await.0, StatusCode::TOO_MANY_REQUESTS, "ten in an hour from one source");
        manager.advance(Duration::from_mins(31));
        let mut tx = manager.app.db.begin().await.unwrap();
        let now = manager.app.now_ms();
        assert_eq!(link::sweep(&mut tx, now).await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_link_never_takes_the_second_factor_away() {
    on_both(|db| async move {
        let post = Post::new();
        let server = post.start(TAKES);
        let manager = Manager::with(db, post.config(server.port));
        let (_, operator_id) = with_sato(&manager).await;
        let mut tx = manager.app.db.begin().await.unwrap();
        let id = operator_id.to_string();
        execute!(&mut tx, "UPDATE operators SET totp_sealed = 'x' WHERE operator_id = $1", &id).unwrap();
        let lang = manager::site::Lang::En;
        let now = manager.app.now_ms();
        assert!(link::send(&manager.app, &mut tx, operator_id, link::Purpose::Reset, lang, now).await.unwrap());
        tx.commit().await.unwrap();
        sweep::send_due(&manager.app, &smtp(&manager.app)).await.unwrap();
        let mail = server.mail();
        assert!(mail.body.starts_with("Somebody asked"), "{}", mail.body);
        let browser = Browser::new(&manager);
        browser.get(&mail.link()).await;
        browser.post(&mail.link(), &[("new", "Table-9-Lamp"), ("again", "Table-9-Lamp")]).await.goes_to("/login");

        browser.log_in("acme", "sato", "Table-9-Lamp").await.goes_to("/login/code");
    })
    .await;
}

#[tokio::test]
async fn a_new_account_with_an_address_gets_a_link_instead_of_a_password() {
    on_both(|db| async move {
        let post = Post::new();
        let server = post.start(TAKES);
        let manager = Manager::with(db, post.config(server.port));
        let company_id = manager.company("acme").await;
        manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let admin = Browser::new(&manager);
        admin.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        admin.get("/operators/new").await.says("リンクがそのアドレスに届きます");
        let fields = [("name", "佐藤 花子"), ("user", "sato"), ("email", "sato@example.co.jp"), ("role", "operator")];
        let seen = admin.post("/operators/new", &fields).await;
        let page = seen.location.unwrap();
        admin.get(&page).await.says("設定リンクをメールで送る");
        sweep::send_due(&manager.app, &smtp(&manager.app)).await.unwrap();
        let invitation = server.mail();
        admin.get(&page).await;
        admin.post(&format!("{page}/link"), &[]).await.goes_to(&page);
        sweep::send_due(&manager.app, &smtp(&manager.app)).await.unwrap();
        let second = server.mail();

        let sato = Browser::new(&manager);
        sato.get(&invitation.link()).await.says("このリンクは使えません");
        manager.advance(Duration::from_hours(6 * 24));
        sato.get(&second.link()).await.says("新しいパスワードの設定");
        sato.post(&second.link(), &[("new", "Table-9-Lamp"), ("again", "Table-9-Lamp")]).await.goes_to("/login");
        sato.log_in("acme", "sato", "Table-9-Lamp").await.goes_to("/");
    })
    .await;
}
