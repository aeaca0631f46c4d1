//! HTTP listeners with deadlines: what a stranger can hold is bounded in number and in time.
//!
//! A connection over the limit is closed at once. A TLS handshake, a request's head, and silence in either direction
//! each have a deadline. When the server drains, listening ends, open requests are answered, and keep-alive ends.
//! A listed load balancer says by the PROXY protocol who connected to it; handlers see that address.
//! It does not limit how long a handler may think or how large a body is; the routers do that.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Extension, Router,
    extract::{ConnectInfo, Request},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, AddExtension, Next},
    response::{IntoResponse as _, Response},
};
use axum_server::{
    Handle, Server,
    accept::{Accept, DefaultAcceptor},
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use hyper_util::rt::TokioTimer;
use prometheus::IntCounterVec;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep},
};
use tower::Layer as _;

use crate::{
    proxied::{self, ProxyFrom},
    shutdown::Shutdown,
};

/// Concurrent HTTP/2 requests of one connection: a browser opens a page with far fewer.
const HTTP2_STREAMS_MAX: u32 = 64;

/// What one listener allows.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Open connections; the next one is closed at once.
    pub connections: usize,
    /// From accept to finished TLS handshake; as long, before it, for what a load balancer says.
    pub handshake: Duration,
    /// From the first byte of a request to the end of its head.
    pub head: Duration,
    /// No byte in either direction for this long ends the connection. Longer than the 15 s between the comments of an
    /// event stream.
    pub idle: Duration,
    /// How long open requests may take once draining began.
    pub drain: Duration,
    /// Counts connections that were not served, label `reason`: `full`, `handshake` or `idle`.
    pub refused: Option<IntCounterVec>,
    /// Load balancers that say who connected to them; from them it is required.
    pub proxy_from: ProxyFrom,
}

impl Limits {
    /// For a listener that everybody can reach.
    pub const fn public() -> Self {
        Self {
            connections: 4096,
            handshake: Duration::from_secs(5),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            drain: Duration::from_secs(30),
            refused: None,
            proxy_from: ProxyFrom::nobody(),
        }
    }

    /// For a listener that only operators of the servers can reach.
    pub fn private() -> Self {
        Self { connections: 64, drain: Duration::from_secs(1), ..Self::public() }
    }
}

/// Serves `app` over TLS until the server stops. Handlers may ask for `ConnectInfo<SocketAddr>`.
///
/// # Errors
/// The listener breaks.
pub async fn serve_tls(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    app: Router,
    limits: Limits,
    shutdown: Shutdown,
) -> io::Result<()> {
    let acceptor = RustlsAcceptor::new(RustlsConfig::from_config(tls)).handshake_timeout(limits.handshake);
    let server = Server::<SocketAddr>::from_listener(listener).acceptor(Gate::new(acceptor, &limits));
    serve(server, app, limits, shutdown).await
}

/// Serves `app` over plain HTTP/1 until the server stops.
///
/// # Errors
/// The listener breaks.
pub async fn serve_plain(listener: TcpListener, app: Router, limits: Limits, shutdown: Shutdown) -> io::Result<()> {
    let server = Server::<SocketAddr>::from_listener(listener).acceptor(Gate::new(DefaultAcceptor, &limits));
    serve(server.http1_only(), app, limits, shutdown).await
}

async fn serve<A>(
    mut server: Server<SocketAddr, Gate<A>>,
    app: Router,
    limits: Limits,
    shutdown: Shutdown,
) -> io::Result<()>
where
    A: Accept<TcpStream, Router, Service = Router> + Clone + Send + Sync + 'static,
    A::Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A::Future: Send + 'static,
{
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(limits.head).max_headers(64);
    server.http_builder().http2().timer(TokioTimer::new()).max_concurrent_streams(HTTP2_STREAMS_MAX);
    let handle = Handle::new();
    let app = app.layer(middleware::from_fn(of_one_length));
    let serving = server.handle(handle.clone()).serve(app.into_make_service());
    let (draining, forced) = (shutdown.draining(), shutdown.forced());
    let stopping = async {
        draining.cancelled().await;
        handle.graceful_shutdown(Some(limits.drain));
        forced.cancelled().await;
        handle.shutdown();
        std::future::pending().await
    };
    tokio::select! {
        biased;
        served = serving => served,
        stopped = stopping => stopped,
    }
}

