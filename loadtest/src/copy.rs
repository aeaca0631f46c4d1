//! The floors: a loop that copies bytes between two sockets and does nothing else, with TLS on both or on neither.
//!
//! It is a process of its own (`uketsuke-loadtest copy`, hidden), so that its CPU time and memory are read like those
//! of any server. One thread, one buffer of 64 KiB for each direction.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Result;
use clap::Args;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, rustls::pki_types::ServerName};

use crate::load::tls;

/// One read.
const BUFFER_LEN: usize = 64 * 1024;

/// What the hidden command takes.
#[derive(Debug, Args)]
pub struct Flags {
    /// Where it listens.
    #[arg(long)]
    listen: SocketAddr,
    /// Where it connects for each connection that comes in.
    #[arg(long)]
    to: SocketAddr,
    /// Where it listens for connections that it closes after their handshake.
    #[arg(long, requires = "tls")]
    handshakes: Option<SocketAddr>,
    /// Folder with `cert.pem`, `key.pem` and `ca.pem`; without it there is no TLS on either side.
    #[arg(long, value_name = "DIR")]
    tls: Option<PathBuf>,
}

/// Copies until it is ended from outside.
///
/// # Errors
/// When it cannot listen or read its files.
pub fn run(flags: &Flags) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let tls = flags.tls.as_deref().map(Tls::read).transpose()?;
        let copies = accept_all(flags.listen, Some(flags.to), tls.clone());
        match flags.handshakes {
            None => copies.await,
            Some(handshakes) => tokio::try_join!(copies, accept_all(handshakes, None, tls)).map(|((), ())| ()),
        }
    })
}

async fn accept_all(listen: SocketAddr, to: Option<SocketAddr>, tls: Option<Tls>) -> Result<()> {
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (socket, _) = listener.accept().await?;
        let tls = tls.clone();
        tokio::spawn(async move {
            // A connection that breaks ends by itself; who measures sees what is missing.
            drop(serve(socket, to, tls).await);
        });
    }
}

#[derive(Clone)]
struct Tls {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

impl Tls {
    fn read(folder: &Path) -> Result<Self> {
        let read = |name: &str| std::fs::read(folder.join(name));
        let server = tls::server(&read("cert.pem")?, &read("key.pem")?)?;
        let client = tls::trusting(&read("ca.pem")?)?;
        Ok(Self { acceptor: TlsAcceptor::from(server), connector: TlsConnector::from(Arc::clone(&client)) })
    }
}

async fn serve(near: TcpStream, to: Option<SocketAddr>, tls: Option<Tls>) -> Result<()> {
    near.set_nodelay(true)?;
    match (tls, to) {
        (None, None) => Ok(()),
        (None, Some(to)) => both(near, connect(to).await?).await,
        (Some(tls), None) => {
            tls.acceptor.accept(near).await?.shutdown().await?;
            Ok(())
        }
        (Some(tls), Some(to)) => {
            let near = tls.acceptor.accept(near).await?;
            let far = tls.connector.connect(ServerName::from(to.ip()), connect(to).await?).await?;
            both(near, far).await
        }
    }
}

async fn connect(to: SocketAddr) -> Result<TcpStream> {
    let far = TcpStream::connect(to).await?;
    far.set_nodelay(true)?;
    Ok(far)
}

/// Copies both ways until both have ended.
async fn both(near: impl AsyncRead + AsyncWrite, far: impl AsyncRead + AsyncWrite) -> Result<()> {
    let (near_in, near_out) = split(near);
    let (far_in, far_out) = split(far);
    tokio::try_join!(copy(near_in, far_out), copy(far_in, near_out))?;
    Ok(())
}

async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> Result<()> {
    let mut buffer = vec![0; BUFFER_LEN];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            to.shutdown().await?;
            return Ok(());
        }
        to.write_all(buffer.get(..count).unwrap_or_default()).await?;
        to.flush().await?;
    }
}
