//! Facts about the customer's device, shown to the customer before they are sent.

use serde::{Deserialize, Serialize};

/// One fact, for example `os_name` = `Debian GNU/Linux 12`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeviceFact {
    /// What it is.
    pub kind: DeviceFactKind,
    /// Its value as text, at most [`crate::limits::DEVICE_FACT_LEN_MAX`] bytes.
    pub value: String,
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
