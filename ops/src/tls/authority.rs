//! Certificates made on the spot: a relay's own, and a throw-away authority for trials and tests.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use super::{TlsError, spki_hash};

/// A certificate with its key, ready to be written into files.
#[derive(Clone)]
pub struct CertifiedFiles {
    /// The certificate.
    pub cert_pem: String,
    /// Its private key.
    pub key_pem: String,
    /// SHA-256 of its public key, 64 hexadecimal digits.
    pub spki_hash: String,
}

/// A certificate authority that lives as long as this value.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// Makes a certificate that vouches for itself: whoever connects must know [`CertifiedFiles::spki_hash`].
///
/// # Errors
/// A name is neither a DNS name nor an IP address.
pub fn self_signed(names: &[&str]) -> Result<CertifiedFiles, TlsError> {
    let key = KeyPair::generate()?;
    let certificate = server_params(names)?.self_signed(&key)?;
    CertifiedFiles::new(&certificate, &key)
}

/// Makes a new authority with a new key. Nobody trusts it unless told to; for trials and tests.
///
/// # Errors
/// The system gives no key.
pub fn authority() -> Result<Authority, TlsError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "Uketsuke throw-away authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(Authority(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
}

impl Authority {
    /// The authority's own certificate, to be trusted by callers.
    pub fn ca_pem(&self) -> String {
        self.0.pem()
    }

    /// Issues a server certificate for DNS names and IP addresses.
    ///
    /// # Errors
    /// A name is neither a DNS name nor an IP address.
    pub fn issue(&self, names: &[&str]) -> Result<CertifiedFiles, TlsError> {
        let key = KeyPair::generate()?;
        let certificate = server_params(names)?.signed_by(&key, &self.0)?;
        CertifiedFiles::new(&certificate, &key)
    }
}

impl CertifiedFiles {
    fn new(certificate: &rcgen::Certificate, key: &KeyPair) -> Result<Self, TlsError> {
        Ok(Self { cert_pem: certificate.pem(), key_pem: key.serialize_pem(), spki_hash: spki_hash(certificate.der())? })
    }
}

impl std::fmt::Debug for CertifiedFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertifiedFiles").field("spki_hash", &self.spki_hash).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority(…)")
    }
}

fn server_params(names: &[&str]) -> Result<CertificateParams, TlsError> {
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
    params.distinguished_name.push(DnType::CommonName, "Uketsuke server");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}
