//! An HTTP proxy that is not ours: tinyproxy, on loopback.

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::{Result, bail};
use tokio::{net::TcpStream, process::Command};

use crate::{
    desktop::pause,
    process::{Process, installed},
    world::free_address,
};

/// A running proxy. Dropping it ends it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    process: Process,
}

impl Proxy {
    /// Starts it, and waits until it takes connections.
    ///
    /// # Errors
    /// When it is not installed or does not listen within ten seconds.
    pub async fn start(folder: &Path) -> Result<Self> {
        if !installed("tinyproxy") {
            bail!("tinyproxy is not installed: apt-get install tinyproxy-bin");
        }
        let address = free_address()?;
        let config = folder.join("tinyproxy.conf");
        let text = format!(
            "Port {}\nListen {}\nAllow 127.0.0.1\nMaxClients 50\nTimeout 600\nLogLevel Connect\n",
            address.port(),
            address.ip()
        );
        std::fs::write(&config, text)?;
        let mut command = Command::new("tinyproxy");
        command.arg("-d").arg("-c").arg(&config);
        let mut process = Process::start("tinyproxy", command, folder)?;
        for _ in 0..200 {
            process.check_alive()?;
            if TcpStream::connect(address).await.is_ok() {
                return Ok(Self { address, process });
            }
            pause(Duration::from_millis(50)).await;
        }
        bail!("tinyproxy does not listen after 10 s")
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often it was asked by `CONNECT` for a way to this `host:port`.
    ///
    /// # Errors
    /// When its log cannot be read.
    pub fn asked_for(&self, target: &str) -> Result<usize> {
        let log = std::fs::read_to_string(self.process.log())?;
        Ok(log.lines().filter(|line| line.contains(&format!("CONNECT {target} "))).count())
    }

    /// Ends it.
    ///
    /// # Errors
    /// When waiting fails.
    pub async fn stop(self) -> Result<()> {
        self.process.stop(Duration::from_secs(3)).await
    }
}
