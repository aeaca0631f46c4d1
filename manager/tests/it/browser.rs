//! A browser that calls the manager without a network: cookies, the token of the page seen last, redirects as they are.

use std::{cell::RefCell, collections::BTreeMap};

use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{HeaderMap, Method, Request, StatusCode, Version, header},
};

use crate::testing::Manager;

/// A browser: it keeps cookies, and sends the token of the page that it saw last.
pub(crate) struct Browser<'a> {
    manager: &'a Manager,
    cookies: RefCell<BTreeMap<String, String>>,
    pub(crate) csrf: RefCell<String>,
    source: &'static str,
}

/// What came back.
pub(crate) struct Seen {
    pub(crate) status: StatusCode,
    pub(crate) location: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(manager: &'a Manager) -> Self {
        Self::from(manager, "192.0.2.1")
    }

    pub(crate) fn from(manager: &'a Manager, source: &'static str) -> Self {
        Self { manager, cookies: RefCell::default(), csrf: RefCell::default(), source }
    }

    /// The response itself, for streams.
    pub(crate) async fn open(&self, path: &str) -> axum::http::Response<Body> {
        self.call(Request::builder().uri(path), Body::empty()).await
    }

    async fn call(&self, request: axum::http::request::Builder, body: Body) -> axum::http::Response<Body> {
        let cookies: Vec<String> =
            self.cookies.borrow().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = request.header(header::COOKIE, cookies.join("; ")).body(body).unwrap();
        request.extensions_mut().insert(ConnectInfo(std::net::SocketAddr::new(self.source.parse().unwrap(), 50_000)));
        self.manager.respond(request).await
    }

    /// What a script asks for without anybody having touched the page.
    pub(crate) async fn get_by_itself(&self, path: &str) -> axum::http::Response<Body> {
        self.call(Request::builder().uri(path).header("x-refresh", "1"), Body::empty()).await
    }

    /// A page that is fetched in case somebody opens it.
    pub(crate) async fn prefetch(&self, path: &str) -> StatusCode {
        let request = Request::builder().uri(path).header("sec-purpose", "prefetch;prerender");
        self.call(request, Body::empty()).await.status()
    }

    /// A page that may be the same as one that was seen.
    pub(crate) async fn get_unless(&self, path: &str, tag: &str) -> Seen {
        let response = self.call(Request::builder().uri(path).header(header::IF_NONE_MATCH, tag), Body::empty()).await;
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(axum::body::to_bytes(body, 8 << 20).await.unwrap().to_vec()).unwrap();
        Seen { status: parts.status, location: None, headers: parts.headers, text }
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: String, site: &str) -> Seen {
        self.send_as(method, path, "application/x-www-form-urlencoded", body.into_bytes(), site).await
    }

    /// A form with a file.
    pub(crate) async fn upload(&self, path: &str, fields: &[(&str, &str)], file: &[u8]) -> Seen {
        let csrf = self.csrf.borrow().clone();
        let mut body = Vec::new();
        for (name, value) in [("csrf", csrf.as_str())].iter().chain(fields) {
            let head = format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
            body.extend_from_slice(head.as_bytes());
        }
        body.extend_from_slice(b"--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\n");
        body.extend_from_slice(file);
        body.extend_from_slice(b"\r\n--edge--\r\n");
        self.send_as(Method::POST, path, "multipart/form-data; boundary=edge", body, "same-origin").await
    }

    async fn send_as(&self, method: Method, path: &str, kind: &str, body: Vec<u8>, site: &str) -> Seen {
        let request = Request::builder()
            .method(method)
            .version(Version::HTTP_2)
            .uri(format!("https://desk.example.jp{path}"))
            .header(header::ACCEPT, "text/html")
            .header(header::CONTENT_TYPE, kind)
            .header("sec-fetch-site", site);
        let response = self.call(request, Body::from(body)).await;
        for cookie in response.headers().get_all(header::SET_COOKIE) {
            let (pair, attributes) = cookie.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            assert!(name.starts_with("__Host-") && attributes.contains("Secure; HttpOnly; SameSite=Lax"), "{cookie:?}");
            if attributes.contains("Max-Age=0") {
                self.cookies.borrow_mut().remove(name);
            } else {
                self.cookies.borrow_mut().insert(name.to_owned(), value.to_owned());
            }
        }
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(axum::body::to_bytes(body, 8 << 20).await.unwrap().to_vec()).unwrap();
        if let Some((_, rest)) = text.split_once("name=\"csrf\" value=\"") {
            *self.csrf.borrow_mut() = rest.split('"').next().unwrap().to_owned();
        }
        let location = parts.headers.get(header::LOCATION).map(|value| value.to_str().unwrap().to_owned());
        Seen { status: parts.status, location, headers: parts.headers, text }
    }

    /// The value of a cookie that it keeps.
    pub(crate) fn cookie(&self, name: &str) -> String {
        self.cookies.borrow()[name].clone()
    }

    /// Keeps a cookie that nobody set.
    pub(crate) fn plant(&self, name: &str, value: &str) {
        self.cookies.borrow_mut().insert(name.to_owned(), value.to_owned());
    }

    pub(crate) async fn get(&self, path: &str) -> Seen {
        self.send(Method::GET, path, String::new(), "same-origin").await
    }

    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Seen {
        let csrf = self.csrf.borrow().clone();
        let fields: Vec<(&str, &str)> = [("csrf", csrf.as_str())].into_iter().chain(fields.iter().copied()).collect();
        self.send(Method::POST, path, serde_html_form::to_string(&fields).unwrap(), "same-origin").await
    }

    pub(crate) async fn log_in(&self, company: &str, user: &str, password: &str) -> Seen {
        self.get("/login").await;
        self.post("/login", &[("company", company), ("user", user), ("password", password)]).await
    }
}

impl Seen {
    pub(crate) fn goes_to(&self, address: &str) {
        assert_eq!((self.status, self.location.as_deref()), (StatusCode::SEE_OTHER, Some(address)), "{}", self.text);
    }

    pub(crate) fn says(&self, text: &str) {
        assert!(self.text.contains(text), "{text} is not in {}", self.text);
    }

    pub(crate) fn lacks(&self, text: &str) {
        assert!(!self.text.contains(text), "{text} is in {}", self.text);
    }

    /// The text between two others.
    pub(crate) fn between(&self, before: &str, after: &str) -> String {
        let rest = self.text.split_once(before).unwrap_or_else(|| panic!("{before} is not in {}", self.text)).1;
        rest.split(after).next().unwrap().to_owned()
    }
}
