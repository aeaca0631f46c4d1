//! The managers of a world: one whose database is a file, or two on one `PostgreSQL` behind a balancer.
//!
//! Tools and relays know one address of a manager and try again there, so two managers stand behind HAProxy, with the
//! lines that `manager/README.md` gives under "Several managers". The balancer calls from an address of its own, for
//! which alone managers ask who connected; so one of the two can also be called past it.
//! The database is one of its own on the server that [`POSTGRES`] names, and goes with the managers.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tokio::process::Command;

use crate::{
    private::{metric, wait_ready},
    process::{Process, installed, our_binary, run},
    world::{free_address, free_address_at},
};

/// Names a `PostgreSQL` server in which tests may make databases.
pub const POSTGRES: &str = "UKETSUKE_TEST_POSTGRES";
/// What a world with two managers starts and asks.
const PROGRAMS: [&str; 3] = ["haproxy", "psql", "pg_dump"];
/// How `psql` is called: rows alone, and mistakes with their code.
const PSQL: [&str; 8] = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose"];
/// From where the balancer calls the managers.
const BALANCER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// A manager that was killed is gone within this time, and one that was asked to leave: longer than its `http.drain`
/// (20 s), for which streams of events keep it.
const DEATH_PATIENCE: Duration = Duration::from_secs(30);
/// At the end, nobody waits longer for one that was asked.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Many customers and operators are at one address here, and two customers enter each number, of whom one is refused.
const WIDE: &str = "\n[reception]\nissued_per_hour_max = 100000\nissued_per_day_max = 100000\n\n\
                    [session]\nwrong_per_5_minutes_max = 1000000\nwrong_per_hour_max = 1000000\n\
                    wrong_per_day_max = 1000000\nwrong_soft_max = 1000000\nwrong_hard_max = 1000000\n";

/// See the module.
#[derive(Debug)]
pub struct Managers {
    folder: PathBuf,
    /// At least one.
    all: Vec<Manager>,
    balancer: Option<Balancer>,
    /// Goes last, when nobody is there any more who uses it.
    database: Option<Database>,
}

#[derive(Debug)]
struct Manager {
    name: String,
    listen: SocketAddr,
    private: SocketAddr,
    process: Option<Process>,
}

#[derive(Debug)]
struct Balancer {
    listen: SocketAddr,
    /// Says `200` while every manager is ready.
    ready: SocketAddr,
    process: Option<Process>,
}

/// A database of a `PostgreSQL` server.
#[derive(Debug)]
struct Database {
    server: String,
    name: String,
}

/// Why no world with two managers can be started here, if so.
pub fn lacks_for_two() -> Option<String> {
    if postgres().is_none() {
        return Some(format!("{POSTGRES} names no PostgreSQL server in which two managers may have a database"));
    }
    let missing: Vec<_> = PROGRAMS.into_iter().filter(|program| !installed(program)).collect();
    (!missing.is_empty()).then(|| format!("not installed: {}", missing.join(", ")))
}

#[expect(clippy::disallowed_methods, reason = "tests are told so where PostgreSQL is, as those of the manager")]
fn postgres() -> Option<String> {
    std::env::var(POSTGRES).ok().filter(|server| !server.is_empty())
}

impl Managers {
    /// Writes the configuration of one manager with a database in `folder`; nothing runs yet.
    ///
    /// # Errors
    /// When no port is free, or a file cannot be written.
    pub fn one(folder: &Path, ip: IpAddr) -> Result<Self> {
        let manager = Manager::new("manager", free_address_at(ip)?, free_address()?);
        let database = format!("sqlite://{}", folder.join("manager.db").display());
        manager.write_config(folder, &database, "", "")?;
        Ok(Self { folder: folder.to_owned(), all: vec![manager], balancer: None, database: None })
    }

    /// Makes a database and writes the configurations of two managers and their balancer; nothing runs yet.
    ///
    /// # Errors
    /// When [`lacks_for_two`] says why, or the server makes no database.
    pub async fn two(folder: &Path) -> Result<Self> {
        if let Some(why) = lacks_for_two() {
            anyhow::bail!(why);
        }
        let server = postgres().context("there is no PostgreSQL")?;
        let database = Database::create(server).await?;
        let mut all = Vec::new();
        for name in ["manager", "manager-2"] {
            let manager = Manager::new(name, free_address()?, free_address()?);
            manager.write_config(folder, &database.url(), &format!("proxy_from = [\"{BALANCER}\"]\n"), WIDE)?;
            all.push(manager);
        }
        let balancer = Balancer { listen: free_address()?, ready: free_address()?, process: None };
        balancer.write_config(folder, &all)?;
        Ok(Self { folder: folder.to_owned(), all, balancer: Some(balancer), database: Some(database) })
    }

