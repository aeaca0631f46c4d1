//! A server's certificate, which may be renewed without a restart.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{TlsError, provider, spki_hash};

/// The certificate that handshakes present now.
#[derive(Debug)]
pub struct Certificate {
    files: Option<(PathBuf, PathBuf)>,
    current: RwLock<Current>,
}

#[derive(Debug, Clone)]
struct Current {
    key: Arc<CertifiedKey>,
    spki: String,
    cert_pem: Vec<u8>,
}

impl Certificate {
    /// A certificate chain and its key from PEM text; it cannot be reloaded.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn from_pem(cert_pem: &[u8], key_pem: &[u8]) -> Result<Self, TlsError> {
        Ok(Self { files: None, current: RwLock::new(Current::read(cert_pem, key_pem)?) })
    }

    /// A certificate chain and its key from PEM files.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn load(cert_file: &Path, key_file: &Path) -> Result<Self, TlsError> {
        let current = Current::read(&read(cert_file)?, &read(key_file)?)?;
        Ok(Self { files: Some((cert_file.to_owned(), key_file.to_owned())), current: RwLock::new(current) })
    }

    /// SHA-256 of the public key that is presented now, 64 hexadecimal digits.
    pub fn spki_hash(&self) -> String {
        self.now().spki
    }

    /// Reads the files again; says whether the certificate is another one now. On a mistake the old one stays.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn reload(&self) -> Result<bool, TlsError> {
        let Some((cert_file, key_file)) = &self.files else { return Ok(false) };
        let cert_pem = read(cert_file)?;
        if cert_pem == self.now().cert_pem {
            return Ok(false);
        }
        let renewed = Current::read(&cert_pem, &read(key_file)?)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = renewed;
        Ok(true)
    }

    /// Reads the files again and again until `stop`, so that a renewed certificate needs neither signal nor restart.
    pub async fn watch(self: Arc<Self>, every: Duration, stop: CancellationToken) {
        let mut turn = tokio::time::interval(every);
        turn.tick().await;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = turn.tick() => {}
            }
            match self.reload() {
                Ok(false) => {}
                Ok(true) => info!(event = "tls.renewed", "Certificate renewed"),
                Err(error) => warn!(event = "tls.kept", error = %error, "Certificate kept, the new one is unusable"),
            }
        }
    }

    fn now(&self) -> Current {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.now().key)
    }
}

impl Current {
    fn read(cert_pem: &[u8], key_pem: &[u8]) -> Result<Self, TlsError> {
        let chain = CertificateDer::pem_slice_iter(cert_pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|cause| TlsError::Pem { what: "certificate", cause })?;
        let none = rustls::pki_types::pem::Error::NoItemsFound;
        let first = chain.first().ok_or(TlsError::Pem { what: "certificate", cause: none })?;
        let spki = spki_hash(first)?;
        let key =
            PrivateKeyDer::from_pem_slice(key_pem).map_err(|cause| TlsError::Pem { what: "private key", cause })?;
        let key = CertifiedKey::from_der(chain, key, &provider())?;
        Ok(Self { key: Arc::new(key), spki, cert_pem: cert_pem.to_vec() })
    }
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(file).map_err(|cause| TlsError::File { file: file.display().to_string(), cause })
}
