//! Handshakes in memory, with certificates made on the spot.

use std::path::PathBuf;

use proto::version;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{ServerName, pem::PemObject as _},
};
use tokio::time::Instant;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

/// What a client learnt: the public key it saw, and the protocol that was agreed.
struct Learnt {
    spki: String,
    alpn: Option<Vec<u8>>,
}

async fn handshake(server: Arc<ServerConfig>, ca_pem: &str, name: &str, tls12: bool) -> Result<Learnt, std::io::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
    let versions: &[_] = if tls12 { &[&rustls::version::TLS12] } else { &[&rustls::version::TLS13] };
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"uketsuke/1".to_vec(), b"http/1.1".to_vec()];
    let (near, far) = tokio::io::duplex(64 * 1024);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let (client, _server) =
        tokio::join!(TlsConnector::from(Arc::new(config)).connect(name, near), TlsAcceptor::from(server).accept(far),);
    let client = client?;
    let (_, session) = client.get_ref();
    let seen = session.peer_certificates().unwrap().first().unwrap();
    Ok(Learnt { spki: spki_hash(seen).unwrap(), alpn: session.alpn_protocol().map(<[u8]>::to_vec) })
}

#[tokio::test]
async fn a_certificate_of_the_authority_is_trusted_for_its_names_and_addresses() {
    let authority = authority().unwrap();
    let files = authority.issue(&["localhost", "127.0.0.1"]).unwrap();
    let config = server_config(files.cert_pem.as_bytes(), files.key_pem.as_bytes(), &[b"uketsuke/1"]).unwrap();

    for name in ["localhost", "127.0.0.1"] {
        let learnt = handshake(Arc::clone(&config), &authority.ca_pem(), name, false).await.unwrap();
        assert_eq!(learnt.spki, files.spki_hash);
        assert_eq!(learnt.alpn.as_deref(), Some(b"uketsuke/1".as_slice()));
    }
    assert!(handshake(config, &authority.ca_pem(), "example.org", false).await.is_err());
}

#[tokio::test]
async fn a_relay_speaks_tls_1_3_only_and_a_web_server_tls_1_2_too() {
    let authority = authority().unwrap();
    let files = authority.issue(&["localhost"]).unwrap();
    let (cert, key) = (files.cert_pem.as_bytes(), files.key_pem.as_bytes());
    let relay = server_config(cert, key, &[b"uketsuke/1"]).unwrap();
    let web = web_config(Arc::new(Certificate::from_pem(cert, key).unwrap())).unwrap();

    assert!(handshake(relay, &authority.ca_pem(), "localhost", true).await.is_err());
    let learnt = handshake(web, &authority.ca_pem(), "localhost", true).await.unwrap();
    assert_eq!(learnt.alpn.as_deref(), Some(b"http/1.1".as_slice()));
}

#[test]
fn every_self_signed_certificate_has_its_own_key() {
    let (one, other) = (self_signed(&["localhost"]).unwrap(), self_signed(&["localhost"]).unwrap());

    assert_eq!(one.spki_hash.len(), 64);
    assert_ne!(one.spki_hash, other.spki_hash);
    assert!(!format!("{one:?}").contains("PRIVATE"));
}

#[test]
fn wrong_files_are_named() {
    let files = self_signed(&["localhost"]).unwrap();
    let other = self_signed(&["localhost"]).unwrap();
    let (cert, key) = (files.cert_pem.as_bytes(), files.key_pem.as_bytes());

    assert!(Certificate::from_pem(b"", key).unwrap_err().to_string().starts_with("certificate is not there"));
    assert!(Certificate::from_pem(cert, b"").unwrap_err().to_string().starts_with("private key is not there"));
    assert!(Certificate::from_pem(cert, other.key_pem.as_bytes()).unwrap_err().to_string().contains("cannot be used"));
    let error = Certificate::load(&PathBuf::from("/nowhere/cert.pem"), &PathBuf::from("/nowhere/key.pem")).unwrap_err();
    assert!(error.to_string().starts_with("/nowhere/cert.pem: "));
    assert!(spki_hash(b"no certificate").is_err());
}