    /// Starts all, and the balancer, and waits until they are ready.
    ///
    /// # Errors
    /// When one does not start.
    pub async fn start(&mut self) -> Result<()> {
        for manager in &mut self.all {
            manager.start(&self.folder).await?;
        }
        if let Some(balancer) = &mut self.balancer {
            balancer.start(&self.folder).await?;
        }
        Ok(())
    }

    /// Where tools and relays call.
    pub fn url(&self) -> String {
        let own = self.all.first().map(|manager| manager.listen);
        url(self.balancer.as_ref().map(|balancer| balancer.listen).or(own))
    }

    /// Where the manager in this place listens itself.
    ///
    /// # Errors
    /// When there is none.
    pub fn url_of(&self, place: usize) -> Result<String> {
        Ok(url(Some(self.manager(place)?.listen)))
    }

    /// Names and process ids; the id of one that is dead is 0.
    pub fn ids(&self) -> Vec<(String, u32)> {
        self.all.iter().map(|manager| (manager.name.clone(), manager.process_id())).collect()
    }

    /// Kills one without warning and waits until the system has closed its sockets and files.
    ///
    /// # Errors
    /// When it does not die.
    pub async fn kill(&mut self, place: usize) -> Result<()> {
        self.end(place, Signal::KILL).await
    }

    /// Asks one to leave, as an upgrade does, and waits until it has: it answers what it was asked before.
    ///
    /// # Errors
    /// When it does not leave by itself.
    pub async fn leave(&mut self, place: usize) -> Result<()> {
        self.end(place, Signal::TERM).await
    }

    async fn end(&mut self, place: usize, signal: Signal) -> Result<()> {
        let manager = self.all.get_mut(place).context("there is no manager in this place")?;
        if let Some(mut process) = manager.process.take() {
            process.signal(signal);
            ensure!(process.ended(DEATH_PATIENCE).await?, "{} did not end", manager.name);
        }
        Ok(())
    }

    /// Starts one that has ended, as it was, and waits until it is ready, and the balancer knows it.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart(&mut self, place: usize) -> Result<()> {
        self.all.get_mut(place).context("there is no manager in this place")?.start(&self.folder).await?;
        match &self.balancer {
            Some(balancer) => wait_ready("the balancer", balancer.ready).await,
            None => Ok(()),
        }
    }

    /// The sum of all values of a metric of the manager in this place.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metric(&self, place: usize, name: &str) -> Result<f64> {
        metric(self.manager(place)?.private, name).await
    }

    /// Runs a manager's command line on the configuration of the one in this place, and returns what it printed.
    ///
    /// # Errors
    /// When the command fails.
    pub async fn command(&self, place: usize, args: &[&str]) -> Result<String> {
        let config = self.manager(place)?.config(&self.folder).display().to_string();
        let all = [&["--config", config.as_str()][..], args].concat();
        run(our_binary("uketsuke-manager")?, &all).await
    }

    /// Runs a manager's command line on the configuration of each; what each printed.
    ///
    /// # Errors
    /// When the command fails.
    pub async fn commands(&self, args: &[&str]) -> Result<Vec<String>> {
        let mut printed = Vec::new();
        for place in 0..self.all.len() {
            printed.push(self.command(place, args).await?);
        }
        Ok(printed)
    }

    /// What `PostgreSQL` answers to a question, line by line; nothing when the database is a file.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn rows(&self, question: &str) -> Result<Option<String>> {
        let Some(database) = &self.database else { return Ok(None) };
        let url = database.url();
        Ok(Some(run("psql", &[&PSQL[..], &["-c", question, url.as_str()][..]].concat()).await?))
    }

    /// Writes everything that is in `PostgreSQL` into a file of the folder.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub async fn dump(&self) -> Result<()> {
        let Some(database) = &self.database else { return Ok(()) };
        let file = self.folder.join("database.sql").display().to_string();
        run("pg_dump", &["--data-only", "--file", &file, &database.url()]).await?;
        Ok(())
    }

    /// Asks all to end.
    ///
    /// # Errors
    /// When waiting for one fails.
    pub async fn stop(self) -> Result<()> {
        if let Some(process) = self.balancer.and_then(|balancer| balancer.process) {
            process.stop(STOP_PATIENCE).await?;
        }
        for process in self.all.into_iter().filter_map(|manager| manager.process) {
            process.stop(STOP_PATIENCE).await?;
        }
        Ok(())
    }

    /// Lets them go on after this program ends: their process ids.
    pub fn leave_running(self) -> Vec<u32> {
        let balancer = self.balancer.and_then(|balancer| balancer.process);
        let all = self.all.into_iter().filter_map(|manager| manager.process).chain(balancer);
        all.map(Process::leave_running).collect()
    }

    fn manager(&self, place: usize) -> Result<&Manager> {
        self.all.get(place).context("there is no manager in this place")
    }
}

