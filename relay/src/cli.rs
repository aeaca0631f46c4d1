//! Flags, environment and commands. A flag wins over the environment, that over the file, that over the default.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use ops::{
    config::{self, ConfigError},
    core_dump, exit, logs,
    shutdown::Shutdown,
};
use tokio::net::TcpListener;

use crate::{Relay, config::Config, descriptors, listen::Listeners};

/// Name on standard error.
const PROGRAM: &str = "uketsuke-relay";

/// Joins the two sides of a support session. Forwards and forgets.
#[derive(Debug, Parser)]
#[command(name = "uketsuke-relay", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves until it is told to stop. The first SIGTERM drains, the second stops at once.
    Serve(Options),
    /// Looks at the configuration without serving.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Says whether the relay would start.
    Check(Options),
    /// Prints the effective values.
    Print(Options),
}

/// What flags and environment say.
#[derive(Debug, Args)]
struct Options {
    /// Configuration file, TOML.
    #[arg(long, env = "UKETSUKE_RELAY_CONFIG")]
    config: Option<PathBuf>,
    /// Where tools connect.
    #[arg(long, env = "UKETSUKE_RELAY_LISTEN")]
    listen: Option<SocketAddr>,
    /// Host and port that tools dial.
    #[arg(long, env = "UKETSUKE_RELAY_PUBLIC_ADDRESS")]
    public_address: Option<String>,
    /// Where metrics and health are served.
    #[arg(long, env = "UKETSUKE_RELAY_PRIVATE_LISTEN")]
    private_listen: Option<SocketAddr>,
    /// Address of the manager.
    #[arg(long, value_name = "URL", env = "UKETSUKE_RELAY_MANAGER")]
    manager: Option<String>,
    /// Certificate authority of the manager, PEM.
    #[arg(long, value_name = "FILE", env = "UKETSUKE_RELAY_MANAGER_CA")]
    manager_ca: Option<PathBuf>,
    /// Holds the token of this relay.
    #[arg(long, value_name = "FILE", env = "UKETSUKE_RELAY_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Certificate chain, PEM; without it the relay makes its own.
    #[arg(long, value_name = "FILE", env = "UKETSUKE_RELAY_CERTIFICATE")]
    certificate: Option<PathBuf>,
    /// Private key of the certificate, PEM.
    #[arg(long, value_name = "FILE", env = "UKETSUKE_RELAY_KEY")]
    key: Option<PathBuf>,
}

/// Reads the flags and does what they say.
pub fn main() -> ExitCode {
    link::tls::install_provider();
    let cli = match exit::flags::<Cli>() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    match cli.command {
        Command::Serve(options) => match options.load() {
            Ok(config) => serve(&config),
            Err(mistake) => exit::usage(PROGRAM, &mistake),
        },
        Command::Config { command: ConfigCommand::Check(options) } => match options.load() {
            Ok(_) => say("the configuration is good"),
            Err(mistake) => exit::usage(PROGRAM, &mistake),
        },
        Command::Config { command: ConfigCommand::Print(options) } => match options.load() {
            Ok(config) => match config::print(&config) {
                Ok(text) => say(&text),
                Err(error) => exit::failure(PROGRAM, &error),
            },
            Err(mistake) => exit::usage(PROGRAM, &mistake),
        },
    }
}

impl Options {
    /// The effective configuration, checked.
    fn load(self) -> Result<Config, ConfigError> {
        let path = self.config.clone();
        let mut config: Config = config::load(path.as_deref())?;
        let Self {
            config: _,
            listen,
            public_address,
            private_listen,
            manager,
            manager_ca,
            token_file,
            certificate,
            key,
        } = self;
        config.listen = listen.unwrap_or(config.listen);
        config.public_address = public_address.unwrap_or(config.public_address);
        config.private_listen = private_listen.unwrap_or(config.private_listen);
        config.manager = manager.or(config.manager);
        config.manager_ca_file = manager_ca.or(config.manager_ca_file);
        config.token_file = token_file.or(config.token_file);
        config.certificate_file = certificate.or(config.certificate_file);
        config.key_file = key.or(config.key_file);
        config.check(path.as_deref())?;
        Ok(config)
    }
}

fn serve(config: &Config) -> ExitCode {
    logs::init(config.log_format);
    if let Err(error) = core_dump::forbid() {
        return exit::failure(PROGRAM, &format!("core dumps cannot be forbidden: {error}"));
    }
    descriptors::raise();
    // For the control work only; what tools do has threads of its own, see `plane.rs`.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::failure(PROGRAM, &error),
    };
    runtime.block_on(async {
        let relay = match Relay::prepare(config, ops::clock::Clock::system()) {
            Ok(relay) => relay,
            Err(error) => return exit::usage(PROGRAM, &error),
        };
        let (listeners, private) = match (Listeners::bind(config).await, TcpListener::bind(config.private_listen).await)
        {
            (Ok(listeners), Ok(private)) => (listeners, private),
            (Err(error), _) => return exit::failure(PROGRAM, &error),
            (_, Err(error)) => {
                return exit::failure(PROGRAM, &format!("private_listen {}: {error}", config.private_listen));
            }
        };
        let shutdown = Shutdown::new();
        if let Err(error) = shutdown.listen() {
            return exit::failure(PROGRAM, &error);
        }
        match relay.serve(listeners, Some(private), shutdown).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => exit::failure(PROGRAM, &error),
        }
    })
}

#[expect(clippy::print_stdout, reason = "the answer of a command, not a log")]
fn say(text: &str) -> ExitCode {
    println!("{}", text.trim_end());
    ExitCode::SUCCESS
}
