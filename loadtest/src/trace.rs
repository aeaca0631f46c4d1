//! What a program asked the kernel for, as `strace -f -y` wrote it down, and whether a relay may ask for that.
//!
//! The judge holds each call against two laws: the one that a relay leaves nothing behind (no file is opened for writing,
//! made, renamed, linked, resized, removed or written to; no other program is started), and the filters of the systemd
//! unit, which a relay must be able to live under.

use std::{collections::BTreeSet, path::Path, process::Command};

use anyhow::{Context as _, Result, bail, ensure};

/// One call of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call<'a> {
    /// Its name, such as `openat`.
    pub name: &'a str,
    /// Its arguments, and its result where it was written on the same line.
    pub rest: &'a str,
}

/// What a service may ask for, from its unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// Names of calls, from `SystemCallFilter=`.
    pub calls: BTreeSet<String>,
    /// Names of address families, from `RestrictAddressFamilies=`.
    pub families: BTreeSet<String>,
}

/// Calls that change what is on a disk or start a program; refused whatever the unit says.
const CHANGING: &[&str] = &[
    "chmod",
    "chown",
    "copy_file_range",
    "creat",
    "execve",
    "execveat",
    "fallocate",
    "fchmod",
    "fchmodat",
    "fchown",
    "fchownat",
    "fork",
    "ftruncate",
    "io_uring_setup",
    "lchown",
    "link",
    "linkat",
    "memfd_create",
    "mkdir",
    "mkdirat",
    "mknod",
    "mknodat",
    "mount",
    "open_by_handle_at",
    "process_vm_writev",
    "ptrace",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "sendfile",
    "setxattr",
    "splice",
    "symlink",
    "symlinkat",
    "truncate",
    "unlink",
    "unlinkat",
    "utimensat",
    "vfork",
    "vmsplice",
];
/// Calls whose first argument is written to.
const WRITING: &[&str] = &["pwrite64", "pwritev", "pwritev2", "write", "writev"];
/// Words among the flags of an open that let a file be written or made.
const OPENED_TO_WRITE: &[&str] = &["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND", "O_TMPFILE"];

impl<'a> Call<'a> {
    /// Reads one line of a trace; `None` for signals, ends, and the second half of a call that was interrupted.
    pub fn parse(line: &'a str) -> Option<Self> {
        let (_, line) = line.split_once(' ')?;
        let (name, rest) = line.trim_start().split_once('(')?;
        let is_name = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        (is_name && !name.is_empty()).then_some(Self { name, rest })
    }

    /// What the first argument, a descriptor, is: `socket:[1]` of `7<socket:[1]>, …`; with the number before it.
    fn descriptor(&self) -> Option<(&'a str, &'a str)> {
        let (number, rest) = self.rest.split_once('<')?;
        let (what, _) = rest.split_once(['>', ','])?;
        Some((number, what))
    }
}

impl Allowed {
    /// Reads a unit, and asks `systemd-analyze` what its groups of calls are.
    ///
    /// # Errors
    /// When the unit cannot be read, has no filters, or a group is not known.
    pub fn of_unit(unit: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(unit).with_context(|| format!("cannot read {}", unit.display()))?;
        let mut calls = BTreeSet::new();
        for word in values(&text, "SystemCallFilter") {
            ensure!(!word.starts_with('~'), "{word}: the relay's filter is a list of what is allowed");
            add_calls(word, &mut calls)?;
        }
        let families: BTreeSet<_> = values(&text, "RestrictAddressFamilies").map(str::to_owned).collect();
        ensure!(!calls.is_empty() && !families.is_empty(), "{} has no filters", unit.display());
        Ok(Self { calls, families })
    }

    /// Why a relay may not do this; `None` when it may.
    pub fn objection(&self, call: &Call<'_>) -> Option<&'static str> {
        let Call { name, rest } = *call;
        if CHANGING.contains(&name) {
            return Some("changes files or starts a program");
        }
        if !self.calls.contains(name) {
            return Some("the unit's SystemCallFilter refuses it");
        }
        if name.starts_with("open") && OPENED_TO_WRITE.iter().any(|flag| rest.contains(flag)) {
            return Some("opens a file for writing");
        }
        if WRITING.contains(&name) && !call.descriptor().is_some_and(|(number, what)| may_be_written(number, what)) {
            return Some("writes to something that is no socket, pipe, event or log");
        }
        if name == "clone" || name == "clone3" {
            return (!rest.contains("CLONE_THREAD")).then_some("starts a process");
        }
        if name == "socket" && !self.families.iter().any(|family| rest.starts_with(family.as_str())) {
            return Some("the unit's RestrictAddressFamilies refuses it");
        }
        let is_mapping = matches!(name, "mmap" | "mprotect" | "pkey_mprotect");
        if is_mapping && rest.contains("PROT_WRITE") && rest.contains("PROT_EXEC") {
            return Some("the unit's MemoryDenyWriteExecute refuses it");
        }
        if name == "mmap" && rest.contains("PROT_WRITE") && rest.contains("MAP_SHARED") && rest.contains('<') {
            return Some("maps a file for writing");
        }
        None
    }
}

/// Standard output and standard error are the log; everything else must not be a file.
fn may_be_written(number: &str, what: &str) -> bool {
    matches!(number, "1" | "2")
        || ["socket:", "pipe:", "TCP:", "TCPv6:", "UDP:", "UDPv6:", "UNIX:"].iter().any(|kind| what.starts_with(kind))
        || what.starts_with("anon_inode:[eventfd")
}

/// Words of every `key=` line of a unit.
fn values<'a>(unit: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    unit.lines().filter_map(move |line| line.strip_prefix(key)?.strip_prefix('=')).flat_map(str::split_whitespace)
}

