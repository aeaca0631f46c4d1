//! The download server's program: flags, logs, sockets, and the exit code.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use download::{Listeners, config, config::Config};
use ops::{config::ConfigError, exit, logs, logs::LogFormat, shutdown::Shutdown};
use tokio::net::TcpListener;
use tracing::info;

const PROGRAM: &str = "uketsuke-download";

/// Hands out the client and operator tools over HTTPS.
#[derive(Debug, Parser)]
#[command(name = "uketsuke-download", version)]
struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves until SIGTERM; a second signal stops at once.
    Serve {
        #[command(flatten)]
        source: Source,
        /// What log lines look like.
        #[arg(long, env = "UKETSUKE_LOG_FORMAT", value_enum, default_value = "auto")]
        log_format: LogFormat,
    },
    /// Looks at the configuration without serving.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Says whether the configuration is good.
    Check(Source),
    /// Prints the effective values.
    Print(Source),
}

/// Where the configuration comes from; a flag wins over the environment, and that over the file.
#[derive(Debug, Args)]
struct Source {
    /// Configuration file; every key is explained in ops/config/download.toml.
    #[arg(long, env = "UKETSUKE_DOWNLOAD_CONFIG", value_name = "FILE")]
    config: PathBuf,
    /// Replaces `listen`.
    #[arg(long, env = "UKETSUKE_DOWNLOAD_LISTEN", value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Replaces `redirect_listen`.
    #[arg(long, env = "UKETSUKE_DOWNLOAD_REDIRECT_LISTEN", value_name = "ADDRESS")]
    redirect_listen: Option<SocketAddr>,
    /// Replaces `private_listen`.
    #[arg(long, env = "UKETSUKE_DOWNLOAD_PRIVATE_LISTEN", value_name = "ADDRESS")]
    private_listen: Option<SocketAddr>,
}

impl Source {
    fn load(&self) -> Result<Config, ConfigError> {
        let mut config = config::load(Some(&self.config))?;
        config.listen = self.listen.unwrap_or(config.listen);
        config.redirect_listen = self.redirect_listen.unwrap_or(config.redirect_listen);
        config.private_listen = self.private_listen.unwrap_or(config.private_listen);
        Ok(config)
    }
}

fn main() -> ExitCode {
    let command = match exit::flags::<Flags>() {
        Ok(flags) => flags.command,
        Err(code) => return code,
    };
    let done = match command {
        Command::Serve { source, log_format } => source.load().map(|config| serve(config, log_format)),
        Command::Config(ConfigCommand::Check(source)) => source.load().map(|config| say(&summary(&config))),
        Command::Config(ConfigCommand::Print(source)) => source.load().map(|config| print(&config)),
    };
    done.unwrap_or_else(|mistake| exit::usage(PROGRAM, &mistake))
}

fn serve(config: Config, log_format: LogFormat) -> ExitCode {
    logs::init(log_format);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(cause) => return exit::failure(PROGRAM, &cause),
    };
    runtime.block_on(async {
        let shutdown = Shutdown::new();
        if let Err(cause) = shutdown.listen() {
            return exit::failure(PROGRAM, &cause);
        }
        let listeners = match bind(&config).await {
            Ok(listeners) => listeners,
            Err(cause) => return exit::failure(PROGRAM, &cause),
        };
        match download::run(config, listeners, shutdown).await {
            Ok(()) => {
                info!(event = "download.stopped", "Stopped");
                ExitCode::SUCCESS
            }
            Err(cause) => exit::failure(PROGRAM, &cause),
        }
    })
}

async fn bind(config: &Config) -> Result<Listeners, String> {
    let bound = |key: &'static str, address: SocketAddr| async move {
        TcpListener::bind(address).await.map_err(|cause| format!("{key} {address}: {cause}"))
    };
    Ok(Listeners {
        https: bound("listen", config.listen).await?,
        http: bound("redirect_listen", config.redirect_listen).await?,
        private: bound("private_listen", config.private_listen).await?,
    })
}

fn summary(config: &Config) -> String {
    format!("ok, {} tools for {}", config.tools.len(), config.address)
}

fn print(config: &Config) -> ExitCode {
    match (ops::config::print(config), ops::config::fingerprint(config)) {
        (Ok(text), Ok(hash)) => say(&format!("# {hash}\n{text}")),
        (Err(cause), _) | (_, Err(cause)) => exit::failure(PROGRAM, &cause),
    }
}

#[expect(clippy::print_stdout, reason = "the answer of a command, not a log")]
fn say(answer: &str) -> ExitCode {
    println!("{}", answer.trim_end());
    ExitCode::SUCCESS
}