#[test]
fn a_renewed_certificate_is_taken_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (cert_file, key_file) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let write = |files: &CertifiedFiles| {
        std::fs::write(&cert_file, &files.cert_pem).unwrap();
        std::fs::write(&key_file, &files.key_pem).unwrap();
    };
    let (old, new) = (self_signed(&["localhost"]).unwrap(), self_signed(&["localhost"]).unwrap());
    write(&old);
    let certificate = Certificate::load(&cert_file, &key_file).unwrap();

    assert!(!certificate.reload(Instant::now()).unwrap());
    std::fs::write(&cert_file, "not a certificate").unwrap();
    assert!(certificate.reload(Instant::now()).is_err());
    assert_eq!(certificate.spki_hash(), old.spki_hash);
    write(&new);
    assert!(certificate.reload(Instant::now()).unwrap());
    assert_eq!(certificate.spki_hash(), new.spki_hash);
}

/// Shakes hands as a tool that expects the key with this hash; gives the hash it saw.
async fn seen_by_one_who_expects(server: &Arc<ServerConfig>, spki: &str) -> String {
    #[derive(Debug)]
    struct Anyone;

    impl rustls::client::danger::ServerCertVerifier for Anyone {
        fn verify_server_cert(
            &self,
            _end_entity: &CertificateDer<'_>,
            _intermediates: &[CertificateDer<'_>],
            _server_name: &ServerName<'_>,
            _ocsp_response: &[u8],
            _now: rustls::pki_types::UnixTime,
        ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
            Ok(rustls::client::danger::ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _certificate: &CertificateDer<'_>,
            _signature: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            Err(rustls::Error::General("TLS 1.2".to_owned()))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            let algorithms = provider().signature_verification_algorithms;
            rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            provider().signature_verification_algorithms.supported_schemes()
        }
    }

    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    config.alpn_protocols = vec![version::ALPN.to_vec(), version::key_name(spki)];
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (client, _server) = tokio::join!(
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("relay.invalid").unwrap(), near),
        TlsAcceptor::from(Arc::clone(server)).accept(far),
    );
    let client = client.unwrap();
    let (_, session) = client.get_ref();
    assert_eq!(session.alpn_protocol(), Some(version::ALPN), "the name of a key is never chosen");
    spki_hash(session.peer_certificates().unwrap().first().unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_replaced_is_there_for_those_who_expect_it_until_its_time_is_over() {
    const HOUR: std::time::Duration = std::time::Duration::from_hours(1);
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let put = |files: &CertifiedFiles| {
        std::fs::write(&cert, &files.cert_pem).unwrap();
        std::fs::write(&key, &files.key_pem).unwrap();
    };
    let (old, new) = (self_signed(&["relay.invalid"]).unwrap(), self_signed(&["relay.invalid"]).unwrap());
    put(&old);
    let certificate = Arc::new(Certificate::load(&cert, &key).unwrap().keep_earlier(HOUR));
    let server = relay_config(Arc::<Certificate>::clone(&certificate), &[version::ALPN]).unwrap();
    put(&new);

    assert!(certificate.reload(Instant::now()).unwrap());
    certificate.renewed().await;

    assert_eq!(seen_by_one_who_expects(&server, &old.spki_hash).await, old.spki_hash);
    assert_eq!(seen_by_one_who_expects(&server, &new.spki_hash).await, new.spki_hash);
    assert_eq!(seen_by_one_who_expects(&server, "0").await, new.spki_hash);
    assert!(certificate.holds(&old.spki_hash) && certificate.holds(&new.spki_hash));
    tokio::time::advance(HOUR).await;
    assert!(!certificate.reload(Instant::now()).unwrap());
    assert!(!certificate.holds(&old.spki_hash));
    assert_eq!(seen_by_one_who_expects(&server, &old.spki_hash).await, new.spki_hash);
}
