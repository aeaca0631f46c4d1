//! What holds for every route, and the running server on real sockets.

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{Method, Request, StatusCode},
    routing::get,
};
use manager::{
    config::Config,
    db::{
        migrate::{GENERATION, SchemaError},
        url::DatabaseUrl,
    },
    execute, router,
    serve::{self, ServeError},
};
use ops::{
    logs::{self, LogFormat},
    shutdown::Shutdown,
    tls,
};
use proto::{api::error::ErrorCode, limits};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsConnector;
use tower::ServiceExt as _;
use tracing_subscriber::fmt::MakeWriter;

use crate::{
    browser::Browser,
    testing::{Manager, PASSWORD, on_both},
};

#[tokio::test]
async fn every_answer_has_the_security_headers_and_an_id() {
    on_both(|db| async {
        let manager = Manager::new(db);
        let mut ids = Vec::new();
        for path in ["/v1/openapi.json", "/v1", "/v1/../secret", "/v1/login", "/v1/logout"] {
            let answer = manager.get(path, None).await;
            for (name, value) in [
                ("cache-control", "no-store"),
                ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
                ("referrer-policy", "no-referrer"),
                ("strict-transport-security", "max-age=63072000; includeSubDomains"),
                ("x-content-type-options", "nosniff"),
            ] {
                assert_eq!(answer.headers[name], value, "{path}");
            }
            ids.push(answer.headers["x-request-id"].to_str().unwrap().to_owned());
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 5);
    })
    .await;
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_have_our_body() {
    on_both(|db| async {
        let manager = Manager::new(db);

        let unknown = manager.get("/v1/nothing", None).await;
        assert_eq!((unknown.status, unknown.error().code), (StatusCode::NOT_FOUND, ErrorCode::NotFound));
        let wrong = manager.get("/v1/login", None).await;
        assert_eq!((wrong.status, wrong.error().code), (StatusCode::METHOD_NOT_ALLOWED, ErrorCode::BadRequest));
    })
    .await;
}

#[tokio::test]
async fn garbage_is_refused_with_a_clear_sentence() {
    on_both(|db| async {
        let manager = Manager::new(db);
        let deep = "[".repeat(30_000);
        for (body, says) in [
            ("", "EOF"),
            ("{", "EOF"),
            ("null", "LoginRequest"),
            ("{}", "company"),
            (r#"{"company":1,"user":"a","password":"b"}"#, "company"),
            (r#"{"company":"a","user":"b"}"#, "password"),
            (deep.as_str(), "body"),
        ] {
            let answer = manager.post("/v1/login", None, body).await;
            assert_eq!(
                (answer.status, answer.error().code),
                (StatusCode::BAD_REQUEST, ErrorCode::BadRequest),
                "{says}"
            );
            assert!(answer.error().message.contains(says), "{}", answer.error().message);
        }
        let binary = Body::from(vec![0xff_u8; 64]);
        let answer = manager.send(Method::POST, "/v1/login", None, "192.0.2.1", binary).await;
        assert_eq!(answer.error().code, ErrorCode::BadRequest);
    })
    .await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_is_read() {
    on_both(|db| async {
        let manager = Manager::new(db);
        let padding = |len: usize| format!(r#"{{"company":"a","user":"b","password":"{}"}}"#, "x".repeat(len));

        let fits = manager.post("/v1/login", None, &padding(limits::API_BODY_MAX - 100)).await;
        assert_eq!(fits.error().code, ErrorCode::LoginFailed);
        let large = manager.post("/v1/login", None, &padding(limits::API_BODY_MAX)).await;
        assert_eq!((large.status, large.error().code), (StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::TooLarge));
    })
    .await;
}

#[tokio::test]
async fn a_body_that_never_comes_ends_at_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::Sqlite(folder.path().join("test.sqlite"));
    let db = manager::db::Db::open(&url, 1).await.unwrap();
    manager::db::migrate::run(&db).await.unwrap();
    let manager = Manager::new(db);
    tokio::time::pause();

    let silent = Body::from_stream(tokio_stream::pending::<Result<Bytes, io::Error>>());
    let answer = manager.send(Method::POST, "/v1/login", None, "192.0.2.1", silent).await;

    assert_eq!((answer.status, answer.error().code), (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Busy));
}

#[tokio::test]
async fn a_page_that_takes_too_long_is_a_page_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let db = manager::db::Db::open(&DatabaseUrl::Sqlite(folder.path().join("test.sqlite")), 1).await.unwrap();
    manager::db::migrate::run(&db).await.unwrap();
    let manager = Manager::new(db);
    tokio::time::pause();

    for (path, kind) in [("/login", "application/x-www-form-urlencoded"), ("/v1/login", "application/json")] {
        let silent = Body::from_stream(tokio_stream::pending::<Result<Bytes, io::Error>>());
        let request = Request::post(path)
            .header("accept", "text/html,*/*;q=0.8")
            .header("accept-language", "ja")
            .header("content-type", kind)
            .header("sec-fetch-site", "same-origin")
            .body(silent)
            .unwrap();
        let response = manager.respond(request).await;

        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(response.headers().contains_key("retry-after"), "{path}");
        let is_page = response.headers()["content-type"].to_str().unwrap().starts_with("text/html");
        assert_eq!(is_page, path == "/login", "{path}");
    }
}

#[tokio::test]
async fn the_document_names_every_route_and_schema_of_the_login() {
    on_both(|db| async {
        let manager = Manager::new(db);
        let document: serde_json::Value = manager.get(router::OPENAPI, None).await.json();

        assert!(document["paths"]["/v1/login"]["post"]["responses"]["401"].is_object());
        assert!(document["paths"]["/v1/logout"]["post"]["security"][0]["bearer"].is_array());
        assert!(document["components"]["schemas"]["LoginAnswer"].is_object());
        assert!(document["components"]["schemas"]["ErrorBody"].is_object());
        assert_eq!(document, serde_json::to_value(router::openapi()).unwrap());
    })
    .await;
}

#[tokio::test]
async fn requests_are_counted_by_route_and_status() {
    on_both(|db| async {
        let manager = Manager::new(db);
        manager.logged_in().await;
        manager.get("/nowhere/at/all", None).await;

        let text = manager.app.metrics.registry.text();
        assert!(text.contains("manager_http_requests_total{route=\"/v1/login\",status=\"200\"} 1"), "{text}");
        assert!(text.contains("manager_http_requests_total{route=\"none\",status=\"404\"} 1"), "{text}");
        assert!(text.contains("manager_http_request_seconds_count{route=\"/v1/login\"} 1"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn passwords_and_tokens_are_never_logged() {
    let lines = Lines::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(lines.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    on_both(|db| async {
        let manager = Manager::new(db);
        let login = manager.logged_in().await;
        manager.login("acme", "yamada", "Planted-Wrong-1").await;
        manager.login("planted-company", "planted-user", "Planted-Wrong-2").await;
        manager.post("/v1/login", None, r#"{"company":"a","user":"b","password":["Planted-Wrong-3"]}"#).await;
        manager.post("/v1/logout", Some(&login.token), "").await;

        let text = String::from_utf8_lossy(&lines.0.lock().unwrap()).into_owned();
        assert!(text.contains("login.succeeded") && text.contains("login.failed"), "{text}");
        for secret in [PASSWORD, "Planted", "planted", "$argon2id", login.token.as_str()] {
            assert!(!text.contains(secret), "{secret} is in the log");
        }
    })
    .await;
}

#[tokio::test]
async fn an_error_and_a_panic_leave_a_line_with_the_request() {
    let lines = Lines::default();
    let _guard = tracing::dispatcher::set_default(&logs::lines(LogFormat::Json, lines.clone()));
    let lines = &lines;
    on_both(|db| async move {
        lines.0.lock().unwrap().clear();
        let manager = Manager::new(db.clone());
        let routes = Router::new()
            .route("/breaks", get(async || -> &'static str { panic!("planted\nforged {}", 7) }))
            .route("/v1/breaks", get(async || -> &'static str { panic!("planted in the API") }));
        let broken = router::around(routes, manager.app.clone());
        let mut ids = Vec::new();
        for path in ["/breaks", "/v1/breaks"] {
            let request = Request::get(path).header("accept", "text/html").body(Body::empty()).unwrap();
            let response = broken.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
            ids.push((path, response.headers()["x-request-id"].to_str().unwrap().to_owned()));
            let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
            assert!(!String::from_utf8_lossy(&body).contains("planted"), "the caller learns nothing of it");
        }
        db.close().await;
        let failed = manager.get("/v1/receptions", Some("x")).await;
        assert!(failed.status.is_server_error());
        ids.push(("/v1/receptions", failed.headers["x-request-id"].to_str().unwrap().to_owned()));

        let text = lines.text();
        for (path, id) in ids {
            let mut of_it = text.lines().filter(|line| line.contains(&id));
            let line: serde_json::Value = serde_json::from_str(of_it.next().unwrap()).unwrap();
            let is_panic = path != "/v1/receptions";
            assert!(["ERROR", "WARN"].contains(&line["level"].as_str().unwrap()), "{line}");
            assert_eq!(line["error"].as_str().unwrap().contains("planted"), is_panic, "{line}");
            assert_eq!(line["span"]["http.route"], path, "{line}");
            assert_eq!(of_it.next(), None, "one line tells it");
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_not_allowed_is_logged_with_its_route() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    on_both(|db| async {
        lines.0.lock().unwrap().clear();
        let manager = Manager::new(db);
        let account = manager.logged_in().await.operator_id.to_string();
        let browser = Browser::new(&manager);
        browser.log_in("acme", "yamada", PASSWORD).await.goes_to("/");
        browser.get("/log/sessions").await.says("サポート履歴");
        let text = || String::from_utf8_lossy(&lines.0.lock().unwrap()).into_owned();
        assert!(!text().contains("access.refused"), "{}", text());

        assert_eq!(browser.get("/log/operations").await.status, StatusCode::FORBIDDEN);
        assert_eq!(
            browser.send(Method::POST, "/logout", String::new(), "cross-site").await.status,
            StatusCode::FORBIDDEN
        );

        let text = text();
        let refused: Vec<&str> = text.lines().filter(|line| line.contains("access.refused")).collect();
        assert!(
            refused.len() == 2 && refused[0].contains("/log/operations") && refused[1].contains("/logout"),
            "{text}"
        );
        assert!(refused[0].contains(&account), "who was refused: {text}");
    })
    .await;
}

#[tokio::test]
async fn the_server_answers_over_tls_says_it_is_ready_and_drains() {
    let Running { address, private_address, connector, shutdown, server, _folder } = Running::start().await;
    until_ready(private_address).await;
    let answer = say(&connector, address, request("/v1/openapi.json").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("Uketsuke manager"));

    let metrics = plain(private_address, "/metrics").await;
    assert!(metrics.contains("manager_http_requests_total{route=\"/v1/openapi.json\",status=\"200\"} 1"), "{metrics}");
    assert!(metrics.contains("manager_build_info") && metrics.contains("manager_config_info"));

    shutdown.drain();
    server.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_running_manager_that_a_later_version_shuts_out_is_not_ready_drains_and_says_why() {
    let Running { address, private_address, connector, shutdown: _, server, _folder: folder } = Running::start().await;
    until_ready(private_address).await;
    // A request that has begun is waited for, so that there is time to look.
    let stream = TcpStream::connect(address).await.unwrap();
    let mut begun = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    let head = "POST /v1/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                content-length: 2\r\nexpect: 100-continue\r\n\r\n";
    begun.write_all(head.as_bytes()).await.unwrap();
    let mut goes_on = [0; 12];
    begun.read_exact(&mut goes_on).await.unwrap();
    assert_eq!(&goes_on, b"HTTP/1.1 100");

    let url = DatabaseUrl::Sqlite(folder.path().join("manager.sqlite"));
    let db = manager::db::Db::open(&url, 1).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    execute!(&mut tx, "UPDATE service SET oldest_manager = $1", GENERATION + 1).unwrap();
    tx.commit().await.unwrap();

    let drains = async {
        while !plain(private_address, "/readyz").await.contains("not ready: schema, draining") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), drains).await.unwrap();
    drop(begun);
    let refused = server.await.unwrap().unwrap_err();
    let oldest = GENERATION + 1;
    assert!(matches!(refused, ServeError::Schema(SchemaError::Newer { oldest: told }) if told == oldest), "{refused}");
}

#[tokio::test]
async fn an_address_on_which_somebody_listens_is_refused_before_anything_is_opened() {
    let other = bound().await;

    let taken = serve::reserve(other.local_addr().unwrap()).unwrap_err();

    assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn an_address_on_which_somebody_listens_in_the_meantime_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let config = configured(folder.path(), &tls::authority().unwrap().issue(&["localhost"]).unwrap());
    let first = serve::reserve(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = first.local_addr().unwrap();
    let second = serve::reserve(address).unwrap();
    let _listening = first.listen(1).unwrap();

    let refused = serve::run(config, second, bound().await, Shutdown::new()).await.unwrap_err();

    assert_eq!(refused.to_string(), format!("listen {address}"));
    let taken = matches!(&refused, ServeError::Taken { source, .. } if source.kind() == io::ErrorKind::AddrInUse);
    assert!(taken, "{refused:?}");
}

/// What stands behind a request that is not clear about its end: it must never be answered.
const SMUGGLED: &str = "GET /v1/openapi.json HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn no_request_hides_in_another_one() {
    let Running { address, private_address, connector, shutdown, server, _folder } = Running::start().await;
    until_ready(private_address).await;
    let post = "POST /v1/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let chunked = "transfer-encoding: chunked\r\n";
    for (what, head, body) in [
        ("two lengths", "content-length: 0\r\ncontent-length: 67\r\n", ""),
        ("two lengths in one line", "content-length: 0, 67\r\n", ""),
        ("a length before chunks", "content-length: 5\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n"),
        ("a length behind chunks", "transfer-encoding: chunked\r\ncontent-length: 5\r\n", "0\r\n\r\n"),
        ("a signed length", "content-length: +0\r\n", ""),
        ("a negative length", "content-length: -1\r\n", ""),
        ("a length in hexadecimal", "content-length: 0x0\r\n", ""),
        ("a length that no number holds", "content-length: 18446744073709551616\r\n", ""),
        ("an empty length", "content-length:\r\n", ""),
        ("a space before the colon", "content-length : 0\r\n", ""),
        ("a tabulator before the colon", "transfer-encoding\t: chunked\r\n", "0\r\n\r\n"),
        ("a folded line", "x-a: b\r\n content-length: 0\r\n", ""),
        ("a folded encoding", "transfer-encoding:\r\n chunked\r\n", "0\r\n\r\n"),
        ("a CR alone", "x-a: b\rcontent-length: 0\r\n", ""),
        ("a NUL", "content-length: 0\0\r\n", ""),
        ("an encoding that nobody knows", "transfer-encoding: xchunked\r\n", "0\r\n\r\n"),
        ("chunks inside another encoding", "transfer-encoding: chunked, identity\r\n", "0\r\n\r\n"),
        ("two encodings", "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n", "0\r\n\r\n"),
        ("a chunk of a signed size", chunked, "+0\r\n\r\n"),
        ("a chunk of a size with a prefix", chunked, "0x0\r\n\r\n"),
        ("a chunk of a size that no number holds", chunked, "10000000000000000\r\n\r\n"),
        ("a chunk longer than its size", chunked, "1\r\nab\r\n0\r\n\r\n"),
        ("an end of a chunk without CR", chunked, "0;a\n\r\n"),
    ] {
        let answer = say(&connector, address, format!("{post}{head}\r\n{body}{SMUGGLED}").as_bytes()).await;
        assert!(!answer.contains("Uketsuke manager"), "{what} lets another request in: {answer}");
        let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 400 ");
        assert!(refused, "{what}: {answer}");
        assert!(answer.matches("HTTP/1.1 ").count() < 2, "{what}: {answer}");
    }
    // Chunks are taken, and nothing behind them.
    let whole = "2\r\n{}\r\n0\r\n\r\n";
    let answer = say(&connector, address, format!("{post}{chunked}\r\n{whole}{SMUGGLED}").as_bytes()).await;
    assert!(answer.contains("company") && !answer.contains("Uketsuke manager"), "{answer}");
    // Older ways to say it do not know chunks.
    let old = format!("POST /v1/login HTTP/1.0\r\nhost: localhost\r\n{chunked}\r\n0\r\n\r\n{SMUGGLED}");
    let answer = say(&connector, address, old.as_bytes()).await;
    assert!(!answer.contains("Uketsuke manager"), "{answer}");
    // Lines that end with LF alone are one request for everybody, and two clear ones follow each other.
    let two = format!("{}{SMUGGLED}", "GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n".replace("\r\n", "\n"));
    let answer = say(&connector, address, two.as_bytes()).await;
    let both = answer.contains("HTTP/1.1 404 ") && answer.contains("Uketsuke manager");
    assert!(both || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    shutdown.drain();
    server.await.unwrap().unwrap();
}

/// A server on real sockets, and how to speak to it over TLS.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) private_address: SocketAddr,
    pub(crate) connector: TlsConnector,
    pub(crate) shutdown: Shutdown,
    pub(crate) server: JoinHandle<Result<(), ServeError>>,
    _folder: TempDir,
}

impl Running {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// One whose configuration has a change.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = tls::authority().unwrap();
        let mut config = configured(folder.path(), &authority.issue(&["localhost"]).unwrap());
        change(&mut config);
        let public = serve::reserve(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let private = bound().await;
        let (address, private_address) = (public.local_addr().unwrap(), private.local_addr().unwrap());
        let shutdown = Shutdown::new();
        let server = tokio::spawn(serve::run(config, public, private, shutdown.clone()));
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.ca_pem().as_bytes()).unwrap()).unwrap();
        let client = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(client));
        Self { address, private_address, connector, shutdown, server, _folder: folder }
    }
}

/// Sends bytes as they are over a connection of their own; everything that comes until the server closes it.
pub(crate) async fn say(connector: &TlsConnector, address: SocketAddr, bytes: &[u8]) -> String {
    let stream = TcpStream::connect(address).await.unwrap();
    let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    text(&mut stream).await
}

/// Log lines in memory.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// What was written so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(&mut *self.0.lock().unwrap(), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn configured(folder: &Path, files: &tls::CertifiedFiles) -> Config {
    let at = |name: &str| folder.join(name);
    std::fs::write(at("certificate.pem"), &files.cert_pem).unwrap();
    std::fs::write(at("certificate.key"), &files.key_pem).unwrap();
    let mut config = Config {
        certificate_file: at("certificate.pem"),
        key_file: at("certificate.key"),
        signing_key_file: at("signing.key"),
        ..Config::default()
    };
    config.database.url = DatabaseUrl::Sqlite(at("manager.sqlite"));
    config
}

async fn bound() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

pub(crate) fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
}

pub(crate) async fn plain(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request(path).as_bytes()).await.unwrap();
    text(&mut stream).await
}

async fn text(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut bytes)).await.unwrap().unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Asks until the database was seen; the server looks at once when it starts.
pub(crate) async fn until_ready(address: SocketAddr) {
    let ready = async {
        while !plain(address, "/readyz").await.contains("200 OK") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ready).await.unwrap();
}
