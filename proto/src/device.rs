//! Facts about the customer's device, shown to the customer before they are sent.

use serde::{Deserialize, Serialize};

use crate::limits;

/// One fact, for example `os_name` = `Debian GNU/Linux 12`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeviceFact {
    /// What it is.
    pub kind: DeviceFactKind,
    /// Its value as text, at most [`limits::DEVICE_FACT_LEN_MAX`] bytes.
    pub value: String,
}

impl DeviceFact {
    /// Whether the value is within its limit and a single line.
    pub fn is_valid(&self) -> bool {
        self.value.len() <= limits::DEVICE_FACT_LEN_MAX && !self.value.chars().any(char::is_control)
    }
}

/// What can be said about a device. Each has a caption in both languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceFactKind {
    /// Name of the machine.
    HostName,
    /// Name and version of the operating system.
    OsName,
    /// Version of the kernel.
    KernelVersion,
    /// Model of the processor.
    Cpu,
    /// Number of processor threads.
    CpuThreads,
    /// Memory in MiB.
    MemoryMib,
    /// Free space of the system disk in MiB.
    DiskFreeMib,
    /// Monitors, `1920x1080+0+0` each.
    Monitors,
    /// Language of the user.
    Language,
}

impl DeviceFactKind {
    /// Its name on the wire, which is also the key of its caption.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HostName => "host_name",
            Self::OsName => "os_name",
            Self::KernelVersion => "kernel_version",
            Self::Cpu => "cpu",
            Self::CpuThreads => "cpu_threads",
            Self::MemoryMib => "memory_mib",
            Self::DiskFreeMib => "disk_free_mib",
            Self::Monitors => "monitors",
            Self::Language => "language",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_is_one_line_within_its_limit() {
        let fact = |value: &str| DeviceFact { kind: DeviceFactKind::OsName, value: value.to_owned() };
        assert!(fact("Debian GNU/Linux 12").is_valid());
        assert!(fact(&"x".repeat(limits::DEVICE_FACT_LEN_MAX)).is_valid());
        assert!(!fact(&"x".repeat(limits::DEVICE_FACT_LEN_MAX + 1)).is_valid());
        assert!(!fact("two\nlines").is_valid());
    }

    #[test]
    fn a_fact_is_read_from_json_as_documented() {
        let fact = DeviceFact { kind: DeviceFactKind::MemoryMib, value: "16384".to_owned() };
        let json = r#"{"kind":"memory_mib","value":"16384"}"#;
        assert_eq!(serde_json::to_string(&fact).unwrap(), json);
        assert_eq!(serde_json::from_str::<DeviceFact>(json).unwrap(), fact);
    }
}