fn url(address: Option<SocketAddr>) -> String {
    address.map(|address| format!("https://{address}")).unwrap_or_default()
}

impl Manager {
    fn new(name: &str, listen: SocketAddr, private: SocketAddr) -> Self {
        Self { name: name.to_owned(), listen, private, process: None }
    }

    fn config(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.toml", self.name))
    }

    fn process_id(&self) -> u32 {
        self.process.as_ref().map_or(0, Process::id)
    }

    /// `keys` are more lines before the tables, `tables` after them.
    fn write_config(&self, folder: &Path, database: &str, keys: &str, tables: &str) -> Result<()> {
        let at = |name: &str| folder.join(name).display().to_string();
        let text = format!(
            r#"
listen = "{}"
private_listen = "{}"
certificate_file = "{}"
key_file = "{}"
signing_key_file = "{}"
log_format = "json"
{keys}
[database]
url = "{database}"
{tables}"#,
            self.listen,
            self.private,
            at("server.pem"),
            at("server.key"),
            at("signing.key"),
        );
        std::fs::write(self.config(folder), text)?;
        Ok(())
    }

    async fn start(&mut self, folder: &Path) -> Result<()> {
        let mut command = Command::new(our_binary("uketsuke-manager")?);
        command.args(["serve", "--config", &format!("{}.toml", self.name)]).current_dir(folder);
        self.process = Some(Process::start(&self.name, command, folder)?);
        wait_ready(&self.name, self.private).await
    }
}

impl Balancer {
    fn write_config(&self, folder: &Path, managers: &[Manager]) -> Result<()> {
        let server = |manager: &Manager| {
            format!(
                "  server {} {} source {BALANCER} check port {} inter 500ms fall 1 send-proxy-v2\n",
                manager.name,
                manager.listen,
                manager.private.port()
            )
        };
        let text = format!(
            "defaults\n  mode tcp\n  timeout connect 2s\n  timeout client 5m\n  timeout server 5m\n  \
             option redispatch 1\n  retries 3\n\
             frontend site\n  bind {}\n  default_backend managers\n\
             backend managers\n  balance roundrobin\n  option httpchk GET /readyz\n{}\
             frontend ready\n  mode http\n  bind {}\n  \
             http-request return status 503 if {{ nbsrv(managers) lt {} }}\n  http-request return status 200\n",
            self.listen,
            managers.iter().map(server).collect::<String>(),
            self.ready,
            managers.len(),
        );
        std::fs::write(folder.join("haproxy.cfg"), text)?;
        Ok(())
    }

    async fn start(&mut self, folder: &Path) -> Result<()> {
        let mut command = Command::new("haproxy");
        command.args(["-db", "-f", "haproxy.cfg"]).current_dir(folder);
        self.process = Some(Process::start("haproxy", command, folder)?);
        wait_ready("the balancer", self.ready).await
    }
}

impl Database {
    async fn create(server: String) -> Result<Self> {
        let name = format!("fault_{:032x}", rand::random::<u128>());
        run("psql", &["-X", "-q", "-c", &format!("CREATE DATABASE {name}"), &server])
            .await
            .with_context(|| format!("the server of {POSTGRES} makes no database"))?;
        Ok(Self { server, name })
    }

    /// The server's address with this database in it.
    fn url(&self) -> String {
        let (address, options) = self
            .server
            .split_once('?')
            .map_or((self.server.as_str(), None), |(address, options)| (address, Some(options)));
        let start = address.find("://").map_or(0, |at| at + 3);
        let host = address.get(start..).and_then(|rest| Some(start + rest.find('/')?)).unwrap_or(address.len());
        let host = address.get(..host).unwrap_or(address);
        options.map_or_else(|| format!("{host}/{}", self.name), |options| format!("{host}/{}?{options}", self.name))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Nobody waits for what is forced; where it fails, the server goes with those who started it for tests.
        let gone = std::process::Command::new("psql")
            .args(["-X", "-q", "-c", &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name), &self.server])
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status();
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_takes_the_place_of_the_one_in_the_servers_address_and_its_options_stay() {
        for (server, url) in [
            ("postgres://me@127.0.0.1:5432/postgres", "postgres://me@127.0.0.1:5432/fault_1"),
            ("postgres://me@127.0.0.1:5432", "postgres://me@127.0.0.1:5432/fault_1"),
            ("postgres://h/a?sslmode=disable", "postgres://h/fault_1?sslmode=disable"),
        ] {
            // No test may drop a database that it has not made.
            let database =
                std::mem::ManuallyDrop::new(Database { server: server.to_owned(), name: "fault_1".to_owned() });
            assert_eq!(database.url(), url);
        }
    }
}
