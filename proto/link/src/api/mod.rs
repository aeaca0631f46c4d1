//! The caller of the manager's HTTPS API, for both tools and the relay.
//!
//! Guarantees: TLS 1.2 or 1.3 with the system's roots, or with the given authority only; no redirect is followed, so a
//! bearer token never goes to another host; connecting takes at most [`CONNECT_TIMEOUT`], a whole call at most
//! [`CALL_TIMEOUT`]; an answer is at most [`ANSWER_LEN_MAX`] bytes.
//! It does not retry: the caller knows which call may be repeated and when.

mod error;
mod events;

use std::time::Duration;

use proto::{
    api::{
        error::{ErrorBody, ErrorCode},
        login::{LOGIN, LOGOUT, LoginAnswer, LoginRequest},
        reception::{
            ENTER, EnterAnswer, EnterRequest, IssueRequest, RECEPTION_CANCEL, RECEPTION_EXTEND, RECEPTIONS,
            ReceptionBody, ReceptionList,
        },
        relay::{HEARTBEAT, HeartbeatAnswer, HeartbeatRequest, REPORT, ReportAnswer, ReportRequest},
        session::{
            ConsentRequest, DeviceRequest, EndRequest, RenewAnswer, SESSION_CONSENT, SESSION_DEVICE, SESSION_END,
            SESSION_PROVED, SESSION_TICKET, SESSIONS, SessionList,
        },
    },
    id::{ReceptionId, SessionId},
};
use reqwest::{
    Certificate, Client, RequestBuilder, Response, Url,
    header::{AUTHORIZATION, HeaderValue},
    redirect, tls,
};
use serde::de::DeserializeOwned;

pub use self::{error::ApiError, events::NumberedEvent};
use crate::proxy::Proxies;

/// Name, TCP and TLS together; a manager further away than this is not usable for support.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// From the call to the last byte of the answer; the slowest honest answer is a login behind a queue of password hashes.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of one answer; the longest honest one is a heartbeat's list of revoked sessions.
const ANSWER_LEN_MAX: usize = 1024 * 1024;

/// The manager, as its callers see it. Clones share connections.
#[derive(Clone)]
pub struct ManagerApi {
    client: Client,
    base: String,
    bearer: Option<HeaderValue>,
    proxies: Proxies,
}

impl ManagerApi {
    /// Prepares calls to the manager at `url` (`https://…`), without connecting.
    ///
    /// `ca_pem` holds one or more PEM certificates; when given, nothing else is trusted. Proxies are those of the system.
    ///
    /// # Errors
    /// [`ApiError::Malformed`] when the address or the certificates cannot be used.
    pub fn new(url: &str, ca_pem: Option<&[u8]>) -> Result<Self, ApiError> {
        Self::through(url, ca_pem, Proxies::system())
    }

