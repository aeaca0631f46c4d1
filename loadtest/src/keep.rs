//! `ops/demo --keep`: leaves the servers running for a person, and ends them later.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::{desktop::pause, process, world::World};

/// `keep.json`: where everything is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kept {
    /// The manager's address.
    pub manager: String,
    /// The authority's certificate, to be trusted by tools and browsers.
    pub ca: PathBuf,
    /// Addresses of the relays.
    pub relays: Vec<String>,
    /// The download server's address; empty when there is none.
    pub download: String,
    /// Company code.
    pub company: String,
    /// Operator's id.
    pub user: String,
    /// Id of the company's administrator, for the management site at the manager's address.
    #[serde(default)]
    pub administrator: String,
    /// File with the password of both.
    pub password_file: PathBuf,
    /// The manager's configuration file, for its command line.
    pub manager_config: PathBuf,
    /// Data folder; removed by `--stop`.
    pub folder: PathBuf,
    /// Process ids.
    pub pids: Vec<u32>,
}

/// Leaves `world` running and writes `keep.json` into `evidence`.
///
/// # Errors
/// When the file cannot be written.
pub fn keep(world: World, evidence: &Path) -> Result<Kept> {
    std::fs::create_dir_all(evidence)?;
    let kept = world.leave_running();
    std::fs::write(evidence.join(FILE), serde_json::to_string_pretty(&kept)?)?;
    Ok(kept)
}

/// Ends what [`keep`] left running; says whether there was anything.
///
/// # Errors
/// When `keep.json` cannot be read or removed.
pub async fn stop(evidence: &Path) -> Result<bool> {
    let file = evidence.join(FILE);
    if !file.is_file() {
        return Ok(false);
    }
    let kept: Kept = serde_json::from_str(&std::fs::read_to_string(&file)?)
        .with_context(|| format!("{} is not a list of what was kept", file.display()))?;
    let ours = |pid: &u32| is_ours(*pid);
    for pid in kept.pids.iter().copied().filter(ours) {
        process::signal_pid(pid, Signal::TERM);
    }
    for _ in 0..50 {
        if !kept.pids.iter().any(ours) {
            break;
        }
        pause(Duration::from_millis(100)).await;
    }
    for pid in kept.pids.iter().copied().filter(ours) {
        process::signal_pid(pid, Signal::KILL);
    }
    if kept.folder.is_dir() {
        std::fs::remove_dir_all(&kept.folder)?;
    }
    std::fs::remove_file(&file)?;
    Ok(true)
}

/// Whether a process id still belongs to one of our programs: ids are used again by the system.
fn is_ours(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("uketsuke-"))
}

const FILE: &str = "keep.json";
