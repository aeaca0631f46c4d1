//! A network of our own: relays in a network namespace that tools reach over a virtual cable, with packet filters on it.
//!
//! Loss and partitions are the kernel's here: a packet that is dropped is never answered, by no reset and no ICMP, and
//! TCP and QUIC do about it what they do. Delay is not: this machine's kernel may have no `netem`; see [`super::gate`].
//! The load tester runs itself again in namespaces of its own (user, network, processes, mounts), for which it needs no
//! rights where the system lets users make them. There it is the first process: when it ends, or whoever started it, even
//! by a kill, the kernel ends every process in it, and the network goes with them.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::unix::pipe,
    process::Command,
    time::timeout,
};

use super::{
    Call,
    gate::{Climate, Weather},
    score::{Outcome, Score},
    trial::LOOK,
};
use crate::{
    desktop::pause,
    process::{self, Process, installed, our_binary},
};

/// Addresses that are nobody's. Source: RFC 5737.
const NET: [u8; 3] = [192, 0, 2];
/// Where the tools and the manager are.
pub const TOOLS: IpAddr = address(1);
/// Where relays are for customers, and where they are for operators.
pub const RELAYS: [IpAddr; 2] = [address(2), address(3)];
/// Programs that it takes.
const PROGRAMS: [&str; 6] = ["unshare", "nsenter", "ip", "nft", "ss", "tc"];
/// A row in here takes no longer.
const ROW_MAX: Duration = Duration::from_mins(20);
/// The namespaces are there after this time, and the filters are.
const PATIENCE: Duration = Duration::from_secs(20);
/// A slow line keeps so much, as cheap routers do: in both directions longer than a dead one is given.
const QUEUE_MAX: Duration = Duration::from_secs(1);
/// Of so many packets a share is lost.
const OF: f64 = 1_000.0;

/// The namespace of the relays. Dropping it ends it when the relays have ended.
#[derive(Debug)]
pub struct House {
    /// A program that does nothing but be there.
    keeper: Process,
}

const fn address(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(NET[0], NET[1], NET[2], last))
}

/// Runs a row in namespaces of its own. Where that is not possible, its outcome says why.
///
/// # Errors
/// When it breaks off.
pub async fn run(call: &Call) -> Result<Outcome> {
    if let Some(why) = lacks().await {
        return Ok(Outcome { skipped: Some(why), ..call.row.outcome() });
    }
    let folder = tempfile::Builder::new().prefix("uketsuke-house-").tempdir()?;
    let (json, log) = (folder.path().join("score.json"), folder.path().join("log"));
    let mut command = Command::new("unshare");
    command.args(NAMESPACES).arg(our_binary("uketsuke-loadtest")?);
    command.args(["fault", call.row.id(), "--housed", "--repeat", &call.repeat.to_string()]);
    command.args(["--seed", &call.seed.to_string(), "--json"]).arg(&json).args(call.is_quick.then_some("--quick"));
    let output = std::fs::File::create(&log)?;
    // It ends when its standard input does, so also when this program is killed. What it leaves in files goes with ours.
    let mut child = command
        .env("TMPDIR", folder.path())
        .stdin(Stdio::piped())
        .stdout(output.try_clone()?)
        .stderr(output)
        .kill_on_drop(true)
        .spawn()
        .context("cannot start unshare")?;
    let _left_when_dropped = child.stdin.take();
    timeout(ROW_MAX, child.wait()).await.with_context(|| format!("not done within {ROW_MAX:?}"))??;
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    let score = std::fs::read_to_string(&json).with_context(|| format!("nothing came of it: {said}"))?;
    let score: Score = serde_json::from_str(&score)?;
    score.rows.into_iter().next().with_context(|| format!("it ran no row: {said}"))
}