    /// As [`Self::new`], with these proxies.
    ///
    /// # Errors
    /// See [`Self::new`].
    pub fn through(url: &str, ca_pem: Option<&[u8]>, proxies: Proxies) -> Result<Self, ApiError> {
        let url = Url::parse(url).map_err(|error| ApiError::Malformed(format!("the manager's address: {error}")))?;
        if url.scheme() != "https" || !url.has_host() || url.query().is_some() || url.fragment().is_some() {
            return Err(ApiError::Malformed("the manager's address must look like https://host/".to_owned()));
        }
        install_provider();
        let mut builder = Client::builder()
            .user_agent(concat!("uketsuke/", env!("CARGO_PKG_VERSION")))
            .https_only(true)
            .tls_version_min(tls::Version::TLS_1_2)
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT);
        if let Some(pem) = ca_pem {
            builder = builder.tls_certs_only(authorities(pem)?);
        }
        builder = proxies.apply(builder, url.host_str().unwrap_or_default()).map_err(ApiError::transport)?;
        let client = builder.build().map_err(ApiError::transport)?;
        Ok(Self { client, base: url.as_str().trim_end_matches('/').to_owned(), bearer: None, proxies })
    }

    /// The manager's address.
    pub fn url(&self) -> &str {
        &self.base
    }

    /// The proxies that its callers use, for the way to relays.
    pub const fn proxies(&self) -> &Proxies {
        &self.proxies
    }

    /// The same manager, called with a bearer token.
    pub fn with_token(&self, token: &str) -> Self {
        // A token with bytes that cannot stand in a header is no token; the manager then says so.
        let mut bearer = HeaderValue::try_from(format!("Bearer {token}")).ok();
        if let Some(value) = &mut bearer {
            value.set_sensitive(true);
        }
        Self { bearer, ..self.clone() }
    }

    /// Logs an operator in.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn login(&self, request: &LoginRequest) -> Result<LoginAnswer, ApiError> {
        self.call(self.post(LOGIN).json(request)).await
    }

    /// Revokes the bearer token.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn logout(&self) -> Result<(), ApiError> {
        self.tell(self.post(LOGOUT)).await
    }

    /// Issues a reception; the same `idempotency_key` gives the same reception again.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn issue(&self, request: &IssueRequest, idempotency_key: &str) -> Result<ReceptionBody, ApiError> {
        self.call(self.post(RECEPTIONS).header("Idempotency-Key", idempotency_key).json(request)).await
    }

    /// The operator's own open receptions, newest first.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn receptions(&self) -> Result<ReceptionList, ApiError> {
        self.call(self.get(RECEPTIONS)).await
    }

    /// Makes a number unusable.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn cancel(&self, reception: ReceptionId) -> Result<ReceptionBody, ApiError> {
        self.call(self.post(&of_reception(RECEPTION_CANCEL, reception))).await
    }

    /// Gives a number its full life again, counted from now.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn extend(&self, reception: ReceptionId) -> Result<ReceptionBody, ApiError> {
        self.call(self.post(&of_reception(RECEPTION_EXTEND, reception))).await
    }

    /// Enters a number, as the customer.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn enter(&self, request: &EnterRequest) -> Result<EnterAnswer, ApiError> {
        self.call(self.post(ENTER).json(request)).await
    }

    /// Says that both confirmations of the key exchange held. Repeatable.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn proved(&self, session: SessionId) -> Result<(), ApiError> {
        self.tell(self.post(&of_session(SESSION_PROVED, session))).await
    }

    /// Says what the customer allowed, refused or took back. Repeatable.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn consent(&self, session: SessionId, request: &ConsentRequest) -> Result<(), ApiError> {
        self.tell(self.post(&of_session(SESSION_CONSENT, session)).json(request)).await
    }

    /// Sends the device facts that the customer saw and agreed to send.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn device(&self, session: SessionId, request: &DeviceRequest) -> Result<(), ApiError> {
        self.tell(self.post(&of_session(SESSION_DEVICE, session)).json(request)).await
    }

    /// Gets a fresh ticket for the same proof key, with the relays of now; at most one in a second.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn renew_ticket(&self, session: SessionId) -> Result<RenewAnswer, ApiError> {
        self.call(self.post(&of_session(SESSION_TICKET, session))).await
    }

    /// Says that the session is over. Repeatable; the first reason counts.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn end(&self, session: SessionId, request: &EndRequest) -> Result<(), ApiError> {
        self.tell(self.post(&of_session(SESSION_END, session)).json(request)).await
    }

    /// The operator's own sessions, newest first, `limit` (1–200) at most.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn sessions(&self, limit: u32) -> Result<SessionList, ApiError> {
        self.call(self.get(&format!("{SESSIONS}?limit={limit}"))).await
    }

    /// Says that a relay is alive.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn heartbeat(&self, request: &HeartbeatRequest) -> Result<HeartbeatAnswer, ApiError> {
        self.call(self.post(HEARTBEAT).json(request)).await
    }

    /// Reports what happened at a relay. Repeatable.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn report(&self, request: &ReportRequest) -> Result<ReportAnswer, ApiError> {
        self.call(self.post(REPORT).json(request)).await
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.signed(self.client.get(format!("{}{path}", self.base)))
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.signed(self.client.post(format!("{}{path}", self.base)))
    }

    fn signed(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.bearer {
            Some(bearer) => request.header(AUTHORIZATION, bearer.clone()),
            None => request,
        }
    }

    /// A call whose answer has a body.
    async fn call<A: DeserializeOwned>(&self, request: RequestBuilder) -> Result<A, ApiError> {
        let body = within_time(async { body(accepted(send(request).await?).await?).await }).await?;
        serde_json::from_slice(&body).map_err(|error| ApiError::Malformed(error.to_string()))
    }

    /// A call whose answer says nothing but yes.
    async fn tell(&self, request: RequestBuilder) -> Result<(), ApiError> {
        within_time(async { body(accepted(send(request).await?).await?).await }).await.map(drop)
    }

    /// A call whose answer goes on.
    async fn open(&self, request: RequestBuilder) -> Result<Response, ApiError> {
        within_time(async { accepted(send(request).await?).await }).await
    }
}

