//! `uketsuke-relay`: everything is in the library, see `cli.rs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    relay::cli::main()
}
