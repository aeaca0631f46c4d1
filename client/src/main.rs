//! `uketsuke-client`: the window, or `headless`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use client::{
    config::{self, ManagerFlags},
    desktop::Desktop,
    headless::{self, HeadlessFlags},
    ui,
};
use desk::{lang::Lang, logs};
use link::{api::ManagerApi, race::Dialer, transport::Choice};
use proto::number::{NumberError, ReceptionNumber};

/// Exit code of a wrong flag or file.
const USAGE: u8 = 64;

/// Remote support: the customer's side
#[derive(Debug, Parser)]
#[command(name = "uketsuke-client", version, about)]
struct Flags {
    #[command(flatten)]
    manager: ManagerFlags,
    /// Language of the window: ja or en; the system's when absent
    #[arg(long, value_name = "LANG", global = true)]
    lang: Option<Lang>,
    /// What carries the session: auto (what works, QUIC first), quic or tcp
    #[arg(long, value_name = "TRANSPORT", global = true, default_value_t)]
    transport: Choice,
    /// Number that is in the field when the window opens, as a device management gives it; it is not entered by itself
    #[arg(long, value_name = "NUMBER", value_parser = number)]
    number: Option<String>,
    #[command(subcommand)]
    mode: Option<Mode>,
}

#[derive(Debug, Subcommand)]
enum Mode {
    /// Without a window: JSON lines on standard input and output
    Headless(HeadlessFlags),
}

fn main() -> ExitCode {
    let flags = match Flags::try_parse() {
        Ok(flags) => flags,
        Err(error) => {
            if error.use_stderr() {
                return fail(&one_line(&error), USAGE);
            }
            // Help or version; a terminal that is gone has no use for it.
            drop(error.print());
            return ExitCode::SUCCESS;
        }
    };
    logs::start("warn,client=info");
    link::tls::install_provider();
    let lang = flags.lang.unwrap_or_else(Lang::system);
    let api = match config::manager(&flags.manager, config::program_folder().as_deref()) {
        Ok(api) => api,
        Err(error) => return fail(&error, USAGE),
    };
    let dialer = Dialer::new(flags.transport).through(api.proxies().clone());
    let done = match flags.mode {
        Some(Mode::Headless(flags)) => run_headless(api, flags, lang, dialer),
        None => ui::run(api, Desktop::X11(None), lang, dialer, flags.number.as_deref()).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| fail(&error, 1))
}

/// Ten digits in any usual form.
fn number(text: &str) -> Result<String, NumberError> {
    ReceptionNumber::parse(text).map(|number| number.reveal())
}

fn run_headless(api: ManagerApi, flags: HeadlessFlags, lang: Lang, dialer: Dialer) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let code = runtime.block_on(headless::run(api, flags, lang.as_str(), dialer))?;
    runtime.shutdown_background();
    Ok(code)
}

/// What is wrong, without the usage below it.
fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let what = text.split("\n\n").next().unwrap_or_default();
    what.trim_start_matches("error: ").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[expect(clippy::print_stderr, reason = "the one line that says why the program does not run")]
fn fail(error: &impl std::fmt::Display, code: u8) -> ExitCode {
    eprintln!("uketsuke-client: {error}");
    ExitCode::from(code)
}
