//! Databases of both engines for one test each, and a manager that is called without a network.

use std::{net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::ConnectInfo,
    http::{Method, Request, Response, StatusCode, header},
};
use manager::{
    App,
    app::os_rng,
    company::{self, CompanyCode},
    config::Config,
    db::{self, Db, url::DatabaseUrl},
    execute,
    login::password::NewPassword,
    metrics::Metrics,
    operator::{self, UserId, store::NewOperator},
    role::Role,
    router, signing_key,
};
use ops::clock::Clock;
use proto::{
    api::{error::ErrorBody, login::LoginAnswer},
    id::{CompanyId, OperatorId},
};
use serde::de::DeserializeOwned;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tower::ServiceExt as _;

/// Address of a PostgreSQL server in which tests may make schemas.
const POSTGRES: &str = "UKETSUKE_TEST_POSTGRES";
/// When every manual clock starts: 2026-09-21.
pub(crate) const START_MS: i64 = 1_790_000_000_000;
/// The password of [`Manager::operator`].
pub(crate) const PASSWORD: &str = "Correct-Horse-42";

/// Runs a test on a new SQLite file and, when the environment names a server, in a new PostgreSQL schema.
pub(crate) async fn on_both<F, Fut>(test: F)
where
    F: Fn(Db) -> Fut,
    Fut: Future<Output = ()>,
{
    let folder = tempfile::tempdir().unwrap();
    let db = open(&DatabaseUrl::Sqlite(folder.path().join("test.sqlite"))).await;
    test(db.clone()).await;
    db.close().await;

    #[expect(clippy::disallowed_methods, reason = "the harness is told by its caller where PostgreSQL is")]
    let Ok(server) = std::env::var(POSTGRES) else {
        announce(&format!("PostgreSQL half skipped: {POSTGRES} is not set"));
        return;
    };
    let schema = format!("test_{}", hex::encode(manager::app::draw_id()));
    let mut connection = PgConnection::connect(&server).await.unwrap();
    connection.execute(AssertSqlSafe(format!("CREATE SCHEMA {schema}"))).await.unwrap();
    let mark = if server.contains('?') { '&' } else { '?' };
    let db = open(&format!("{server}{mark}options[search_path]={schema}").parse().unwrap()).await;
    test(db.clone()).await;
    db.close().await;
    connection.execute(AssertSqlSafe(format!("DROP SCHEMA {schema} CASCADE"))).await.unwrap();
    connection.close().await.unwrap();
}

async fn open(url: &DatabaseUrl) -> Db {
    let db = Db::open(url, 8).await.unwrap();
    db::migrate::run(&db).await.unwrap();
    db
}

/// A manager with a manual clock.
pub(crate) struct Manager {
    pub(crate) app: App,
    pub(crate) clock: Clock,
    router: Router,
}

