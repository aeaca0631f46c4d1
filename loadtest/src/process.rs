//! A program started by us: its output in a file, ended by its process id, never left behind.

use std::{
    ffi::OsStr,
    fs::File,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

/// A running program. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// User and system time, seconds.
    pub cpu_secs: f64,
    /// Resident memory, KiB.
    pub resident_kib: u64,
    /// What of it is the process's own, KiB: not the pages of its program, which come as they are first needed.
    pub own_kib: u64,
}

impl Process {
    /// Starts `command` with both outputs appended to `log_dir/NAME.log`: what an earlier program of this name wrote stays.
    ///
    /// # Errors
    /// When the log cannot be made or the program cannot be started.
    pub fn start(name: &str, mut command: Command, log_dir: &Path) -> Result<Self> {
        let log = log_dir.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log);
        let output = output.with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// The process id, 0 when it has ended.
    pub fn id(&self) -> u32 {
        self.child.id().unwrap_or(0)
    }

    /// The file with its output.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Fails with the end of the log when the program has ended already.
    ///
    /// # Errors
    /// When it has ended.
    pub fn check_alive(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended with {status}:\n{}", self.name, tail(&self.log));
        }
        Ok(())
    }

    /// Asks the program to end (SIGTERM) and waits; kills it after `patience`.
    ///
    /// # Errors
    /// When waiting fails.
    pub async fn stop(mut self, patience: Duration) -> Result<()> {
        self.signal(Signal::TERM);
        if timeout(patience, self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }

    /// Waits until the program ends by itself; `false` when it does not in time.
    ///
    /// # Errors
    /// When waiting fails.
    pub async fn ended(&mut self, patience: Duration) -> Result<bool> {
        Ok(match timeout(patience, self.child.wait()).await {
            Ok(status) => status.is_ok(),
            Err(_late) => false,
        })
    }

    /// Sends a signal to the program, if it is alive.
    pub fn signal(&self, signal: Signal) {
        signal_pid(self.id(), signal);
    }

    /// Lets the program go on after we end; used by `ops/demo --keep`.
    pub fn leave_running(self) -> u32 {
        let id = self.id();
        // Dropping a child with `kill_on_drop` would end it; the pid file has taken over.
        #[expect(clippy::mem_forget, reason = "the process shall outlive this program")]
        std::mem::forget(self.child);
        id
    }
}

/// Sends a signal to a process id, if such a process exists.
pub fn signal_pid(id: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(id).ok().filter(|id| 1 < *id).and_then(Pid::from_raw)
        && rustix::process::kill_process(pid, signal).is_err()
    {
        // It has ended by itself, which is what the caller wants.
    }
}

/// CPU time and memory of a process, read from `/proc`.
///
/// # Errors
/// When the process is gone.
pub fn usage(id: u32) -> Result<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).context("the process is gone")?;
    let (_, fields) = stat.rsplit_once(')').context("odd /proc stat")?;
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).context("the process is gone")?;
    let kib = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    let (resident_kib, own_kib) = (kib("VmRSS:"), kib("RssAnon:"));
    #[expect(clippy::cast_precision_loss, reason = "ticks stay far below 2^52")]
    let cpu_secs = ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
    Ok(Usage { cpu_secs, resident_kib, own_kib })
}

/// A socket of the network that a process has open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Socket {
    /// UDP, else TCP.
    pub is_udp: bool,
    /// The other end; port 0 when there is none.
    pub peer: SocketAddr,
}

/// The TCP and UDP sockets of a process, read from `/proc`.
///
/// # Errors
/// When the process is gone or belongs to somebody else.
pub fn sockets(id: u32) -> Result<Vec<Socket>> {
    let mut inodes = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{id}/fd")).context("the process is gone")? {
        // A descriptor may be closed while we look.
        let Ok(target) = std::fs::read_link(entry?.path()) else { continue };
        let inode = target.to_str().and_then(|name| name.strip_prefix("socket:[")?.strip_suffix(']'));
        inodes.extend(inode.map(str::to_owned));
    }
    let mut sockets = Vec::new();
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        let Ok(text) = std::fs::read_to_string(format!("/proc/{id}/net/{table}")) else { continue };
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if let (Some(peer), Some(inode)) = (fields.get(2), fields.get(9))
                && inodes.iter().any(|open| open == inode)
            {
                sockets.push(Socket { is_udp: table.starts_with("udp"), peer: kernel_address(peer)? });
            }
        }
    }
    Ok(sockets)
}

/// An address as the kernel writes it: 32-bit words of the machine's own order, then the port.
fn kernel_address(text: &str) -> Result<SocketAddr> {
    let (words, port) = text.split_once(':').context("odd address in /proc")?;
    let bytes = hex::decode(words)?;
    let octets: Vec<u8> =
        bytes.chunks_exact(4).flat_map(|word| word.iter().rev().copied().collect::<Vec<u8>>()).collect();
    let ip = if let Ok(octets) = <[u8; 4]>::try_from(octets.as_slice()) {
        IpAddr::from(octets)
    } else {
        IpAddr::from(<[u8; 16]>::try_from(octets.as_slice())?).to_canonical()
    };
    Ok(SocketAddr::new(ip, u16::from_str_radix(port, 16)?))
}

/// One of our own programs: beside this one, one folder up when this is a test, or in `release`, where the tools are,
/// when this was built by the profile `server`.
///
/// # Errors
/// When it has not been built.
pub fn our_binary(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let beside = own.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    let tools = own.ancestors().nth(2).map(|target| target.join("release").join(name));
    beside
        .chain(tools.filter(|_| own.ancestors().nth(1).is_some_and(|folder| folder.ends_with("server"))))
        .find(|path| path.is_file())
        .with_context(|| format!("{name} is not built: run `cargo build --workspace` first"))
}

/// Whether a program is on the path.
pub fn installed(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// Runs a program to its end and returns its standard output.
///
/// # Errors
/// When it cannot start, does not end within 30 s, or fails; with what it wrote.
pub async fn run(program: impl AsRef<OsStr>, args: &[&str]) -> Result<String> {
    Ok(run_and_log(program, args).await?.0)
}

/// As [`run`], with what the program logged as the second.
///
/// # Errors
/// See [`run`].
pub async fn run_and_log(program: impl AsRef<OsStr>, args: &[&str]) -> Result<(String, String)> {
    let shown = Path::new(&program).display().to_string();
    let output = timeout(
        Duration::from_secs(30),
        Command::new(&program).args(args).stdin(Stdio::null()).kill_on_drop(true).output(),
    )
    .await
    .with_context(|| format!("{shown} did not end within 30 s"))?
    .with_context(|| format!("cannot start {shown}"))?;
    let [text, log] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    if !output.status.success() {
        bail!("{shown} {}: {}\n{text}{log}", args.join(" "), output.status);
    }
    Ok((text, log))
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(15).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_an_earlier_program_of_a_name_wrote_stays_in_its_log() {
        let folder = tempfile::tempdir().unwrap();
        for word in ["one", "two"] {
            let mut command = Command::new("echo");
            command.arg(word);
            let mut process = Process::start("speaker", command, folder.path()).unwrap();
            assert!(process.ended(Duration::from_secs(30)).await.unwrap());
        }

        assert_eq!(std::fs::read_to_string(folder.path().join("speaker.log")).unwrap(), "one\ntwo\n");
    }
}
