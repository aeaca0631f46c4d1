//! The load tester's command line.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use loadtest::{bench, copy, demo, fault, keep, run, world::World};
use tokio::signal::unix::{SignalKind, signal};

/// Runs whole support sessions and takes readings, on this machine only.
#[derive(Debug, Parser)]
#[command(name = "uketsuke-loadtest", version)]
struct Flags {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs one support session with real servers, tools and programs, and leaves evidence.
    Demo {
        /// Folder for pictures, events and figures.
        #[arg(long, value_name = "DIR")]
        evidence: PathBuf,
        /// Size of the customer's desktop.
        #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1920x1080", value_parser = size)]
        size: (u16, u16),
        /// Keys typed for the latency figure.
        #[arg(long, default_value_t = 100)]
        keys: u32,
        /// Seconds the screen is left alone for the stillness figure.
        #[arg(long, default_value_t = 60)]
        still_secs: u64,
        /// Only starts the servers, leaves them running and writes `keep.json`.
        #[arg(long)]
        keep: bool,
        /// Gives the company people and a past of three months, so that the management site has something to show.
        #[arg(long, requires = "keep")]
        example: bool,
        /// Opens the windows of both tools on the present display instead of the headless session.
        #[arg(long, conflicts_with = "keep")]
        windows: bool,
    },
    /// Ends what `demo --keep` left running.
    Stop {
        /// The evidence folder of that run.
        #[arg(long, value_name = "DIR")]
        evidence: PathBuf,
    },
    /// Measures what the relay costs, against others, on this machine.
    #[command(subcommand)]
    Bench(bench::Verb),
    /// Plays a scenario: many sessions over a relay, their latency, what was lost, what each server used.
    Run(Box<run::Flags>),
    /// Copies bytes between two sockets: the floor that `bench relay` compares with.
    #[command(hide = true)]
    Copy(copy::Flags),
    /// Lets relays die, fall silent and leave under load, and prints what users notice.
    Fault(fault::Flags),
}

fn main() -> ExitCode {
    link::tls::install_provider();
    let result = match Flags::parse().verb {
        // It is measured, so it has the smallest runtime of its own.
        Verb::Copy(flags) => copy::run(&flags),
        verb @ (Verb::Demo { .. } | Verb::Stop { .. } | Verb::Bench(_) | Verb::Run(_) | Verb::Fault(_)) => {
            on_all_cores(verb)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            say(&format!("failed: {cause:#}"));
            ExitCode::FAILURE
        }
    }
}

fn on_all_cores(verb: Verb) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        // What was started ends with the value that holds it, so a run that is given up leaves nothing behind.
        tokio::select! {
            result = carry_out(verb) => result,
            _ = terminate.recv() => bail!("given up: SIGTERM"),
            _ = interrupt.recv() => bail!("given up: SIGINT"),
        }
    })
}

async fn carry_out(verb: Verb) -> Result<()> {
    match verb {
        Verb::Demo { evidence, keep: true, example, .. } => {
            let world = World::start().await?;
            if example {
                say(world.fill_company().await?.trim());
            }
            let kept = keep::keep(world, &evidence)?;
            say(&serde_json::to_string_pretty(&kept)?);
            say(&format!("kept running; end it with: ops/demo --stop --evidence {}", evidence.display()));
        }
        Verb::Demo { windows: true, .. } => {
            let world = World::start().await?;
            say("Two windows open now. Issue a number in the operator's, type it into the customer's.");
            world.open_windows().await?;
            world.stop().await?;
            say("demo: ok");
        }
        Verb::Demo { evidence, size, keys, still_secs, .. } => {
            let world = World::start().await?;
            let options = demo::Options { evidence, size, keys, still: Duration::from_secs(still_secs) };
            let outcome = demo::run(&world, &options).await;
            if outcome.is_err() {
                world.save_logs(&options.evidence.join("logs"))?;
            }
            world.stop().await?;
            let summary = outcome?;
            say(&serde_json::to_string_pretty(&summary)?);
            say("demo: ok");
        }
        Verb::Stop { evidence } => {
            let found = keep::stop(&evidence).await?;
            say(if found { "demo: stopped" } else { "demo: nothing was kept running" });
        }
        Verb::Bench(verb) => bench::run(verb).await?,
        Verb::Run(flags) => run::run(*flags).await?,
        Verb::Copy(flags) => copy::run(&flags)?,
        Verb::Fault(flags) => fault::run(&flags, say).await?,
    }
    Ok(())
}

/// Reads `1920x1080`.
fn size(text: &str) -> Result<(u16, u16), String> {
    let parsed = text.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    parsed
        .filter(|(width, height)| (640..=8192).contains(width) && (480..=8192).contains(height))
        .ok_or_else(|| "a size is WIDTHxHEIGHT, between 640x480 and 8192x8192".to_owned())
}

#[expect(clippy::print_stdout, reason = "the answer of a command line program")]
fn say(text: &str) {
    println!("{text}");
}
