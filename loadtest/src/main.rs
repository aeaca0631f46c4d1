//! The load tester's command line.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Result;
use clap::{Parser, Subcommand};
use loadtest::{bench, demo, keep, world::World};

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
    /// First readings of the relay's cost: CPU seconds per GB forwarded, KiB per idle session.
    Bench {
        /// Gigabytes to forward.
        #[arg(long, default_value_t = 2.0)]
        gigabytes: f64,
        /// Idle sessions to hold.
        #[arg(long, default_value_t = 200)]
        sessions: u32,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    link::tls::install_provider();
    match run(Flags::parse().verb).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            say(&format!("failed: {cause:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::Demo { evidence, keep: true, .. } => {
            let world = World::start().await?;
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
        Verb::Bench { gigabytes, sessions } => {
            let reading = bench::relay(gigabytes, sessions).await?;
            say(&serde_json::to_string_pretty(&reading)?);
        }
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
