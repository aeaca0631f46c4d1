//! The three servers on loopback, with a throw-away authority, database, company and operator.
//!
//! Every server is the real program in a process of its own. Ports are free ones of the moment; the data folder is a
//! temporary one and goes when the world ends, unless a test panics: then the logs in it are what tells why.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use ops::tls;
use proto::id::RelayId;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    keep::Kept,
    managers::Managers,
    private::wait_ready,
    process::{self, Process, our_binary},
    tool::Account,
};

/// A running world.
#[derive(Debug)]
pub struct World {
    folder: Folder,
    account: Account,
    managers: Managers,
    relays: Vec<Relay>,
    /// The download server and its address.
    download: Option<(Process, String)>,
}

/// A relay of a world.
#[derive(Debug)]
pub struct Relay {
    /// Where tools dial.
    pub address: SocketAddr,
    /// Where metrics and health are.
    pub private: SocketAddr,
    process: Process,
}

/// The data folder, until it is closed or kept.
#[derive(Debug)]
struct Folder(Option<TempDir>);

impl Folder {
    fn path(&self) -> &Path {
        self.0.as_ref().map_or_else(|| Path::new(""), TempDir::path)
    }

    fn close(mut self) -> std::io::Result<()> {
        self.0.take().map_or(Ok(()), TempDir::close)
    }

    fn keep(mut self) -> PathBuf {
        self.0.take().map(TempDir::keep).unwrap_or_default()
    }
}

impl Drop for Folder {
    #[expect(clippy::print_stderr, reason = "who reads why a test failed looks there")]
    fn drop(&mut self) {
        if let Some(folder) = self.0.take_if(|_| std::thread::panicking()) {
            eprintln!("the logs of this run are in {}", folder.keep().display());
        }
    }
}

impl World {
    /// Starts everything and waits until it is ready.
    ///
    /// # Errors
    /// When a program is not built, does not start, or is not ready within 30 s.
    pub async fn start() -> Result<Self> {
        Self::start_with(1).await
    }