impl std::fmt::Debug for ManagerApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ManagerApi").field("base", &self.base).finish_non_exhaustive()
    }
}

async fn within_time<T>(call: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    tokio::time::timeout(CALL_TIMEOUT, call)
        .await
        .unwrap_or_else(|_elapsed| Err(ApiError::Unreachable(format!("no complete answer within {CALL_TIMEOUT:?}"))))
}

async fn send(request: RequestBuilder) -> Result<Response, ApiError> {
    request.send().await.map_err(ApiError::transport)
}

/// The answer when it is 2xx, the refusal otherwise.
async fn accepted(response: Response) -> Result<Response, ApiError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let refusal = serde_json::from_slice::<ErrorBody>(&body(response).await?);
    match refusal {
        Ok(body) => Err(ApiError::Refused { status: status.as_u16(), body }),
        // A proxy or load balancer in front of the manager answers in its own words.
        Err(_other_words) if status.is_server_error() || status.as_u16() == 429 => Err(ApiError::Refused {
            status: status.as_u16(),
            body: ErrorBody { code: ErrorCode::Unknown, message: format!("status {status}"), retry_after_secs: None },
        }),
        Err(_other_words) => Err(ApiError::Malformed(format!("status {status} without a manager's refusal"))),
    }
}

/// The whole body, bounded.
async fn body(mut response: Response) -> Result<Vec<u8>, ApiError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(ApiError::transport)? {
        if ANSWER_LEN_MAX < body.len().saturating_add(chunk.len()) {
            return Err(ApiError::Malformed(format!("an answer longer than {ANSWER_LEN_MAX} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn of_session(path: &str, session: SessionId) -> String {
    path.replace("{session_id}", &session.to_string())
}

fn of_reception(path: &str, reception: ReceptionId) -> String {
    path.replace("{reception_id}", &reception.to_string())
}

fn authorities(pem: &[u8]) -> Result<Vec<Certificate>, ApiError> {
    let found = Certificate::from_pem_bundle(pem).map_err(ApiError::transport)?;
    if found.is_empty() {
        return Err(ApiError::Malformed("there is no certificate in the authority's file".to_owned()));
    }
    Ok(found)
}

/// Gives rustls its cryptography unless the program has chosen already.
fn install_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Losing the race to another thread is fine: then there is a provider too.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_addresses_are_taken() {
        for wrong in ["", "manager", "http://manager.example/", "https://", "ftp://x/", "https://m.example/?a=b"] {
            assert!(matches!(ManagerApi::new(wrong, None), Err(ApiError::Malformed(_))), "{wrong}");
        }
    }

    #[test]
    fn an_address_may_have_a_path() {
        let api = ManagerApi::new("https://host.example:8443/uketsuke/", None).unwrap();
        assert_eq!(api.base, "https://host.example:8443/uketsuke");
    }

    #[test]
    fn a_file_without_a_certificate_is_no_authority() {
        assert!(matches!(ManagerApi::new("https://m.example/", Some(b"nothing")), Err(ApiError::Malformed(_))));
    }

    #[test]
    fn debug_output_holds_no_token() {
        let api = ManagerApi::new("https://m.example/", None).unwrap().with_token("very-secret");
        assert!(!format!("{api:?}").contains("very-secret"));
    }

    #[test]
    fn paths_carry_the_id() {
        let path = of_session(SESSION_END, SessionId::from_bytes([0xab; 16]));
        assert_eq!(path, "/v1/sessions/abababababababababababababababab/end");
    }

    #[tokio::test]
    async fn a_manager_that_is_not_there_is_unreachable() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let api = ManagerApi::new(&format!("https://{address}"), None).unwrap();
        assert!(matches!(api.receptions().await, Err(ApiError::Unreachable(_))));
    }
}
