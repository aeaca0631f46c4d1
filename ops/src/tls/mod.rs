//! TLS of the servers: certificates that can be renewed while the server runs, and the two shapes of configuration.
//!
//! Browsers meet [`web_config`] (TLS 1.2 and 1.3, HTTP/2), the tools meet [`server_config`] at a relay (TLS 1.3 only).
//! Everything uses one cryptographic library, [`provider`].

mod authority;
mod certificate;

use std::sync::Arc;

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs::cipher_suite},
    pki_types::CertificateDer,
    server::ParsedCertificate,
};
use sha2::{Digest as _, Sha256};

pub use authority::{Authority, CertifiedFiles, authority, self_signed};
pub use certificate::Certificate;

/// A certificate or key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{file}: {cause}")]
    File {
        /// The file.
        file: String,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The text holds no certificate or no key.
    #[error("{what} is not there or not PEM: {cause}")]
    Pem {
        /// `certificate` or `private key`.
        what: &'static str,
        /// What the reader says.
        cause: rustls::pki_types::pem::Error,
    },
    /// Certificate and key do not fit each other, or have a form that is not supported.
    #[error("certificate and private key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
    /// A certificate could not be made, for example because a name is not one.
    #[error("certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// The cryptographic library of every TLS connection.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// [`provider`], with the suites of TLS 1.3 in the order of their speed on processors with AES instructions, which is
/// every server and desktop today. All three are beyond attack, and what the tools say to each other is sealed besides.
fn relay_provider() -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites = vec![
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher_suite::TLS13_AES_256_GCM_SHA384,
        cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    Arc::new(provider)
}

/// TLS 1.3 only, one certificate from PEM text, for a relay.
///
/// # Errors
/// See [`TlsError`].
pub fn server_config(cert_pem: &[u8], key_pem: &[u8], alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
    relay_config(Arc::new(Certificate::from_pem(cert_pem, key_pem)?), alpn)
}

/// TLS 1.3 only, with a certificate that may be renewed, for a relay.
///
/// # Errors
/// See [`TlsError`].
pub fn relay_config(certificate: Arc<Certificate>, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(relay_provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    // The relay pays for both directions of both sides, so it chooses the cipher.
    config.ignore_client_order = true;
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

/// TLS 1.2 and 1.3 with HTTP/2 and HTTP/1.1, with a certificate that may be renewed, for browsers and the tools' calls.
///
/// # Errors
/// See [`TlsError`].
pub fn web_config(certificate: Arc<Certificate>) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// SHA-256 of a certificate's public key (SPKI, RFC 5280 section 4.1), 64 hexadecimal digits: what tools pin.
///
/// # Errors
/// The bytes are not a certificate.
pub fn spki_hash(cert_der: &[u8]) -> Result<String, TlsError> {
    let der = CertificateDer::from(cert_der);
    let certificate = ParsedCertificate::try_from(&der)?;
    Ok(hex::encode(Sha256::digest(certificate.subject_public_key_info())))
}

#[cfg(test)]
mod tests;
