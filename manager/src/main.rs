//! `uketsuke-manager`: the management server and its command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    manager::cli::main()
}
