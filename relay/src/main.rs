//! `uketsuke-relay`: everything is in the library, see `cli.rs`.

use std::process::ExitCode;

/// Gives back to the system what queues no longer need.
#[cfg(target_os = "linux")]
#[global_allocator]
static MEMORY: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    relay::cli::main()
}