    /// As [`Self::start`], with this many relays.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub async fn start_with(relay_count: usize) -> Result<Self> {
        let mut own = Self::with_manager().await?;
        for _ in 0..relay_count {
            own.add_relay(&[]).await?;
        }
        own.download = Some(start_download(own.folder()).await?);
        Ok(own)
    }

    /// Starts a manager, with neither relay nor download server: the tools need not be built for it.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub async fn with_manager() -> Result<Self> {
        Self::with_manager_at(Ipv4Addr::LOCALHOST.into()).await
    }

    /// As [`Self::with_manager`], at another address of this machine.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub async fn with_manager_at(ip: IpAddr) -> Result<Self> {
        let folder = Folder(Some(tempfile::Builder::new().prefix("uketsuke-").tempdir()?));
        let at = folder.path().to_owned();
        let authority = write_authority(&at, ip)?;
        let managers = Managers::one(&at, ip)?;
        Self::with_managers(folder, authority, managers).await
    }

    /// Starts two managers on one `PostgreSQL` behind a balancer, with neither relay nor download server.
    ///
    /// # Errors
    /// When [`crate::managers::lacks_for_two`] says why, or see [`Self::start`].
    pub async fn with_two_managers() -> Result<Self> {
        let folder = Folder(Some(tempfile::Builder::new().prefix("uketsuke-").tempdir()?));
        let at = folder.path().to_owned();
        let authority = write_authority(&at, Ipv4Addr::LOCALHOST.into())?;
        let managers = Managers::two(&at).await?;
        Self::with_managers(folder, authority, managers).await
    }

    async fn with_managers(folder: Folder, authority: PathBuf, mut managers: Managers) -> Result<Self> {
        let at = folder.path().to_owned();
        let account = Account {
            manager: managers.url(),
            ca: authority,
            company: COMPANY.to_owned(),
            user: USER.to_owned(),
            password_file: at.join("operator.password"),
        };
        std::fs::write(&account.password_file, PASSWORD)?;
        prepare_manager(&at).await?;
        managers.start().await?;
        Ok(Self { folder, account, managers, relays: Vec::new(), download: None })
    }

    /// Starts one more relay, as the last argument of another program when `under` is not empty: a tracer, or a shell that
    /// sets a limit. Signals to this relay by its index then go to that program.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub async fn add_relay(&mut self, under: &[&str]) -> Result<()> {
        self.add(under, "").await
    }

    /// Starts one more relay, with more lines at the end of its configuration; tables of it come after keys.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub async fn add_relay_with(&mut self, lines: &str) -> Result<()> {
        self.add(&[], lines).await
    }

    async fn add(&mut self, under: &[&str], lines: &str) -> Result<()> {
        let relay = start_relay(self.relays.len() + 1, &self.account, self.folder.path(), under, lines).await?;
        self.relays.push(relay);
        Ok(())
    }

    /// Makes a relay known to the manager that somebody else starts: its id, and the file with its token.
    ///
    /// # Errors
    /// When the manager does not take the name.
    pub async fn enroll(&self, name: &str) -> Result<(RelayId, PathBuf)> {
        enroll(self.folder.path(), name).await
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// How the operator logs in.
    pub const fn account(&self) -> &Account {
        &self.account
    }

    /// The relays.
    pub fn relays(&self) -> &[Relay] {
        &self.relays
    }

    /// Process id of the manager; of the first when there are two.
    pub fn manager_id(&self) -> u32 {
        self.managers.ids().first().map_or(0, |(_name, id)| *id)
    }

    /// The manager, or both.
    pub const fn managers(&self) -> &Managers {
        &self.managers
    }

    /// The same, to be killed and started again.
    pub const fn managers_mut(&mut self) -> &mut Managers {
        &mut self.managers
    }

    /// Kills the manager without warning and waits until the system has closed its sockets and files.
    ///
    /// # Errors
    /// When it does not die.
    pub async fn kill_manager(&mut self) -> Result<()> {
        self.managers.kill(0).await
    }

    /// Starts a manager that was killed, as it was, and waits until it is ready.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub async fn restart_manager(&mut self) -> Result<()> {
        self.managers.restart(0).await
    }

    /// The sum of all values of a metric of the manager; of the first when there are two.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn manager_metric(&self, name: &str) -> Result<f64> {
        self.managers.metric(0, name).await
    }

    /// How the operator logs in at the manager in this place, past the balancer.
    ///
    /// # Errors
    /// When there is none.
    pub fn account_at(&self, place: usize) -> Result<Account> {
        Ok(Account { manager: self.managers.url_of(place)?, ..self.account.clone() })
    }

    /// Creates one more company; its id.
    ///
    /// # Errors
    /// When the manager does not take the code.
    pub async fn add_company(&self, code: &str) -> Result<String> {
        created(&self.manager_command(&["company", "create", "--code", code, "--name", "株式会社サンプル"]).await?)
    }

    /// Creates one more account of a company, with the password of the operator; its id.
    ///
    /// # Errors
    /// When the manager does not take it.
    pub async fn add_account(&self, company: &str, user: &str, role: &str) -> Result<String> {
        let password = self.account.password_file.display().to_string();
        let whose = ["operator", "create", "--company", company, "--user", user, "--name", "鈴木 一郎", "--role", role];
        created(&self.manager_command(&[&whose[..], &["--password-file", &password]].concat()).await?)
    }

    /// Kills the relay `index` without warning.
    pub fn kill_relay(&self, index: usize) {
        if let Some(relay) = self.relays.get(index) {
            relay.process.signal(rustix::process::Signal::KILL);
        }
    }

    /// Asks the relay `index` to leave: its sessions go on elsewhere.
    pub fn drain_relay(&self, index: usize) {
        if let Some(relay) = self.relays.get(index) {
            relay.process.signal(rustix::process::Signal::TERM);
        }
    }

    /// Whether the relay `index` has ended, after this long at most.
    ///
    /// # Errors
    /// When waiting fails.
    pub async fn relay_left(&mut self, index: usize, patience: Duration) -> Result<bool> {
        match self.relays.get_mut(index) {
            Some(relay) => relay.process.ended(patience).await,
            None => Ok(true),
        }
    }

    /// Runs the manager's command line on this world's configuration and returns what it printed.
    ///
    /// # Errors
    /// When the command fails.
    pub async fn manager_command(&self, args: &[&str]) -> Result<String> {
        self.managers.command(0, args).await
    }

    /// Gives the company invented people and a past; what the manager said.
    ///
    /// # Errors
    /// When the company has had a reception.
    pub async fn fill_company(&self) -> Result<String> {
        let password = self.account.password_file.display().to_string();
        self.manager_command(&["company", "example", "--company", COMPANY, "--password-file", &password]).await
    }

    /// The newest row of the support log.
    ///
    /// # Errors
    /// When there is none.
    pub async fn newest_session(&self) -> Result<Value> {
        let printed = self.manager_command(&["sessions", "list", "--json"]).await?;
        let rows: Value = serde_json::from_str(&printed).context("sessions list --json is no JSON")?;
        rows.get("sessions").unwrap_or(&rows).get(0).cloned().context("the support log is empty")
    }

    /// Opens the windows of both tools on the present display and waits until both are closed.
    ///
    /// # Errors
    /// When one cannot be started.
    pub async fn open_windows(&self) -> Result<()> {
        let mut windows = Vec::new();
        for name in ["uketsuke-operator", "uketsuke-client"] {
            let mut command = Command::new(our_binary(name)?);
            command.args(["--manager", &self.account.manager]).arg("--ca").arg(&self.account.ca).kill_on_drop(true);
            windows.push(command.spawn().with_context(|| format!("cannot start {name}"))?);
        }
        let password = std::fs::read_to_string(&self.account.password_file)?;
        announce(&format!("company {COMPANY}   operator {USER}   password {password}"));
        for mut window in windows {
            window.wait().await?;
        }
        Ok(())
    }

    /// Copies every log into `to`.
    ///
    /// # Errors
    /// When a file cannot be copied.
    pub fn save_logs(&self, to: &Path) -> Result<()> {
        std::fs::create_dir_all(to)?;
        for entry in std::fs::read_dir(self.folder.path())? {
            let path = entry?.path();
            if path.extension().is_some_and(|kind| kind == "log")
                && let Some(name) = path.file_name()
            {
                std::fs::copy(&path, to.join(name))?;
            }
        }
        Ok(())
    }

    /// Ends everything and removes the data folder.
    ///
    /// # Errors
    /// When waiting for a program fails.
    pub async fn stop(self) -> Result<()> {
        for relay in self.relays {
            relay.process.stop(Duration::from_secs(3)).await?;
        }
        if let Some((download, _address)) = self.download {
            download.stop(Duration::from_secs(3)).await?;
        }
        self.managers.stop().await?;
        self.folder.close()?;
        Ok(())
    }

    /// Lets everything go on after this program ends.
    pub fn leave_running(self) -> Kept {
        let folder = self.folder.keep();
        let mut pids: Vec<u32> = Vec::new();
        let relays = self.relays.iter().map(|relay| relay.address.to_string()).collect();
        pids.extend(self.relays.into_iter().map(|relay| relay.process.leave_running()));
        let mut download = String::new();
        if let Some((process, address)) = self.download {
            pids.push(process.leave_running());
            download = address;
        }
        pids.extend(self.managers.leave_running());
        Kept {
            manager: self.account.manager,
            ca: self.account.ca,
            relays,
            download,
            company: self.account.company,
            user: self.account.user,
            administrator: ADMINISTRATOR.to_owned(),
            password_file: self.account.password_file,
            manager_config: folder.join("manager.toml"),
            folder,
            pids,
        }
    }
}