/// Adds a call, or every call of a group such as `@network-io`, groups within it included.
fn add_calls(word: &str, calls: &mut BTreeSet<String>) -> Result<()> {
    if !word.starts_with('@') {
        calls.insert(word.to_owned());
        return Ok(());
    }
    let output = Command::new("systemd-analyze")
        .args(["--no-pager", "syscall-filter", word])
        .output()
        .context("systemd-analyze is not installed (Debian package systemd)")?;
    if !output.status.success() {
        bail!("systemd-analyze knows no group {word}");
    }
    let text = String::from_utf8(output.stdout)?;
    for member in text.lines().skip(1).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        add_calls(member, calls)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HARMLESS: &[&str] = &[
        r#"17 openat(AT_FDCWD</tmp/w>, "/etc/ssl/ca.pem", O_RDONLY|O_CLOEXEC) = 9</etc/ssl/ca.pem>"#,
        r#"17 write(2</tmp/stage/relay.log>, "{\"level\""..., 200) = 200"#,
        r#"17 write(7<anon_inode:[eventfd]>, "\1\0\0\0\0\0\0\0", 8) = 8"#,
        r"17 writev(11<socket:[4711]>, [{iov_base=..., iov_len=9}], 1 <unfinished ...>",
        r"17 clone3({flags=CLONE_VM|CLONE_THREAD, ...} => {parent_tid=[18]}, 88) = 18",
        r"17 socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_IP) = 12<socket:[4712]>",
        r"17 mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f",
        r"17 mmap(NULL, 4096, PROT_READ|PROT_EXEC, MAP_PRIVATE, 3</usr/lib/libc.so.6>, 0) = 0x7f",
        "17 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1, si_uid=0} ---",
        "17 <... futex resumed>) = 0",
        "17 +++ exited with 0 +++",
    ];
    const HARMFUL: &[&str] = &[
        r#"17 openat(AT_FDCWD</tmp/w>, "/tmp/x", O_WRONLY|O_CREAT|O_TRUNC|O_CLOEXEC, 0666) = -1 EROFS"#,
        r#"17 openat(AT_FDCWD</tmp/w>, "/tmp/x", O_RDWR|O_CLOEXEC <unfinished ...>"#,
        r#"17 write(9</tmp/stage/state>, "x", 1) = 1"#,
        r#"17 pwrite64(9</dev/shm/ring>, "x", 1, 0) = 1"#,
        r#"17 rename("/tmp/a", "/tmp/b") = 0"#,
        r#"17 unlink("/tmp/a") = 0"#,
        r#"17 execve("/bin/sh", ["sh"], 0x7f) = 0"#,
        r"17 clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD) = 19",
        r"17 io_uring_setup(64, {flags=0}) = 9",
        r"17 socket(AF_UNIX, SOCK_STREAM, 0) = 9",
        r"17 bpf(BPF_PROG_LOAD, 0x7f, 144) = 9",
        r"17 mprotect(0x7f, 4096, PROT_READ|PROT_WRITE|PROT_EXEC) = 0",
        r"17 mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, 9</tmp/stage/state>, 0) = 0x7f",
    ];

    #[test]
    fn what_leaves_nothing_is_passed_and_what_leaves_something_is_named() {
        let allowed = Allowed {
            calls: ["openat", "write", "writev", "pwrite64", "clone", "clone3", "socket", "mmap", "mprotect", "rename"]
                .map(str::to_owned)
                .into(),
            families: ["AF_INET".to_owned()].into(),
        };
        let objection = |line| Call::parse(line).and_then(|call| allowed.objection(&call));

        for line in HARMLESS {
            assert_eq!(objection(line), None, "{line}");
        }
        for line in HARMFUL {
            assert!(objection(line).is_some(), "{line}");
        }
    }

    #[test]
    fn the_relays_unit_lets_files_be_read_and_nothing_be_changed() {
        let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops/systemd/uketsuke-relay.service");

        let allowed = Allowed::of_unit(&unit).unwrap();

        assert!(allowed.calls.contains("openat") && allowed.calls.contains("epoll_wait"));
        // The call that starts the relay itself cannot be refused; the unit's NoExecPaths keeps it from others.
        let changing: Vec<_> = CHANGING.iter().filter(|call| allowed.calls.contains(**call)).collect();
        assert_eq!(changing, [&"execve"]);
    }
}
