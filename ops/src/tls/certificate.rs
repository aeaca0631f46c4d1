//! A server's certificate, which may be renewed without a restart.
//!
//! A relay's key is pinned by the tickets of its sessions, and those live longer than it takes to renew a certificate.
//! So a relay keeps the keys it had ([`Certificate::keep_earlier`]), and presents one of them to a tool that names it,
//! which every tool does (`proto/src/version.rs`).

use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use proto::version;
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{TlsError, provider, spki_hash};

/// Earlier keys that are kept at most; more renewals within the time they are kept are a mistake somewhere.
const EARLIER_MAX: usize = 4;

/// The certificate that handshakes present now.
#[derive(Debug)]
pub struct Certificate {
    files: Option<(PathBuf, PathBuf)>,
    held: RwLock<Held>,
    earlier_for: Duration,
    renewed: Notify,
}

#[derive(Debug)]
struct Held {
    current: Current,
    /// Newest first, and since when each is not presented by itself.
    earlier: VecDeque<(Current, Instant)>,
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
        Ok(Self::holding(None, Current::read(cert_pem, key_pem)?))
    }

    /// A certificate chain and its key from PEM files.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn load(cert_file: &Path, key_file: &Path) -> Result<Self, TlsError> {
        let current = Current::read(&read(cert_file)?, &read(key_file)?)?;
        Ok(Self::holding(Some((cert_file.to_owned(), key_file.to_owned())), current))
    }

    /// Keeps a key that is replaced for this long, for those who name it.
    #[must_use]
    pub fn keep_earlier(self, duration: Duration) -> Self {
        Self { earlier_for: duration, ..self }
    }

    fn holding(files: Option<(PathBuf, PathBuf)>, current: Current) -> Self {
        let held = RwLock::new(Held { current, earlier: VecDeque::new() });
        Self { files, held, earlier_for: Duration::ZERO, renewed: Notify::new() }
    }

    /// SHA-256 of the public key that is presented now, 64 hexadecimal digits.
    pub fn spki_hash(&self) -> String {
        self.now().spki
    }

    /// Whether the key with this hash would be presented to somebody: the one of now, or an earlier one that is kept.
    pub fn holds(&self, spki: &str) -> bool {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.current.spki == spki || held.earlier.iter().any(|(earlier, _)| earlier.spki == spki)
    }

    /// Ends when the key is another one than before. One waits at a time.
    pub async fn renewed(&self) {
        self.renewed.notified().await;
    }

    /// Bytes of all certificates that are presented now.
    pub fn chain_len(&self) -> usize {
        self.now().key.cert.iter().map(|certificate| certificate.len()).sum()
    }

    /// Reads the files again; says whether the certificate is another one now. On a mistake the old one stays.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn reload(&self, now: Instant) -> Result<bool, TlsError> {
        self.forget(now);
        let Some((cert_file, key_file)) = &self.files else { return Ok(false) };
        let cert_pem = read(cert_file)?;
        if cert_pem == self.now().cert_pem {
            return Ok(false);
        }
        let renewed = Current::read(&cert_pem, &read(key_file)?)?;
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let is_other_key = renewed.spki != held.current.spki;
        let before = std::mem::replace(&mut held.current, renewed);
        if is_other_key && !self.earlier_for.is_zero() {
            held.earlier.push_front((before, now));
            held.earlier.truncate(EARLIER_MAX);
        }
        drop(held);
        if is_other_key {
            self.renewed.notify_one();
        }
        Ok(true)
    }

    /// Drops earlier keys whose time is over.
    fn forget(&self, now: Instant) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.earlier.retain(|(_, since)| now.saturating_duration_since(*since) < self.earlier_for);
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
            match self.reload(Instant::now()) {
                Ok(false) => {}
                Ok(true) => info!(event = "tls.renewed", "Certificate renewed"),
                Err(error) => warn!(event = "tls.kept", error = %error, "Certificate kept, the new one is unusable"),
            }
        }
    }

    fn now(&self) -> Current {
        self.held.read().unwrap_or_else(PoisonError::into_inner).current.clone()
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let wanted = hello.alpn().into_iter().flatten().find_map(version::named_key);
        let earlier = wanted.and_then(|wanted| {
            held.earlier.iter().map(|(earlier, _)| earlier).find(|earlier| version::key_name(&earlier.spki) == wanted)
        });
        Some(Arc::clone(&earlier.unwrap_or(&held.current).key))
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
