//! The way out of a network that has an HTTP proxy: which one, and `CONNECT` through it.
//!
//! Relays are reached as the manager is: by the proxy of `--proxy`, else by that of the environment (`HTTPS_PROXY`,
//! `ALL_PROXY`, `NO_PROXY`, in upper or lower case) or of the system's settings on Windows and macOS. Both ask the same
//! library (`hyper-util`), so they cannot differ. This machine is reached directly, unless `--proxy` says otherwise.
//!
//! Guarantees: an answer is at most [`ANSWER_LEN_MAX`] bytes and comes within [`ANSWER_TIMEOUT`]. TLS runs inside the
//! tunnel, to the same pinned key: a proxy sees where to and how much, as any router does.
//! It speaks to a proxy over plain TCP, as nearly all are; credentials of its URL go as `Basic`.

use std::{net::IpAddr, str::FromStr, sync::Arc, time::Duration};

use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use reqwest::{ClientBuilder, NoProxy, header::HeaderValue};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use zeroize::Zeroizing;

/// From the first packet to a TCP connection with the proxy, name lookup included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// From there to the proxy's whole answer; it has to look up a name and connect, too.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer, which is a status and headers that nobody needs.
const ANSWER_LEN_MAX: usize = 8 * 1024;
/// How an answer's head ends.
const END: &[u8] = b"\r\n\r\n";

/// Which proxy a tool uses. Clones share it.
#[derive(Clone)]
pub struct Proxies(Arc<Kind>);

enum Kind {
    None,
    /// That of the environment or the system.
    System(Matcher),
    /// This one, but for what `NO_PROXY` lists.
    One {
        url: Zeroizing<String>,
        matcher: Matcher,
    },
}

/// A text that names no proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a proxy looks like http://host:port or http://user:password@host:port; \"none\" is for no proxy")]
pub struct ProxyUrlError;

/// Why there is no way through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// Nothing answers there.
    #[error("the proxy cannot be reached")]
    Unreachable,
    /// It wants to know who asks: status 407.
    #[error("the proxy asks for a user and a password")]
    SignIn,
    /// It does not connect to this address.
    #[error("the proxy does not let this connection through")]
    Refused,
    /// What answers does not speak HTTP, or too much.
    #[error("what answers is not an HTTP proxy")]
    NotUnderstood,
    /// It did not answer in time.
    #[error("the proxy did not answer in time")]
    Timeout,
    /// A kind that the tools cannot use for relays: SOCKS, or HTTPS to the proxy itself.
    #[error("only proxies with http:// can be used")]
    Unsupported,
}

impl ProxyError {
    /// Its name in the headless mode and in the text catalogues.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unreachable | Self::Timeout => "proxy_unreachable",
            Self::SignIn => "proxy_sign_in",
            Self::Refused => "proxy_refused",
            Self::NotUnderstood | Self::Unsupported => "proxy_unusable",
        }
    }
}

/// The proxy that stands between this tool and a relay.
#[derive(Debug)]
pub(crate) struct Via(Intercept);

impl std::fmt::Debug for Proxies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A proxy's URL may hold a password.
        f.write_str(match *self.0 {
            Kind::None => "Proxies(none)",
            Kind::System(_) => "Proxies(system)",
            Kind::One { .. } => "Proxies(one)",
        })
    }
}

impl Default for Proxies {
    fn default() -> Self {
        Self::system()
    }
}

impl Proxies {
    /// What the environment and the system's settings say now.
    pub fn system() -> Self {
        Self(Arc::new(Kind::System(Matcher::from_system())))
    }

    /// No proxy, whatever the system says.
    pub fn none() -> Self {
        Self(Arc::new(Kind::None))
    }

    /// The proxy on the way to `host`, if there is one.
    pub(crate) fn on_the_way_to(&self, host: &str, port: u16) -> Option<Via> {
        let matcher = match &*self.0 {
            Kind::None => return None,
            // That proxy would look for this machine on its own.
            Kind::System(_) if is_this_machine(host) => return None,
            Kind::System(matcher) | Kind::One { matcher, .. } => matcher,
        };
        let uri = format!("https://{}/", authority(host, port)).parse().ok()?;
        matcher.intercept(&uri).map(Via)
    }

    /// Makes calls of the manager at `host` go the same way.
    ///
    /// # Errors
    /// A proxy that the library cannot use.
    pub(crate) fn apply(&self, builder: ClientBuilder, host: &str) -> Result<ClientBuilder, reqwest::Error> {
        Ok(match &*self.0 {
            Kind::None => builder.no_proxy(),
            Kind::System(_) if is_this_machine(host) => builder.no_proxy(),
            Kind::System(_) => builder,
            Kind::One { url, .. } => {
                builder.no_proxy().proxy(reqwest::Proxy::all(url.as_str())?.no_proxy(NoProxy::from_env()))
            }
        })
    }
}

