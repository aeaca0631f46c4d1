//! Who really connected, when a load balancer stands in front: the reader of the PROXY protocol's header.
//!
//! Listed balancers must send it, and nobody else may: from any other address its bytes are the beginning of something
//! that is not TLS. Exactly the header is read, and nothing behind it. What it looks like is `proto/src/proxied.rs`.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use proto::proxied::{self, OPENING_LEN, Proxied};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::timeout,
};

use crate::config::Network;

/// The load balancers that are believed, key `proxy_from` of a configuration; nobody by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProxyFrom(Vec<Network>);

/// Why a listed balancer is not believed this time.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// It did not send the header in time.
    #[error("no PROXY protocol header in time")]
    Timeout,
    /// It sent something else, or one that names nobody.
    #[error("{0}; a balancer in proxy_from must send version 2 for TCP (HAProxy: send-proxy-v2)")]
    Malformed(#[from] proxied::ProxiedError),
    /// The connection ended before that.
    #[error("no PROXY protocol header: {0}")]
    Broken(#[from] io::Error),
}

impl ProxyFrom {
    /// Believes nobody.
    pub const fn nobody() -> Self {
        Self(Vec::new())
    }

    /// Whether a connection from this address begins with the header.
    pub fn lists(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// Whether nobody is listed.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Network> for ProxyFrom {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        Self(networks.into_iter().collect())
    }
}

/// Reads the header from a listed balancer within `patience`. Gives who connected to it, or `None` when it connected
/// for itself, for example to see whether this server lives.
///
/// # Errors
/// See [`HeaderError`]; nothing may be answered then.
pub async fn source<S>(stream: &mut S, patience: Duration) -> Result<Option<SocketAddr>, HeaderError>
where
    S: AsyncRead + Unpin,
{
    let read = async {
        let mut opening = [0; OPENING_LEN];
        stream.read_exact(&mut opening).await?;
        let mut header = opening.to_vec();
        header.resize(OPENING_LEN.saturating_add(proxied::rest_len(&opening)?), 0);
        if let Some(rest) = header.get_mut(OPENING_LEN..) {
            stream.read_exact(rest).await?;
        }
        match proxied::parse(&header)? {
            Proxied::Local => Ok(None),
            Proxied::From(source) => Ok(Some(source)),
        }
    };
    timeout(patience, read).await.map_err(|_late| HeaderError::Timeout)?
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt as _, duplex};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn header() -> Vec<u8> {
        proxied::header("192.0.2.7:40000".parse().unwrap(), "198.51.100.1:443".parse().unwrap())
    }

    #[tokio::test]
    async fn the_header_is_read_and_nothing_behind_it() {
        let (mut balancer, mut stream) = duplex(4096);
        balancer.write_all(&[header().as_slice(), b"hello"].concat()).await.unwrap();

        let source = source(&mut stream, PATIENCE).await.unwrap();

        let mut behind = [0; 5];
        stream.read_exact(&mut behind).await.unwrap();
        assert_eq!((source, &behind), (Some("192.0.2.7:40000".parse().unwrap()), b"hello"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_header_that_drips_in_too_slowly_ends_at_its_deadline() {
        let (mut balancer, mut stream) = duplex(4096);
        balancer.write_all(&header()[..20]).await.unwrap();

        assert!(matches!(source(&mut stream, PATIENCE).await, Err(HeaderError::Timeout)));
    }

    #[tokio::test]
    async fn something_else_is_refused_by_its_first_bytes_and_an_end_is_an_end() {
        let (mut balancer, mut stream) = duplex(4096);
        balancer.write_all(b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\r\n").await.unwrap();
        assert!(matches!(source(&mut stream, PATIENCE).await, Err(HeaderError::Malformed(_))));

        let (mut balancer, mut stream) = duplex(4096);
        balancer.write_all(&header()[..10]).await.unwrap();
        drop(balancer);
        assert!(matches!(source(&mut stream, PATIENCE).await, Err(HeaderError::Broken(_))));
    }

    #[test]
    fn only_who_is_listed_is_believed() {
        let listed: ProxyFrom = ["10.0.0.0/8".parse().unwrap()].into_iter().collect();

        assert!(listed.lists("10.1.2.3".parse().unwrap()));
        assert!(!listed.lists("192.0.2.7".parse().unwrap()));
        assert!(!ProxyFrom::default().lists("10.1.2.3".parse().unwrap()));
    }
}
