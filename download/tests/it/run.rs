//! A whole server on loopback, and a caller that says exactly what a test wants it to say.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use download::{Listeners, RunError, config};
use ops::{shutdown::Shutdown, tls};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsConnector;

/// The customer's tool of the tests: 1,000 bytes that tell their place.
pub(crate) fn client_bytes() -> Vec<u8> {
    (0..1000u32).map(|place| place.to_le_bytes()[0]).collect()
}

pub(crate) struct Server {
    pub(crate) folder: TempDir,
    pub(crate) https: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) private: SocketAddr,
    pub(crate) shutdown: Shutdown,
    pub(crate) task: JoinHandle<Result<(), RunError>>,
    tls: Arc<ClientConfig>,
}

/// An answer, taken apart.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let line = self.headers.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}: ")))?;
        line.split_once(": ").map(|(_, value)| value)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    fn read(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let headers = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = headers.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, headers, body: bytes[end + 4..].to_vec() }
    }
}

/// The tools that most tests list: the customer's for Linux and Windows, the operator's for Linux.
pub(crate) const TOOLS: &str = r#"
[[tools]]
path = "FOLDER/client"
role = "client"
os = "linux"
arch = "x86_64"

[[tools]]
path = "FOLDER/client.exe"
role = "client"
os = "windows"
arch = "x86_64"

[[tools]]
path = "FOLDER/operator"
role = "operator"
os = "linux"
arch = "x86_64"
"#;

/// Writes certificate, tools and configuration into a folder of their own.
pub(crate) fn prepare(tools: &str) -> (TempDir, PathBuf, tls::Authority) {
    let folder = tempfile::tempdir().unwrap();
    let authority = tls::authority().unwrap();
    let files = authority.issue(&["localhost"]).unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    put("cert.pem", files.cert_pem.as_bytes());
    put("key.pem", files.key_pem.as_bytes());
    put("client", &client_bytes());
    put("client.exe", b"for windows");
    put("operator", b"for operators");
    put("secret", b"never served");
    let text = format!(
        "address = \"https://download.example.jp\"\nlisten = \"127.0.0.1:0\"\n\
         certificate_file = \"FOLDER/cert.pem\"\nkey_file = \"FOLDER/key.pem\"\n{tools}"
    );
    let file = folder.path().join("download.toml");
    std::fs::write(&file, text.replace("FOLDER", folder.path().to_str().unwrap())).unwrap();
    (folder, file, authority)
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(TOOLS).await
    }

    pub(crate) async fn start_with(tools: &str) -> Self {
        let (folder, file, authority) = prepare(tools);
        let config = config::load(Some(&file)).unwrap();
        let bind = || TcpListener::bind("127.0.0.1:0");
        let listeners =
            Listeners { https: bind().await.unwrap(), http: bind().await.unwrap(), private: bind().await.unwrap() };
        let https = listeners.https.local_addr().unwrap();
        let http = listeners.http.local_addr().unwrap();
        let private = listeners.private.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let task = tokio::spawn(download::run(config, listeners, shutdown.clone()));

        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.ca_pem().as_bytes()).unwrap()).unwrap();
        let tls = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { folder, https, http, private, shutdown, task, tls: Arc::new(tls) }
    }

    /// Sends a request line and headers as they are, each line without its end.
    pub(crate) async fn ask(&self, lines: &[&str]) -> Answer {
        let stream = TcpStream::connect(self.https).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await.unwrap();
        let request = format!("{}\r\nhost: localhost\r\nconnection: close\r\n\r\n", lines.join("\r\n"));
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        Answer::read(&bytes)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(&[&format!("GET {path} HTTP/1.1")]).await
    }

    /// A request on one of the plain listeners.
    pub(crate) async fn plain(address: SocketAddr, line: &str) -> Answer {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{line}\r\nhost: evil.example\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        Answer::read(&bytes)
    }
}
