//! Requests to addresses that companies name: HTTPS to public hosts, and to the networks that the configuration names.
//!
//! Guarantees: a company cannot let the manager knock at doors behind it. A host that is a number is looked at before a
//! request, a name when it is resolved, once for each connection; no redirect is followed, no proxy is asked, and what
//! comes back is read up to a bound.

mod address;
mod cause;

use std::{fs, io, net::SocketAddr, path::Path, path::PathBuf, sync::Arc, time::Duration};

use reqwest::{
    Certificate, Client, Method, RequestBuilder, Response,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect, tls,
};

use self::address::is_allowed;
pub use self::{
    address::{Address, AddressError},
    cause::{Cause, Kind},
};
use crate::company::policy::Network;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The way out. Clones share connections.
#[derive(Debug, Clone)]
pub struct Outward {
    client: Client,
    networks: Arc<[Network]>,
}

/// Why there is no way out.
#[derive(Debug, thiserror::Error)]
pub enum OutwardError {
    /// The authority cannot be read.
    #[error("{section}.ca_file {file}: {error}")]
    File {
        /// The section of the configuration.
        section: &'static str,
        /// Its path.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// TLS cannot be set up with it.
    #[error("{section}.ca_file: {error}")]
    Tls {
        /// The section of the configuration.
        section: &'static str,
        /// Why.
        error: reqwest::Error,
    },
}

/// Why an answer was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is longer than what is read.
    #[error("the answer is too long")]
    TooLong,
    /// The connection broke off.
    #[error(transparent)]
    Broken(#[from] reqwest::Error),
}

/// Finds addresses, and none that may not be called: the name is asked for once, so that it cannot mean another address
/// a moment later.
struct Guarded(Arc<[Network]>);

/// No address of a name may be called.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the name leads to no public address")]
pub struct NotPublic;

/// A name has no address.
#[derive(Debug, thiserror::Error)]
#[error("the name is not known: {0}")]
pub struct NotFound(#[source] io::Error);

impl Outward {
    /// Reads the authority that a section of the configuration names; `timeout` is for a whole request.
    ///
    /// # Errors
    /// [`OutwardError`].
    pub fn new(
        section: &'static str,
        networks: &[Network],
        ca_file: Option<&Path>,
        timeout: Duration,
    ) -> Result<Self, OutwardError> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Another thread may have been faster; then there is one.
            drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        }
        let networks: Arc<[Network]> = networks.to_vec().into();
        let mut builder = Client::builder()
            .user_agent(concat!("uketsuke-manager/", env!("CARGO_PKG_VERSION")))
            .https_only(true)
            .no_proxy()
            .tls_version_min(tls::Version::TLS_1_2)
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(timeout)
            .dns_resolver(Arc::new(Guarded(Arc::clone(&networks))));
        let refused = |error| OutwardError::Tls { section, error };
        if let Some(file) = ca_file {
            let pem = fs::read(file).map_err(|error| OutwardError::File { section, file: file.to_owned(), error })?;
            builder = builder.tls_certs_merge(Certificate::from_pem_bundle(&pem).map_err(refused)?);
        }
        Ok(Self { client: builder.build().map_err(refused)?, networks })
    }

    /// Reads an address, if it may be called.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn address(&self, text: &str) -> Result<Address, AddressError> {
        Address::parse(text, &self.networks)
    }

    /// A request to an address, to be filled and sent.
    pub fn request(&self, method: Method, address: &Address) -> RequestBuilder {
        self.client.request(method, address.url().clone())
    }
}

/// The body of an answer, which may have `max` bytes.
///
/// # Errors
/// [`ReadError`].
pub async fn read(mut response: Response, max: usize) -> Result<Vec<u8>, ReadError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if max.saturating_sub(body.len()) < chunk.len() {
            return Err(ReadError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let networks = Arc::clone(&self.0);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(NotFound)?;
            let allowed: Vec<SocketAddr> = found.filter(|found| is_allowed(found.ip(), &networks)).collect();
            if allowed.is_empty() {
                return Err(NotPublic.into());
            }
            let addresses: Addrs = Box::new(allowed.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_called() {
        let error = |networks: Vec<Network>| async move {
            Guarded(networks.into()).resolve("localhost".parse().unwrap()).await.map(Iterator::count)
        };

        assert_eq!(error(Vec::new()).await.unwrap_err().to_string(), NotPublic.to_string());
        let own = vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        assert!(error(own).await.is_ok_and(|count| 0 < count));
    }
}