impl Relay {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its log file.
    pub fn log(&self) -> &Path {
        self.process.log()
    }
}

/// Runs the manager's command line in a world's folder.
async fn manager_command(folder: &Path, args: &[&str]) -> Result<String> {
    let config = folder.join("manager.toml").display().to_string();
    let mut all = vec!["--config", config.as_str()];
    all.extend_from_slice(args);
    process::run(our_binary("uketsuke-manager")?, &all).await
}

/// The id in what the manager's command line says of something that it created.
fn created(said: &str) -> Result<String> {
    let id = said.trim().rsplit_once("created ").map(|(_, id)| id.to_owned());
    id.with_context(|| format!("the manager does not say the id: {said}"))
}

fn write_authority(folder: &Path, ip: IpAddr) -> Result<PathBuf> {
    let authority = tls::authority()?;
    let ca = folder.join("ca.pem");
    std::fs::write(&ca, authority.ca_pem())?;
    let server = authority.issue(&["localhost", "127.0.0.1", &ip.to_string()])?;
    std::fs::write(folder.join("server.pem"), server.cert_pem)?;
    std::fs::write(folder.join("server.key"), server.key_pem)?;
    Ok(ca)
}

async fn prepare_manager(folder: &Path) -> Result<()> {
    let password = folder.join("operator.password").display().to_string();
    manager_command(folder, &["migrate"]).await?;
    manager_command(folder, &["company", "create", "--code", COMPANY, "--name", "株式会社オプトサポート"]).await?;
    let operator = ["operator", "create", "--company", COMPANY, "--user", USER, "--name", "佐藤 花子"];
    manager_command(folder, &[&operator[..], &["--password-file", &password]].concat()).await?;
    let administrator = [
        "operator",
        "create",
        "--company",
        COMPANY,
        "--user",
        ADMINISTRATOR,
        "--name",
        "管理 花子",
        "--role",
        "company_admin",
    ];
    manager_command(folder, &[&administrator[..], &["--password-file", &password]].concat()).await?;
    Ok(())
}

