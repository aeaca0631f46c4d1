//! TLS of a link, the tool's side: version 1.3 only, our ALPN name, and exactly one accepted certificate.
//!
//! A tool trusts a relay by the SHA-256 of its public key (SPKI), which the manager named in the pairing. Names,
//! authorities and dates of the certificate do not matter; the handshake signature is checked with the pinned key, so
//! a copied certificate is useless.

use std::sync::Arc;

use proto::{hello::EXPORTER_LABEL, version};
use rustls::{
    CertificateError, ClientConfig, ConnectionCommon, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature},
    server::ParsedCertificate,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest as _, Sha256};

/// SHA-256 of the SPKI of the only certificate that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin([u8; 32]);

/// A text that is not 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pin has 64 hexadecimal digits")]
pub struct PinError;

impl Pin {
    /// Reads the form of the API and of tickets.
    ///
    /// # Errors
    /// [`PinError`].
    pub fn from_hex(text: &str) -> Result<Self, PinError> {
        let mut pin = [0; 32];
        hex::decode_to_slice(text, &mut pin).map_err(|_bad_digit| PinError)?;
        Ok(Self(pin))
    }

    /// The pin of a certificate.
    ///
    /// # Errors
    /// When the bytes are no X.509 certificate.
    pub fn of_certificate(certificate: &CertificateDer<'_>) -> Result<Self, Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        Ok(Self(Sha256::digest(parsed.subject_public_key_info()).into()))
    }

    /// 64 hexadecimal digits, as in the API and in tickets.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }
}

/// Makes aws-lc-rs the process's default provider of cryptography. Every program calls it first; again is harmless.
pub fn install_provider() {
    // A provider that is installed already was installed by this function: nothing else of ours installs one.
    drop(aws_lc_rs::default_provider().install_default());
}

/// The configuration by which a tool dials the one relay with this pin.
///
/// # Errors
/// When the provider cannot do TLS 1.3, which no input causes.
pub fn pinned_client_config(pin: Pin) -> Result<ClientConfig, Error> {
    client_config(pin, Arc::new(aws_lc_rs::default_provider()))
}

/// As [`pinned_client_config`], with a cryptographic library of the caller's.
pub(crate) fn client_config(pin: Pin, provider: Arc<CryptoProvider>) -> Result<ClientConfig, Error> {
    let verifier = PinVerifier { pin, provider: Arc::clone(&provider) };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    // The second is never chosen: it tells a relay that has just got another key which one this tool expects.
    config.alpn_protocols = vec![version::ALPN.to_vec(), version::key_name(&pin.to_hex())];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// What only the two ends of this TLS connection know; a hello's proof is bound to it.
///
/// # Errors
/// Before the handshake is finished.
pub fn exporter<D>(connection: &ConnectionCommon<D>) -> Result<[u8; 32], Error> {
    connection.export_keying_material([0; 32], EXPORTER_LABEL, None)
}

/// Accepts the pinned key and nothing else.
#[derive(Debug)]
struct PinVerifier {
    pin: Pin,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if Pin::of_certificate(end_entity)? == self.pin {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOffered))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