/// `none`, or the URL of a proxy.
impl FromStr for Proxies {
    type Err = ProxyUrlError;

    fn from_str(text: &str) -> Result<Self, ProxyUrlError> {
        if text == "none" {
            return Ok(Self::none());
        }
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url = reqwest::Url::parse(&text).map_err(|_not_a_url| ProxyUrlError)?;
        if url.scheme() != "http" || !url.has_host() || !matches!(url.path(), "" | "/") || url.query().is_some() {
            return Err(ProxyUrlError);
        }
        let matcher = Matcher::builder().all(text.clone()).no(no_proxy()).build();
        // What the library cannot read would mean no proxy at all.
        let example = "https://host.invalid/".parse().map_err(|_never| ProxyUrlError)?;
        let is_read = Matcher::builder().all(text.clone()).build().intercept(&example).is_some();
        if is_read { Ok(Self(Arc::new(Kind::One { url: Zeroizing::new(text), matcher }))) } else { Err(ProxyUrlError) }
    }
}

#[expect(clippy::disallowed_methods, reason = "the system's convention; the library reads the same for system()")]
fn no_proxy() -> String {
    ["NO_PROXY", "no_proxy"].iter().find_map(|name| std::env::var(name).ok()).unwrap_or_default()
}

/// Whether a host is this machine.
fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

impl Via {
    /// Connects to `host` through the proxy.
    ///
    /// # Errors
    /// See [`ProxyError`]; within fifteen seconds. Cancel-safe: dropping it closes the connection.
    pub(crate) async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, ProxyError> {
        let uri = self.0.uri();
        if uri.scheme_str() != Some("http") {
            return Err(ProxyError::Unsupported);
        }
        let proxy = (uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(80));
        let proxy = (proxy.0.trim_start_matches('[').trim_end_matches(']'), proxy.1);
        let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(proxy)).await;
        let mut stream =
            connected.map_err(|_late| ProxyError::Timeout)?.map_err(|_no_connection| ProxyError::Unreachable)?;
        ask(&mut stream, &authority(host, port), self.0.basic_auth()).await?;
        Ok(stream)
    }
}

/// Says `CONNECT` and reads the answer, within [`ANSWER_TIMEOUT`]. What follows in the stream is the relay's.
async fn ask<S>(stream: &mut S, target: &str, auth: Option<&HeaderValue>) -> Result<(), ProxyError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let agent = concat!("uketsuke/", env!("CARGO_PKG_VERSION"));
    let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: {agent}\r\n");
    let mut request = Zeroizing::new(head.into_bytes());
    if let Some(auth) = auth {
        request.extend([b"Proxy-Authorization: ", auth.as_bytes(), b"\r\n"].concat());
    }
    request.extend(b"\r\n");
    let asked = timeout(ANSWER_TIMEOUT, async {
        // One that refuses at once may close while we write; its answer is still to be read then.
        let _written = stream.write_all(&request).await;
        hear(stream).await
    });
    match status(&asked.await.map_err(|_late| ProxyError::Timeout)??) {
        Some(200..=299) => Ok(()),
        Some(407) => Err(ProxyError::SignIn),
        Some(_) => Err(ProxyError::Refused),
        None => Err(ProxyError::NotUnderstood),
    }
}

/// Reads up to the end of the head. The relay speaks after us, so behind a head that lets us through nothing can be.
async fn hear<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Vec<u8>, ProxyError> {
    let mut answer = Vec::with_capacity(1024);
    loop {
        let room = ANSWER_LEN_MAX.saturating_sub(answer.len());
        let read = (&mut *stream).take(u64::try_from(room).unwrap_or(0)).read_buf(&mut answer).await;
        if read.map_err(|_broken| ProxyError::NotUnderstood)? == 0 {
            return Err(ProxyError::NotUnderstood);
        }
        let end = answer.windows(END.len()).position(|window| window == END);
        let Some(end) = end.map(|at| at.saturating_add(END.len())) else { continue };
        let lets_through = matches!(status(&answer), Some(200..=299));
        return if lets_through && end < answer.len() { Err(ProxyError::NotUnderstood) } else { Ok(answer) };
    }
}

/// The status of an answer of HTTP/1.
fn status(answer: &[u8]) -> Option<u16> {
    let rest = answer.strip_prefix(b"HTTP/1.")?;
    let (minor, rest) = rest.split_first()?;
    let (digits, rest) = rest.strip_prefix(b" ")?.split_first_chunk::<3>()?;
    let is_status = minor.is_ascii_digit() && digits.iter().all(u8::is_ascii_digit);
    let ends = matches!(rest.first(), Some(b' ' | b'\r'));
    let code = digits.iter().fold(0, |code: u16, digit| code * 10 + u16::from(digit.wrapping_sub(b'0')));
    (is_status && ends).then_some(code)
}

#[cfg(test)]
mod tests;