/// An answer whose body was read.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Manager {
    /// A manager with the default configuration.
    pub(crate) fn new(db: Db) -> Self {
        Self::with(db, Config::default())
    }

    /// A manager with another configuration.
    pub(crate) fn with(db: Db, config: Config) -> Self {
        let clock = Clock::manual(START_MS);
        let key = signing_key::named([7; 32]).unwrap();
        let app = App::new(db, clock.clone(), config, Metrics::new().unwrap(), key);
        Self { router: router::router(app.clone()), app, clock }
    }

    /// Moves the clock.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Creates a company.
    pub(crate) async fn company(&self, code: &str) -> CompanyId {
        let mut tx = self.app.db.begin().await.unwrap();
        let code: CompanyCode = code.parse().unwrap();
        let company_id =
            company::create(&mut tx, &code, &"株式会社サンプル".parse().unwrap(), self.app.now_ms()).await.unwrap();
        tx.commit().await.unwrap();
        company_id
    }

    /// Puts terms into force that every person must agree to.
    pub(crate) async fn terms(&self) {
        let mut tx = self.app.db.begin().await.unwrap();
        execute!(
            &mut tx,
            "INSERT INTO terms
            (revision_id, edition, in_force_from_ms, agree, author, created_at_ms, publisher, published_at_ms, version,
                changes_ja, changes_en, body_ja, body_en)
            VALUES ('r1', '1', 1, TRUE, '-', 1, '-', 1, 1, '-', '-', '-', '')"
        )
        .unwrap();
        tx.commit().await.unwrap();
    }

    /// Creates an operator with [`PASSWORD`].
    pub(crate) async fn operator(&self, company_id: CompanyId, user: &str) -> OperatorId {
        self.account(company_id, user, Role::Operator).await
    }

    /// Creates an account with [`PASSWORD`] and a role.
    pub(crate) async fn account(&self, company_id: CompanyId, user: &str, role: Role) -> OperatorId {
        let user_id: UserId = user.parse().unwrap();
        let password_hash = NewPassword::parse(PASSWORD, 20).unwrap().hash(&mut os_rng()).unwrap();
        let new = NewOperator { company_id, user_id, name: "山田 太郎".parse().unwrap(), password_hash, role };
        let mut tx = self.app.db.begin().await.unwrap();
        let operator_id = operator::store::create(&mut tx, &new, self.app.now_ms()).await.unwrap();
        tx.commit().await.unwrap();
        operator_id
    }

    /// Company `acme`, operator `yamada`, logged in.
    pub(crate) async fn logged_in(&self) -> LoginAnswer {
        let company_id = self.company("acme").await;
        self.operator(company_id, "yamada").await;
        self.login("acme", "yamada", PASSWORD).await.json()
    }

    /// Tries to log in.
    pub(crate) async fn login(&self, company: &str, user: &str, password: &str) -> Answer {
        let body = serde_json::json!({ "company": company, "user": user, "password": password });
        self.post("/v1/login", None, &body.to_string()).await
    }

    /// A `POST` with a JSON body from 192.0.2.1.
    pub(crate) async fn post(&self, path: &str, token: Option<&str>, body: &str) -> Answer {
        self.send(Method::POST, path, token, "192.0.2.1", Body::from(body.to_owned())).await
    }

    /// A `GET` from 192.0.2.1.
    pub(crate) async fn get(&self, path: &str, token: Option<&str>) -> Answer {
        self.send(Method::GET, path, token, "192.0.2.1", Body::empty()).await
    }

    /// Any request from anywhere.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        source: &str,
        body: Body,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let mut request = request.body(body).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(source.parse().unwrap(), 50_000)));
        Answer::read(self.router.clone().oneshot(request).await.unwrap()).await
    }

    /// The response itself, for event streams; from 192.0.2.1 unless the request says from where.
    pub(crate) async fn respond(&self, mut request: Request<Body>) -> Response<Body> {
        let usual = ConnectInfo(SocketAddr::from(([192, 0, 2, 1], 50_000)));
        request.extensions_mut().get_or_insert(usual);
        self.router.clone().oneshot(request).await.unwrap()
    }
}

impl Answer {
    pub(crate) async fn read(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 1024 * 1024).await.unwrap();
        Self { status: parts.status, headers: parts.headers, body }
    }

    /// The body of a good answer.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> T {
        assert!(self.status.is_success(), "{} {:?}", self.status, self.body);
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The body of a refusal.
    pub(crate) fn error(&self) -> ErrorBody {
        assert!(!self.status.is_success(), "{:?}", self.body);
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// The default configuration with one change.
pub(crate) fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::default();
    change(&mut config);
    config
}

/// A count that a configuration takes.
pub(crate) fn count(value: u32) -> NonZeroU32 {
    NonZeroU32::new(value).unwrap()
}

/// Runs `n` tasks at once and gives what they gave.
pub(crate) async fn at_once<T, Fut>(n: usize, task: impl Fn(usize) -> Fut) -> Vec<T>
where
    T: Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(tokio::sync::Barrier::new(n));
    let tasks: Vec<_> = (0..n)
        .map(|index| {
            let (start, task) = (Arc::clone(&start), task(index));
            tokio::spawn(async move {
                start.wait().await;
                task.await
            })
        })
        .collect();
    let mut results = Vec::with_capacity(n);
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

#[expect(clippy::print_stdout, reason = "whoever runs the tests must see that half of them did not run")]
fn announce(line: &str) {
    println!("{line}");
}