/// Namespaces of its own: the root of it is who started it.
const NAMESPACES: [&str; 8] =
    ["--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];

/// Ends when whoever started this program in a house is gone.
///
/// # Errors
/// When standard input is no pipe.
pub async fn until_left() -> Result<()> {
    let stdin = rustix::io::dup(std::io::stdin())?;
    let mut parent = pipe::Receiver::from_owned_fd(stdin).context("standard input is no pipe")?;
    // Nothing is ever said.
    while 0 < parent.read(&mut [0; 64]).await? {}
    Ok(())
}

/// Why there can be no house here, if so.
async fn lacks() -> Option<String> {
    if let Some(missing) = PROGRAMS.iter().find(|program| !installed(program)) {
        return Some(format!("{missing} is not installed (packages_test in ops/packages)"));
    }
    let trial = process::run("unshare", &[&NAMESPACES[..], &["nft", "list", "ruleset"]].concat()).await;
    trial.err().map(|error| format!("no namespaces of our own here: {error:#}"))
}

impl House {
    /// Makes the namespace of the relays and the cable.
    ///
    /// # Errors
    /// When this program is not in namespaces of its own.
    pub async fn build(folder: &Path) -> Result<Self> {
        let mut command = Command::new("unshare");
        command.args(["--net", "sleep", "infinity"]);
        let own = Self { keeper: Process::start("house", command, folder)? };
        own.until_apart().await?;
        let id = own.keeper.id().to_string();
        process::run("ip", &["link", "set", "lo", "up"]).await?;
        // The kernel takes its time to clear away a house that is gone.
        if process::run("ip", &["link", "show", "tools"]).await.is_ok() {
            drop(process::run("ip", &["link", "delete", "tools"]).await);
        }
        let cable = ["link", "add", "tools", "type", "veth", "peer", "name", "relays", "netns", &id];
        process::run("ip", &cable).await?;
        process::run("ip", &["address", "add", &format!("{TOOLS}/24"), "dev", "tools"]).await?;
        process::run("ip", &["link", "set", "tools", "up"]).await?;
        own.ip(&["link", "set", "lo", "up"]).await?;
        for relays in RELAYS {
            own.ip(&["address", "add", &format!("{relays}/24"), "dev", "relays"]).await?;
        }
        own.ip(&["link", "set", "relays", "up"]).await?;
        Ok(own)
    }

    /// Waits until the keeper has left our network.
    async fn until_apart(&self) -> Result<()> {
        let network = |id: &str| std::fs::read_link(format!("/proc/{id}/ns/net"));
        let (own, id) = (network("self")?, self.keeper.id().to_string());
        let apart = async {
            while network(&id).is_ok_and(|its| its == own) {
                pause(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, apart).await.context("unshare makes no network namespace")?;
        network(&id).context("unshare has ended").map(drop)
    }

    /// Runs a program where the relays are.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.keeper.id())).arg("--").arg(program);
        command
    }

    async fn ip(&self, args: &[&str]) -> Result<()> {
        let output = self.command("ip").args(args).output().await?;
        ensure!(output.status.success(), "ip {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Puts weather on the cable, for each port of a relay: that of the customers, that of the operators. Everything that
    /// was there before is gone.
    ///
    /// Packets are dropped where they arrive: a system that drops its own knows that they did not leave.
    ///
    /// # Errors
    /// When it is more than loss and holes.
    pub async fn set(&self, relays: impl Iterator<Item = (u16, &[Climate; 2])>) -> Result<()> {
        let (mut there, mut back) = (String::new(), String::new());
        for (port, climates) in relays {
            for (address, climate) in RELAYS.iter().zip(climates) {
                if let Some(drops) = drops(climate.there)? {
                    writeln!(there, "ip daddr {address} meta l4proto {{ tcp, udp }} th dport {port} {drops}")?;
                }
                if let Some(drops) = drops(climate.back)? {
                    writeln!(back, "ip saddr {address} meta l4proto {{ tcp, udp }} th sport {port} {drops}")?;
                }
            }
        }
        nft(self.command("nft"), &there).await?;
        nft(Command::new("nft"), &back).await
    }

    /// Makes the cable slow in both directions, `rate` bits a second altogether; what does not fit waits for up to
    /// [`QUEUE_MAX`].
    ///
    /// # Errors
    /// When the kernel does not do it.
    pub async fn slow_down(&self, rate: u64) -> Result<()> {
        let (rate, queue) = (format!("{rate}bit"), format!("{}ms", QUEUE_MAX.as_millis()));
        for (mut command, end) in [(self.command("tc"), "relays"), (Command::new("tc"), "tools")] {
            command.args(["qdisc", "replace", "dev", end, "root", "tbf", "rate", &rate, "burst", "16kb"]);
            let output = command.args(["latency", &queue]).output().await?;
            ensure!(output.status.success(), "tc: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// Makes the cable as fast as it can be.
    ///
    /// # Errors
    /// When it was not slow.
    pub async fn speed_up(&self) -> Result<()> {
        for (mut command, end) in [(self.command("tc"), "relays"), (Command::new("tc"), "tools")] {
            let output = command.args(["qdisc", "delete", "dev", end, "root"]).output().await?;
            ensure!(output.status.success(), "tc: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// Waits until every connection that was given up is gone at its other end, too: the word of its end may have met a
    /// hole, and is said again ever more seldom. Until then a relay takes a tool that has left for one that is there.
    ///
    /// # Errors
    /// When connections cannot be listed, or are there still after `patience`.
    pub async fn clear(&self, patience: Duration) -> Result<()> {
        let is_clear = async {
            loop {
                let mut left = 0;
                for mut command in [self.command("ss"), Command::new("ss")] {
                    let output = command.args(["-H", "-t", "-n"]).args(ENDING).output().await?;
                    ensure!(output.status.success(), "ss: {}", String::from_utf8_lossy(&output.stderr));
                    left += String::from_utf8_lossy(&output.stdout).lines().count();
                }
                if left == 0 {
                    return Ok(());
                }
                pause(LOOK).await;
            }
        };
        timeout(patience, is_clear).await.context("connections that were given up do not end")?
    }

    /// Packets that were dropped since the weather was last set.
    ///
    /// # Errors
    /// When the filters cannot be read.
    pub async fn dropped(&self) -> Result<u64> {
        let after = |line: &str| line.split_once("counter packets ")?.1.split(' ').next()?.parse::<u64>().ok();
        let mut dropped = 0;
        for mut command in [self.command("nft"), Command::new("nft")] {
            let output = command.args(["list", "ruleset"]).output().await?;
            ensure!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr));
            dropped += String::from_utf8_lossy(&output.stdout).lines().filter_map(after).sum::<u64>();
        }
        Ok(dropped)
    }
}

/// States of connections whose end the other side has not acknowledged.
const ENDING: [&str; 6] = ["state", "fin-wait-1", "state", "closing", "state", "last-ack"];

/// What a filter does to the packets of a direction; `None` when it lets all pass.
fn drops(weather: Weather) -> Result<Option<String>> {
    let Weather { hole, loss, .. } = weather;
    ensure!(weather == Weather { hole, loss, ..Weather::GOOD }, "packet filters make loss and holes only: {weather:?}");
    if hole {
        return Ok(Some("counter drop".to_owned()));
    }
    Ok((0.0 < loss).then(|| format!("numgen random mod {OF:.0} < {:.0} counter drop", loss * OF)))
}

/// Replaces the filters of what arrives in a namespace, in one transaction: no packet meets half of them.
async fn nft(mut command: Command, filters: &str) -> Result<()> {
    let rules = format!(
        "table inet fault {{}}\ndelete table inet fault\ntable inet fault {{\nchain arriving {{\ntype filter hook input \
         priority 0;\n{filters}}}\n}}\n"
    );
    let mut child = command
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start nft")?;
    let mut input = child.stdin.take().context("no standard input")?;
    input.write_all(rules.as_bytes()).await?;
    drop(input);
    let output = timeout(PATIENCE, child.wait_with_output()).await.context("nft does not end")??;
    if !output.status.success() {
        bail!("nft: {}\n{rules}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_drop_all_or_a_share_and_do_nothing_else() {
        assert_eq!(drops(Weather::GOOD).unwrap(), None);
        assert_eq!(drops(Weather { hole: true, ..Weather::GOOD }).unwrap().unwrap(), "counter drop");
        let some = drops(Weather { loss: 0.05, ..Weather::GOOD }).unwrap().unwrap();
        assert_eq!(some, "numgen random mod 1000 < 50 counter drop");
        assert!(drops(Weather { delay: Duration::from_millis(1), ..Weather::GOOD }).is_err());
    }
}
