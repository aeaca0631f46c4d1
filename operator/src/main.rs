//! The operator's tool: a window, or `headless`.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context as _;
use clap::{Parser as _, error::ErrorKind};
use desk::{
    bookmark::Shelf,
    clock,
    lang::Lang,
    lines::{self, Events},
    logs,
    signals::Signals,
};
use link::{api::ManagerApi, race::Dialer, tls};
use operator::{
    engine::Engine,
    headless::{self, Outcome},
    options::{HeadlessOptions, ManagerPlace, Mode, Options},
    text, window,
};
use proto::api::login::LoginRequest;
use serde_json::json;

/// A mistake in flags or files.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return if error.print().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        Err(error) => return complain(&first_paragraph(&error.to_string()), USAGE),
    };
    logs::start("warn");
    tls::install_provider();
    let folder = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned));
    let place = match options.manager.place(folder.as_deref()) {
        Ok(place) => place,
        Err(error) => return complain(&error.to_string(), USAGE),
    };
    let ManagerPlace { url, ca_pem } = place;
    let api = match ManagerApi::through(&url, ca_pem.as_deref(), options.manager.proxy.clone().unwrap_or_default()) {
        Ok(api) => api,
        Err(error) => return complain(&format!("--manager {url}: {error}"), USAGE),
    };
    let dialer = Dialer::new(options.transport).through(api.proxies().clone());
    match &options.mode {
        Some(Mode::Headless(who)) => headless(api, who, dialer),
        None => window(api, options.lang.unwrap_or_else(Lang::system), dialer),
    }
}

fn window(api: ManagerApi, lang: Lang, dialer: Dialer) -> ExitCode {
    let opened = text::catalogue(lang)
        .context("the sentences cannot be read")
        .and_then(|text| window::run(window::Opening { api, text, folder: config_folder(), dialer }));
    match opened {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&format!("the window cannot be opened: {error:#}"), 1),
    }
}

fn headless(api: ManagerApi, who: &HeadlessOptions, dialer: Dialer) -> ExitCode {
    let request = match who.login() {
        Ok(request) => request,
        Err(error) => return complain(&error.to_string(), USAGE),
    };
    let events = Events::stdout();
    let engine = Engine::new(api, Arc::new(|| {}), dialer).with_shelf(Shelf::of_user(), clock::now_ms());
    match run_headless(engine, request, events.clone()) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::NotLoggedIn) => ExitCode::FAILURE,
        Err(error) => {
            let told = json!({"event": "error", "code": "failed", "message": format!("{error:#}")});
            // Standard output may be what failed; the exit code says it, too.
            drop(events.write(&told));
            ExitCode::FAILURE
        }
    }
}

/// Logs in, or resumes when there is no login.
fn run_headless(engine: Engine, request: Option<LoginRequest>, events: Events) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let lines = lines::stdin().context("standard input cannot be read")?;
    let outcome = runtime.block_on(async {
        let signals = Signals::listen().context("the system's signals cannot be heard")?;
        anyhow::Ok(match request {
            Some(request) => headless::run(engine, request, lines, events, signals).await,
            None => headless::resume(engine, lines, events, signals).await,
        })
    })?;
    runtime.shutdown_background();
    Ok(outcome)
}

/// The person's own folder for settings: where the system says.
fn config_folder() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = if cfg!(windows) {
        variable("APPDATA")
    } else if cfg!(target_os = "macos") {
        variable("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config")))
    };
    base.map(|base| base.join("uketsuke"))
}

fn complain(sentence: &str, code: u8) -> ExitCode {
    // Nothing can be said when standard error is closed; the exit code says it.
    drop(writeln!(io::stderr(), "uketsuke-operator: {sentence}"));
    ExitCode::from(code)
}

/// The mistake in one line, without the usage that follows it.
fn first_paragraph(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    lines.join(" ").trim_start_matches("error: ").to_owned()
}
