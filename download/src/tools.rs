//! The list of tools, made once at start: what is served, how long it is, and its SHA-256.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;

use crate::config::ToolFile;

macro_rules! names {
    ($(#[doc = $doc:literal] $name:ident { $(#[doc = $variant_doc:literal] $variant:ident = $text:literal)* })*) => {$(
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {$(
            #[doc = $variant_doc]
            #[serde(rename = $text)]
            $variant,
        )*}

        impl $name {
            /// The name in configuration, metrics and file names.
            pub const fn as_str(self) -> &'static str {
                match self {$(Self::$variant => $text,)*}
            }
        }
    )*};
}

names! {
    /// Who uses a tool.
    Role {
        /// The customer's tool.
        Client = "client"
        /// The operator's tool.
        Operator = "operator"
    }
    /// System that a tool runs on.
    Os {
        /// Microsoft Windows.
        Windows = "windows"
        /// Apple macOS.
        Macos = "macos"
        /// Linux with a desktop.
        Linux = "linux"
    }
    /// Processor that a tool runs on.
    Arch {
        /// 64-bit Intel and AMD.
        X86_64 = "x86_64"
        /// 64-bit ARM.
        Aarch64 = "aarch64"
    }
}

/// One tool, as it was at start.
#[derive(Debug, Clone)]
pub(crate) struct Tool {
    /// Name for the visitor's disk.
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) os: Os,
    pub(crate) arch: Arch,
    /// SHA-256, 64 hexadecimal digits.
    pub(crate) sha256: String,
    pub(crate) size_bytes: u64,
    pub(crate) modified: SystemTime,
    pub(crate) path: PathBuf,
}

/// Every tool by its name. The keys are all that a visitor's path is ever compared with.
#[derive(Debug, Clone)]
pub(crate) struct Tools(Arc<BTreeMap<String, Tool>>);

/// A listed file that cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {cause}")]
pub struct ToolError {
    file: String,
    cause: std::io::Error,
}

/// Reads every listed file once.
///
/// # Errors
/// A file cannot be read, or changed while it was read.
pub(crate) async fn list(files: &[ToolFile]) -> Result<Tools, ToolError> {
    let mut tools = BTreeMap::new();
    for file in files {
        let tool = read(file).await.map_err(|cause| ToolError { file: file.path.display().to_string(), cause })?;
        tools.insert(tool.name.clone(), tool);
    }
    Ok(Tools(Arc::new(tools)))
}

impl Tools {
    pub(crate) fn by_name(&self, name: &str) -> Option<&Tool> {
        self.0.get(name)
    }

    /// The tools of one role, in the order of their systems.
    pub(crate) fn of(&self, role: Role) -> Vec<&Tool> {
        let mut tools: Vec<_> = self.0.values().filter(|tool| tool.role == role).collect();
        tools.sort_by_key(|tool| (tool.os, tool.arch));
        tools
    }
}

impl Tool {
    /// Whether the file on the disk is still the one that was read at start.
    pub(crate) async fn is_unchanged(&self) -> bool {
        tokio::fs::metadata(&self.path)
            .await
            .is_ok_and(|found| found.len() == self.size_bytes && found.modified().is_ok_and(|at| at == self.modified))
    }

    /// Where the very bytes of this tool are, for ever.
    pub(crate) fn href(&self) -> String {
        format!("/files/{}/{}", self.sha256, self.name)
    }

    /// Size in units of 1,000,000 bytes, as browsers show it.
    pub(crate) fn megabytes(&self) -> String {
        let tenths = self.size_bytes.div_ceil(100_000);
        format!("{}.{}", tenths / 10, tenths % 10)
    }
}

async fn read(file: &ToolFile) -> std::io::Result<Tool> {
    let (sha256, size_bytes) = digest(&file.path).await?;
    let found = tokio::fs::metadata(&file.path).await?;
    if found.len() != size_bytes {
        return Err(std::io::Error::other("changed while it was read"));
    }
    Ok(Tool {
        name: file.name(),
        role: file.role,
        os: file.os,
        arch: file.arch,
        sha256,
        size_bytes,
        modified: found.modified()?,
        path: file.path.clone(),
    })
}

async fn digest(path: &Path) -> std::io::Result<(String, u64)> {
    let mut file = tokio::fs::File::open(path).await?;
    let mut sha256 = Sha256::new();
    let mut size_bytes = 0u64;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let len = file.read(&mut buffer).await?;
        let Some(piece) = buffer.get(..len).filter(|piece| !piece.is_empty()) else { break };
        sha256.update(piece);
        size_bytes = size_bytes.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
    }
    Ok((hex::encode(sha256.finalize()), size_bytes))
}