/// A request has one length, for us and for whatever stands before us: a length beside chunks is refused, and nothing is
/// read behind chunks on the same connection. Source: RFC 9112, 6.1 and 6.3.
async fn of_one_length(request: Request, next: Next) -> Response {
    let is_chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
    let mut response = if is_chunked && request.headers().contains_key(header::CONTENT_LENGTH) {
        StatusCode::BAD_REQUEST.into_response()
    } else {
        next.run(request).await
    };
    if is_chunked {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Counts connections in, hears who connected, then lets the inner acceptor do its handshake.
#[derive(Debug, Clone)]
struct Gate<A> {
    inner: A,
    free: Arc<Semaphore>,
    idle: Duration,
    refused: Option<IntCounterVec>,
    proxy_from: Arc<ProxyFrom>,
    header: Duration,
}

impl<A> Gate<A> {
    fn new(inner: A, limits: &Limits) -> Self {
        let free = Arc::new(Semaphore::new(limits.connections));
        let proxy_from = Arc::new(limits.proxy_from.clone());
        Self { inner, free, idle: limits.idle, refused: limits.refused.clone(), proxy_from, header: limits.handshake }
    }
}

/// Whose connection it is: the one who is there, or whom a listed load balancer names.
async fn source(stream: &mut TcpStream, proxy_from: &ProxyFrom, patience: Duration) -> io::Result<SocketAddr> {
    let peer = stream.peer_addr()?;
    if !proxy_from.lists(peer.ip()) {
        return Ok(peer);
    }
    let said = proxied::source(stream, patience).await.map_err(|error| {
        tracing::warn!(event = "proxied.refused", error = %error, "A load balancer did not say who connected: {error}");
        io::Error::new(io::ErrorKind::InvalidData, error)
    })?;
    Ok(said.unwrap_or(peer))
}

impl<A, S> Accept<TcpStream, S> for Gate<A>
where
    A: Accept<TcpStream, S> + Clone + Send + Sync + 'static,
    S: Send + 'static,
    A::Stream: Send + 'static,
    A::Service: Send + 'static,
    A::Future: Send + 'static,
{
    type Stream = Held<A::Stream>;
    type Service = AddExtension<A::Service, ConnectInfo<SocketAddr>>;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, mut stream: TcpStream, service: S) -> Self::Future {
        let refused = self.refused.clone();
        let Ok(place) = Arc::clone(&self.free).try_acquire_owned() else {
            count(refused.as_ref(), "full");
            return Box::pin(std::future::ready(Err(io::ErrorKind::ConnectionRefused.into())));
        };
        let Self { inner, idle, proxy_from, header, .. } = self.clone();
        Box::pin(async move {
            stream.set_nodelay(true)?;
            let opened = async {
                let source = source(&mut stream, &proxy_from, header).await?;
                let (stream, service) = inner.accept(stream, service).await?;
                Ok((stream, Extension(ConnectInfo(source)).layer(service)))
            };
            match opened.await {
                Ok((stream, service)) => Ok((Held::new(stream, idle, refused, place), service)),
                Err(error) => {
                    count(refused.as_ref(), "handshake");
                    Err(error)
                }
            }
        })
    }
}

fn count(refused: Option<&IntCounterVec>, reason: &str) {
    if let Some(refused) = refused {
        refused.with_label_values(&[reason]).inc();
    }
}

/// A connection that holds its place and ends after silence.
struct Held<S> {
    stream: S,
    idle: Duration,
    silence: Pin<Box<Sleep>>,
    refused: Option<IntCounterVec>,
    _place: OwnedSemaphorePermit,
}

impl<S> Held<S> {
    fn new(stream: S, idle: Duration, refused: Option<IntCounterVec>, place: OwnedSemaphorePermit) -> Self {
        Self { stream, idle, silence: Box::pin(tokio::time::sleep(idle)), refused, _place: place }
    }

    /// What to answer for a stream that answered `polled`: a finished step starts the silence anew.
    fn heard<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            let end = Instant::now() + self.idle;
            self.silence.as_mut().reset(end);
            return polled;
        }
        ready!(self.silence.as_mut().poll(cx));
        count(self.refused.as_ref(), "idle");
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Held<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
        this.heard(cx, polled)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Held<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.heard(cx, polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.heard(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A flush with nothing to write is no sign of life, so it does not start the silence anew.
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.heard(cx, polled)
    }
}
