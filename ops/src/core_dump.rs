//! No core dumps: what is in a server's memory is written to no disk, however the server ends.
//!
//! The units in `ops/systemd` forbid them too; a server that is started in another way does not depend on that.

use std::io;

/// Forbids core dumps of this process for the rest of its life, and lets only root read its memory. Called before any
/// key is read.
///
/// # Errors
/// The system refuses, which a server must not accept. Elsewhere than on Linux nothing is done.
#[cfg(target_os = "linux")]
pub fn forbid() -> io::Result<()> {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    // A core that is piped into a program knows no limit; a process that cannot be dumped has none at all.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// See above.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn forbid() -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, dumpable_behavior, getrlimit, setrlimit};

    use super::*;

    #[test]
    fn a_process_that_forbids_cores_has_none_and_cannot_have_them_again() {
        let most = getrlimit(Resource::Core).maximum;
        setrlimit(Resource::Core, Rlimit { current: most, maximum: most }).unwrap();

        forbid().unwrap();

        assert_eq!(getrlimit(Resource::Core), Rlimit { current: Some(0), maximum: Some(0) });
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
