//! Facts about this device. They are shown to the customer first and sent only after a yes.
//!
//! Nothing here names a person: no account, no address, no serial number.

use std::{fs, path::Path};

use proto::{
    device::{DeviceFact, DeviceFactKind},
    limits,
    message::Monitor,
};

/// Reads the facts. Whatever the system does not tell is left out.
pub fn facts(monitors: &[Monitor], language: &str) -> Vec<DeviceFact> {
    let system = rustix::system::uname();
    let info = rustix::system::sysinfo();
    let memory_mib = info.totalram.saturating_mul(info.mem_unit.into()) >> 20;
    let threads = std::thread::available_parallelism().ok().map(|threads| threads.to_string());
    let facts = [
        (DeviceFactKind::HostName, Some(system.nodename().to_string_lossy().into_owned())),
        (DeviceFactKind::OsName, os_name(&read("/etc/os-release"))),
        (DeviceFactKind::KernelVersion, Some(system.release().to_string_lossy().into_owned())),
        (DeviceFactKind::Cpu, cpu_model(&read("/proc/cpuinfo"))),
        (DeviceFactKind::CpuThreads, threads),
        (DeviceFactKind::MemoryMib, Some(memory_mib.to_string())),
        (DeviceFactKind::DiskFreeMib, disk_free_mib(Path::new("/"))),
        (DeviceFactKind::Monitors, Some(monitor_list(monitors))),
        (DeviceFactKind::Language, Some(language.to_owned())),
    ];
    facts
        .into_iter()
        .filter_map(|(kind, value)| value.filter(|value| !value.is_empty()).map(|value| (kind, value)))
        .map(|(kind, value)| DeviceFact { kind, value: shortened(value) })
        .collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// `PRETTY_NAME` of an os-release file.
fn os_name(os_release: &str) -> Option<String> {
    let value = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(value.trim_matches('"').to_owned())
}

/// The first model name of a cpuinfo file.
fn cpu_model(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, model)| model.trim().to_owned())
}

fn disk_free_mib(path: &Path) -> Option<String> {
    let disk = rustix::fs::statvfs(path).ok()?;
    Some((disk.f_bavail.saturating_mul(disk.f_frsize) >> 20).to_string())
}

fn monitor_list(monitors: &[Monitor]) -> String {
    let each = monitors.iter().map(|m| format!("{}x{}+{}+{}", m.width, m.height, m.x, m.y));
    each.collect::<Vec<_>>().join(" ")
}

/// At most as long as a fact may be, cut between characters.
fn shortened(mut value: String) -> String {
    while limits::DEVICE_FACT_LEN_MAX < value.len() {
        value.pop();
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_and_the_processor_are_named_by_their_own_files() {
        assert_eq!(os_name("NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n").as_deref(), Some("Debian GNU/Linux 12"));
        assert_eq!(cpu_model("processor: 0\nmodel name\t: A CPU @ 2 GHz\n").as_deref(), Some("A CPU @ 2 GHz"));
        assert_eq!(os_name(""), None);
    }

    #[test]
    fn every_fact_fits_its_limit_and_monitors_are_listed() {
        let monitors: Vec<_> = (0..60)
            .map(|id| Monitor { id, x: 10, y: 20, width: 800, height: 600, name: String::new(), primary: false })
            .collect();
        let facts = facts(&monitors, "ja");
        assert!(facts.len() <= limits::DEVICE_FACTS_MAX);
        assert!(facts.iter().all(|fact| fact.value.len() <= limits::DEVICE_FACT_LEN_MAX && !fact.value.is_empty()));
        let monitors = facts.iter().find(|fact| fact.kind == DeviceFactKind::Monitors).unwrap();
        assert!(monitors.value.starts_with("800x600+10+20 "));
    }

    #[test]
    fn a_long_value_is_cut_between_characters() {
        assert_eq!(shortened("あ".repeat(200)), "あ".repeat(85));
    }
}
