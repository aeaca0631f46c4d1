//! Full TLS 1.3 handshakes of a server for one second of its CPU time; nothing is resumed.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, pki_types::ServerName},
};

use crate::meter::Meter;

/// Handshakes that are under way at once.
const AT_ONCE: u32 = 16;
const PATIENCE: Duration = Duration::from_secs(10);

/// Handshakes for each CPU second of the server.
///
/// # Errors
/// When one of them fails.
pub async fn per_cpu_sec(address: SocketAddr, client: &Arc<ClientConfig>, meter: &Meter, count: u32) -> Result<f64> {
    // What a server makes once for its first connections.
    many(address, client, AT_ONCE).await?;
    meter.rest().await?;
    let before = meter.cpu_secs()?;
    many(address, client, count).await?;
    meter.rest().await?;
    Ok(f64::from(count) / (meter.cpu_secs()? - before).max(1e-9))
}

async fn many(address: SocketAddr, client: &Arc<ClientConfig>, count: u32) -> Result<()> {
    let mut under_way = JoinSet::new();
    for number in 0..count {
        if AT_ONCE <= number
            && let Some(done) = under_way.join_next().await
        {
            done??;
        }
        let client = Arc::clone(client);
        under_way.spawn(async move {
            timeout(PATIENCE, one(address, client)).await.context("a handshake did not end in time")?
        });
    }
    while let Some(done) = under_way.join_next().await {
        done??;
    }
    Ok(())
}

/// Ours sends its last word of the handshake, says that nothing more comes, and waits until the server has closed: only
/// then has the server done all of it.
async fn one(address: SocketAddr, client: Arc<ClientConfig>) -> Result<()> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let mut stream =
        TlsConnector::from(client).connect(ServerName::from(address.ip()), socket).await.context("no TLS")?;
    // A server that closes at once may be gone already; the handshake is done all the same.
    if stream.shutdown().await.is_ok() {
        drop(stream.read_to_end(&mut Vec::new()).await);
    }
    Ok(())
}
