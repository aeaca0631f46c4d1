//! The TLS of every end: version 1.3, one cipher suite and one key exchange, the same for all that is compared.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use ops::tls::{Authority, CertifiedFiles};
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::{
        CryptoProvider,
        aws_lc_rs::{cipher_suite::TLS13_AES_128_GCM_SHA256, default_provider, kx_group},
    },
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    version::TLS13,
};

/// The key exchange that the dialing end offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyExchange {
    /// What every TLS library does.
    X25519,
    /// The same with a part that outlives quantum computers.
    X25519MlKem768,
}

/// A throw-away authority with one certificate for loopback.
#[derive(Clone)]
pub struct Identity {
    ca: Arc<RootCertStore>,
    ca_pem: String,
    files: CertifiedFiles,
}

impl Identity {
    /// Makes a new one.
    ///
    /// # Errors
    /// The system gives no key.
    pub fn make() -> Result<Self> {
        let authority: Authority = ops::tls::authority()?;
        let (mut ca, ca_pem) = (RootCertStore::empty(), authority.ca_pem());
        ca.add(CertificateDer::from_pem_slice(ca_pem.as_bytes())?)?;
        Ok(Self { ca: Arc::new(ca), ca_pem, files: authority.issue(&["localhost", "127.0.0.1"])? })
    }

    /// Certificate and key.
    pub const fn files(&self) -> &CertifiedFiles {
        &self.files
    }

    /// The authority's certificate.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// What dials: trusts this identity's authority, resumes nothing.
    ///
    /// # Errors
    /// Never with the provider that is built in.
    pub fn client(&self, exchange: KeyExchange, alpn: &[&[u8]]) -> Result<Arc<ClientConfig>> {
        let mut config = ClientConfig::builder_with_provider(provider(exchange))
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(Arc::clone(&self.ca))
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }

    /// What is dialed.
    ///
    /// # Errors
    /// Never with files of [`Self::make`].
    pub fn server(&self) -> Result<Arc<ServerConfig>> {
        server(self.files.cert_pem.as_bytes(), self.files.key_pem.as_bytes())
    }
}

/// What is dialed, from PEM text: one cipher suite, X25519, no tickets.
///
/// # Errors
/// When the text holds no certificate or no key.
pub fn server(cert_pem: &[u8], key_pem: &[u8]) -> Result<Arc<ServerConfig>> {
    let chain = CertificateDer::pem_slice_iter(cert_pem).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(key_pem).context("no private key")?;
    let mut config = ServerConfig::builder_with_provider(provider(KeyExchange::X25519))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// What dials in the copy loop: one authority, one cipher suite, X25519, nothing resumed.
///
/// # Errors
/// When the text holds no certificate.
pub fn trusting(ca_pem: &[u8]) -> Result<Arc<ClientConfig>> {
    let mut ca = RootCertStore::empty();
    ca.add(CertificateDer::from_pem_slice(ca_pem)?)?;
    let mut config = ClientConfig::builder_with_provider(provider(KeyExchange::X25519))
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(ca)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn provider(exchange: KeyExchange) -> Arc<CryptoProvider> {
    let group = match exchange {
        KeyExchange::X25519 => kx_group::X25519,
        KeyExchange::X25519MlKem768 => kx_group::X25519MLKEM768,
    };
    let cipher_suites = vec![TLS13_AES_128_GCM_SHA256];
    Arc::new(CryptoProvider { cipher_suites, kx_groups: vec![group], ..default_provider() })
}