/// Makes a relay known; the manager prints the token and logs the id.
async fn enroll(folder: &Path, name: &str) -> Result<(RelayId, PathBuf)> {
    let config = folder.join("manager.toml").display().to_string();
    let args = ["--config", &config, "relay", "enroll", "--name", name];
    let (token, log) = process::run_and_log(our_binary("uketsuke-manager")?, &args).await?;
    let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let id = lines.find_map(|line| line.get("relay.id")?.as_str()?.parse().ok());
    let token_file = folder.join(format!("{name}.token"));
    std::fs::write(&token_file, token.trim())?;
    Ok((id.with_context(|| format!("the manager does not say the id of {name}: {log}"))?, token_file))
}

/// Starts one more relay.
async fn start_relay(index: usize, account: &Account, folder: &Path, under: &[&str], lines: &str) -> Result<Relay> {
    let name = format!("relay-{index}");
    let (_id, token_file) = enroll(folder, &name).await?;
    let (address, private) = (free_address()?, free_address()?);
    let text = format!(
        r#"
listen = "{address}"
public_address = "{address}"
private_listen = "{private}"
log_format = "json"
manager = "{}"
manager_ca_file = "{}"
token_file = "{}"
{lines}"#,
        account.manager,
        account.ca.display(),
        token_file.display(),
    );
    std::fs::write(folder.join(format!("{name}.toml")), text)?;
    let config = format!("{name}.toml");
    let process = start_named("relay", &name, &["serve", "--config", &config], folder, under)?;
    wait_ready(&name, private).await?;
    Ok(Relay { address, private, process })
}

async fn start_download(folder: &Path) -> Result<(Process, String)> {
    let (https, http, private) = (free_address()?, free_address()?, free_address()?);
    let at = |name: &str| folder.join(name).display().to_string();
    let tool = |role: &str| -> Result<String> {
        let file = our_binary(&format!("uketsuke-{role}"))?;
        Ok(format!("[[tools]]\nrole = \"{role}\"\nos = \"linux\"\narch = \"x86_64\"\npath = \"{}\"\n", file.display()))
    };
    let text = format!(
        r#"
address = "https://{https}"
listen = "{https}"
redirect_listen = "{http}"
private_listen = "{private}"
certificate_file = "{}"
key_file = "{}"

{}
{}"#,
        at("server.pem"),
        at("server.key"),
        tool("client")?,
        tool("operator")?,
    );
    std::fs::write(folder.join("download.toml"), text)?;
    let process = start_server("download", &["serve", "--config", "download.toml"], folder)?;
    wait_ready("download", private).await?;
    Ok((process, format!("https://{https}")))
}

fn start_server(server: &str, args: &[&str], folder: &Path) -> Result<Process> {
    start_named(server, server, args, folder, &[])
}

fn start_named(server: &str, name: &str, args: &[&str], folder: &Path, under: &[&str]) -> Result<Process> {
    let program = our_binary(&format!("uketsuke-{server}"))?;
    let mut command = match under {
        [] => Command::new(program),
        [outer, rest @ ..] => {
            let mut command = Command::new(outer);
            command.args(rest).arg(program);
            command
        }
    };
    command.args(args).current_dir(folder);
    Process::start(name, command, folder)
}

/// An address on loopback that nobody listens on at this moment.
pub(crate) fn free_address() -> Result<SocketAddr> {
    free_address_at(Ipv4Addr::LOCALHOST.into())
}

/// The same at another address of this machine.
pub(crate) fn free_address_at(ip: IpAddr) -> Result<SocketAddr> {
    Ok(TcpListener::bind((ip, 0))?.local_addr()?)
}

#[expect(clippy::print_stdout, reason = "the user of the demo needs these to log in")]
fn announce(text: &str) {
    println!("{text}");
}

const COMPANY: &str = "demo";
const USER: &str = "sato";
const ADMINISTRATOR: &str = "admin";
const PASSWORD: &str = "Uketsuke-Demo-1";
