//! The two tools in headless mode, driven by JSON lines like any integration would.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::{Instant, timeout_at},
};

use crate::process::{self, our_binary};

/// What a tool logs: also how it goes from relay to relay.
const LOG: &str = "info,link=debug";

/// A headless tool. Dropping it kills it.
#[derive(Debug)]
pub struct Tool {
    name: &'static str,
    child: Child,
    commands: ChildStdin,
    events: Lines<BufReader<ChildStdout>>,
    record: Option<PathBuf>,
    log: PathBuf,
}

/// How an operator logs in.
#[derive(Debug, Clone)]
pub struct Account {
    /// The manager's address.
    pub manager: String,
    /// The authority's certificate.
    pub ca: PathBuf,
    /// Company code.
    pub company: String,
    /// Id in the company.
    pub user: String,
    /// File with the password.
    pub password_file: PathBuf,
}

/// How a tool gets out; by default as it finds best, without a proxy.
#[derive(Debug, Clone, Default)]
pub struct Way {
    /// `quic` or `tcp`; whatever works when absent.
    pub transport: Option<&'static str>,
    /// URL of a proxy.
    pub proxy: Option<String>,
}

impl Way {
    /// By this transport and no other.
    pub const fn only(transport: &'static str) -> Self {
        Self { transport: Some(transport), proxy: None }
    }

    fn dress(&self, command: &mut Command) {
        if let Some(transport) = self.transport {
            command.args(["--transport", transport]);
        }
        if let Some(proxy) = &self.proxy {
            // What this machine's own settings leave out of its proxy would be left out of this one, too.
            command.args(["--proxy", proxy]).env_remove("NO_PROXY").env_remove("no_proxy");
        }
    }
}

impl Tool {
    /// Starts the operator tool.
    ///
    /// # Errors
    /// When it is not built or cannot start.
    pub fn operator(account: &Account, folder: &Path) -> Result<Self> {
        Self::operator_by(&Way::default(), account, folder)
    }

    /// As [`Self::operator`], by this way out.
    ///
    /// # Errors
    /// When it is not built or cannot start.
    pub fn operator_by(way: &Way, account: &Account, folder: &Path) -> Result<Self> {
        let mut command = Command::new(our_binary("uketsuke-operator")?);
        command
            .args(["headless", "--manager", &account.manager, "--company", &account.company, "--user", &account.user])
            .arg("--ca")
            .arg(&account.ca)
            .arg("--password-file")
            .arg(&account.password_file);
        way.dress(&mut command);
        Self::start("operator", command, folder)
    }

    /// Starts the client tool for a number, on a display.
    ///
    /// # Errors
    /// When it is not built or cannot start.
    pub fn client(account: &Account, number: &str, grant: &str, display: &str, folder: &Path) -> Result<Self> {
        Self::client_by(&Way::default(), account, number, grant, display, folder)
    }

    /// As [`Self::client`], by this way out.
    ///
    /// # Errors
    /// When it is not built or cannot start.
    pub fn client_by(
        way: &Way,
        account: &Account,
        number: &str,
        grant: &str,
        display: &str,
        folder: &Path,
    ) -> Result<Self> {
        let mut command = Command::new(our_binary("uketsuke-client")?);
        command
            .args(["headless", "--manager", &account.manager, "--number", number, "--grant", grant])
            .args(["--display", display])
            .arg("--ca")
            .arg(&account.ca);
        way.dress(&mut command);
        Self::start("client", command, folder)
    }

    /// Starts the operator tool again, which was killed in a session: it goes on with that.
    ///
    /// # Errors
    /// When it is not built or cannot start.
    pub fn operator_again(way: &Way, account: &Account, folder: &Path) -> Result<Self> {
        let mut command = Command::new(our_binary("uketsuke-operator")?);
        command.args(["headless", "--resume", "--manager", &account.manager]).arg("--ca").arg(&account.ca);
        way.dress(&mut command);
        Self::start("operator", command, folder)
    }

    /// Starts the client tool again, which was killed in a session: it goes on with that.
    ///
    /// # Errors
    /// When it is not built or cannot start.
    pub fn client_again(way: &Way, account: &Account, grant: &str, display: &str, folder: &Path) -> Result<Self> {
        let mut command = Command::new(our_binary("uketsuke-client")?);
        command
            .args(["headless", "--resume", "--manager", &account.manager, "--grant", grant, "--display", display])
            .arg("--ca")
            .arg(&account.ca);
        way.dress(&mut command);
        Self::start("client", command, folder)
    }

