//! How a program ends: its exit codes, and its one line on standard error.

use std::{fmt::Display, process::ExitCode};

use clap::{Parser, error::ErrorKind};

/// The program was started in a wrong way: a flag or a key of the configuration.
pub const USAGE: u8 = 64;
/// The program failed while it ran.
pub const FAILURE: u8 = 1;
/// What the program works on does not suit it, and starting it again does not help: somebody must act. Source:
/// `EX_DATAERR` of sysexits.
pub const DATA: u8 = 65;
/// What the program works on is in use: starting it again later may help. Source: `EX_TEMPFAIL` of sysexits.
pub const IN_USE: u8 = 75;

/// Says on one line that the program was started in a wrong way.
pub fn usage(program: &str, mistake: &impl Display) -> ExitCode {
    say(program, mistake);
    ExitCode::from(USAGE)
}

/// Says on one line why the program failed while it ran.
pub fn failure(program: &str, cause: &impl Display) -> ExitCode {
    ended(program, FAILURE, cause)
}

/// Says on one line why the program ends with this code.
pub fn ended(program: &str, code: u8, cause: &impl Display) -> ExitCode {
    say(program, cause);
    ExitCode::from(code)
}

/// Reads the flags of this process. A mistake is one line and exit code 64; `--help` and `--version` end with 0.
///
/// # Errors
/// The exit code to end with, after everything was said.
#[expect(clippy::print_stdout, reason = "help and version are answers, not logs")]
pub fn flags<T: Parser>() -> Result<T, ExitCode> {
    T::try_parse().map_err(|error| {
        let asked = matches!(
            error.kind(),
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        );
        if asked && error.exit_code() == 0 {
            print!("{}", error.render());
            return ExitCode::SUCCESS;
        }
        if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            return usage(T::command().get_name(), &"a command is missing, see --help");
        }
        usage(T::command().get_name(), &one_line(&error.render().to_string()))
    })
}

/// The mistake in clap's message: everything before the tips and the usage, on one line.
fn one_line(message: &str) -> String {
    let mistake: Vec<&str> =
        message.trim_start_matches("error: ").lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    format!("{}, see --help", mistake.join(" "))
}

#[expect(clippy::print_stderr, reason = "the last words of a program whose logs may not have begun")]
fn say(program: &str, words: &impl Display) {
    let line = words.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    eprintln!("{program}: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Parser, Debug)]
    struct Flags {
        #[arg(long)]
        config: std::path::PathBuf,
        #[arg(long)]
        listen: std::net::SocketAddr,
    }

    #[test]
    fn a_wrong_flag_is_one_line_that_names_it() {
        let error = Flags::try_parse_from(["x", "--conifg", "a"]).unwrap_err();

        let line = one_line(&error.render().to_string());

        assert!(!line.contains('\n'));
        assert!(line.starts_with("unexpected argument '--conifg' found"), "{line}");
    }

    #[test]
    fn every_missing_flag_is_named_on_the_line() {
        let error = Flags::try_parse_from(["x"]).unwrap_err();

        let line = one_line(&error.render().to_string());

        assert!(line.contains("--config") && line.contains("--listen"), "{line}");
    }
}