    /// Kills the tool without warning and waits until the system has closed its sockets and files.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn die(&mut self) -> Result<()> {
        self.child.kill().await.with_context(|| format!("the {} tool cannot be killed", self.name))
    }

    /// Starts any headless tool. What an earlier one of this name logged stays; what it keeps of its session for a restart
    /// is kept in the folder.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn start(name: &'static str, mut command: Command, folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::options().create(true).append(true).open(&log)?)
            .env("XDG_RUNTIME_DIR", folder)
            .env("RUST_LOG", LOG)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start the {name} tool"))?;
        let commands = child.stdin.take().context("no standard input")?;
        let events = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        Ok(Self { name, child, commands, events, record: None, log })
    }

    /// Copies every event to the end of a file as well.
    #[must_use]
    pub fn recording_to(mut self, file: PathBuf) -> Self {
        self.record = Some(file);
        self
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id().unwrap_or(0)
    }

    /// What the tool logged.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Gives a command.
    ///
    /// # Errors
    /// When the tool has ended.
    pub async fn give(&mut self, command: Value) -> Result<()> {
        let line = format!("{command}\n");
        self.commands.write_all(line.as_bytes()).await.with_context(|| format!("the {} tool has ended", self.name))?;
        self.commands.flush().await?;
        Ok(())
    }

    /// The next event, whatever it is; `None` at the end of the tool.
    ///
    /// # Errors
    /// When a line is no JSON.
    pub async fn next(&mut self) -> Result<Option<Value>> {
        let Some(line) = self.events.next_line().await? else {
            return Ok(None);
        };
        let event: Value = serde_json::from_str(&line).with_context(|| format!("{} wrote {line}", self.name))?;
        if let Some(record) = &self.record {
            let mut file = File::options().create(true).append(true).open(record)?;
            writeln!(file, "{}", json!({"tool": self.name, "said": event}))?;
        }
        Ok(Some(event))
    }

    /// Waits for an event called `name`; others before it are passed over.
    ///
    /// # Errors
    /// When it does not come in time, an `error` event comes instead, or the tool ends.
    pub async fn wait_for(&mut self, name: &str, patience: Duration) -> Result<Value> {
        let deadline = Instant::now() + patience;
        loop {
            let event = timeout_at(deadline, self.next())
                .await
                .with_context(|| format!("{}: no {name} event within {patience:?}", self.name))??
                .with_context(|| format!("{} ended before the {name} event:\n{}", self.name, self.tail()))?;
            match event.get("event").and_then(Value::as_str) {
                Some(found) if found == name => return Ok(event),
                Some("error") => bail!("{} said {event} before {name}", self.name),
                Some("ended") => bail!("{}: the session ended before {name}: {event}", self.name),
                _ => {}
            }
        }
    }

    /// Gives a command and waits for its answer.
    ///
    /// # Errors
    /// Like [`Tool::give`] and [`Tool::wait_for`].
    pub async fn ask(&mut self, command: Value, answer: &str, patience: Duration) -> Result<Value> {
        self.give(command).await?;
        self.wait_for(answer, patience).await
    }

    /// Waits until the tool ends by itself; ends it after `patience`.
    ///
    /// # Errors
    /// When waiting fails.
    pub async fn finish(mut self, patience: Duration) -> Result<()> {
        drop(self.commands);
        if tokio::time::timeout(patience, self.child.wait()).await.is_err() {
            process::signal_pid(self.child.id().unwrap_or(0), Signal::TERM);
            if tokio::time::timeout(Duration::from_secs(5), self.child.wait()).await.is_err() {
                self.child.kill().await?;
            }
        }
        Ok(())
    }

    fn tail(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// A text field of an event.
///
/// # Errors
/// When it is missing.
pub fn text<'a>(event: &'a Value, field: &str) -> Result<&'a str> {
    event.get(field).and_then(Value::as_str).with_context(|| format!("no {field} in {event}"))
}

/// A number of an event.
///
/// # Errors
/// When it is missing.
pub fn number(event: &Value, field: &str) -> Result<f64> {
    event.get(field).and_then(Value::as_f64).with_context(|| format!("no {field} in {event}"))
}
