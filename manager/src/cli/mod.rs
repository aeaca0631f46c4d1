//! The command line: `serve`, and what must be done before there is a management site.
//!
//! Exit codes: 0 done, 1 failed while running, 64 wrong flag or configuration, 65 a later version has shut this one out
//! of the database, 75 somebody holds what a migration changes. Answers go to standard output, the one line of a failure
//! and the logs to standard error.

mod accounts;
mod command;
mod sessions;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use ops::{config::ConfigError, exit};

use crate::{
    admin::{self, AdminRole},
    audit::Head,
    company::{CompanyCode, ShownName},
    config::Config,
    db::migrate::SchemaError,
    example,
    operator::UserId,
    relays::region::Region,
    role::Role,
    serve::ServeError,
};

/// Name of the program in its messages.
const PROGRAM: &str = "uketsuke-manager";

/// The management server of Uketsuke.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version, disable_help_subcommand = true)]
pub struct Flags {
    /// The configuration file; without it every key has its default
    #[arg(long, global = true, value_name = "FILE", env = "UKETSUKE_MANAGER_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves the API until SIGTERM (a second signal stops at once)
    Serve,
    /// Makes the signing key and brings the database's schema up to date
    Migrate,
    /// Checks or prints the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// System administrators
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Companies
    #[command(subcommand)]
    Company(CompanyCommand),
    /// Operators of a company
    #[command(subcommand)]
    Operator(OperatorCommand),
    /// Relays
    #[command(subcommand)]
    Relay(RelayCommand),
    /// The key that signs tickets
    #[command(subcommand)]
    Key(KeyCommand),
    /// Support sessions
    #[command(subcommand)]
    Sessions(SessionsCommand),
    /// The audit record
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Prints the OpenAPI document of the API
    Openapi,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Says whether the configuration is right; opens and binds nothing
    Check,
    /// Prints the effective values, secrets masked
    Print,
}

#[derive(Debug, Subcommand)]
enum AdminCommand {
    /// Creates a system administrator
    Create {
        #[command(flatten)]
        new: AdminFlags,
        #[command(flatten)]
        password: PasswordFlag,
    },
}

#[derive(Debug, Subcommand)]
enum CompanyCommand {
    /// Creates a company
    Create {
        /// Company code that operators type at login
        #[arg(long)]
        code: CompanyCode,
        /// Name that customers see
        #[arg(long)]
        name: ShownName,
    },
    /// Lifts the limits of networks and hours, for a company whose administrators have locked themselves out
    Rescue {
        /// Its code
        #[arg(long)]
        company: CompanyCode,
    },
    /// Gives a new company invented people and an invented past, to look at the site with something in it
    Example {
        /// Code of a company that has had no reception yet
        #[arg(long)]
        company: CompanyCode,
        /// How many days back the past goes
        #[arg(long, default_value_t = 92, value_parser = clap::value_parser!(i64).range(1..=example::DAYS_MAX))]
        days: i64,
        /// The same seed on the same day gives the same past
        #[arg(long, default_value_t = 1)]
        seed: u64,
        #[command(flatten)]
        password: PasswordFlag,
    },
}

#[derive(Debug, Subcommand)]
enum OperatorCommand {
    /// Creates an operator
    Create {
        #[command(flatten)]
        who: OperatorFlags,
        /// Name that customers see
        #[arg(long)]
        name: ShownName,
        /// company_admin, organisation_admin, supervisor, operator, viewer or auditor
        #[arg(long, default_value_t = Role::Operator)]
        role: Role,
        #[command(flatten)]
        password: PasswordFlag,
    },
    /// Ends every login of an operator and allows no new one
    Stop(OperatorFlags),
    /// Opens an account that failed logins have locked
    Unlock(OperatorFlags),
}

#[derive(Debug, Subcommand)]
enum RelayCommand {
    /// Makes a relay known and prints its token, once
    Enroll {
        /// Name of the relay for people
        #[arg(long)]
        name: ShownName,
        /// Where it is: jp, eu or us; sessions of companies that are bound to a region use no other relay
        #[arg(long)]
        region: Option<Region>,
    },
    /// Prints another token for a relay, once; the one before is void at once
    Renew {
        /// Name of the relay
        #[arg(long)]
        name: ShownName,
    },
    /// Makes a relay's token void, so that it gets no session any more; `renew` lets it in again
    Revoke {
        /// Name of the relay
        #[arg(long)]
        name: ShownName,
    },
    /// Says where a relay is
    Place {
        /// Name of the relay
        #[arg(long)]
        name: ShownName,
        /// jp, eu or us
        #[arg(long)]
        region: Region,
    },
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Makes the key in signing_key_file the one of this database, when the one before is lost; open numbers end
    Adopt,
}

#[derive(Debug, Subcommand)]
enum SessionsCommand {
    /// Lists sessions with start, end and duration, newest first
    List {
        /// Only of the company with this code
        #[arg(long)]
        company: Option<CompanyCode>,
        /// How many at most
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
        /// As JSON, in the form of the API
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Walks the chain and names the first row that is wrong
    Verify {
        /// A head that was kept elsewhere, as the process log tells it; may be given more than once
        #[arg(long, value_name = "ROW:HASH")]
        head: Vec<Head>,
    },
}

#[derive(Debug, Args)]
struct OperatorFlags {
    /// Company code
    #[arg(long)]
    company: CompanyCode,
    /// Id of the operator in the company
    #[arg(long)]
    user: UserId,
}

#[derive(Debug, Args)]
struct AdminFlags {
    /// Id for the login
    #[arg(long)]
    user: UserId,
    /// Name as it is shown
    #[arg(long)]
    name: ShownName,
    /// operations, data or audit
    #[arg(long, default_value_t = AdminRole::Operations)]
    role: AdminRole,
    /// Why, for the audit record
    #[arg(long, default_value = admin::store::COMMAND_LINE_REASON)]
    reason: String,
}

#[derive(Debug, Args)]
struct PasswordFlag {
    /// File whose first line is the password
    #[arg(long, value_name = "FILE")]
    password_file: PathBuf,
}

/// Why a command failed.
enum Failure {
    /// Wrong flag or configuration: exit code 64.
    Usage(String),
    /// Anything that went wrong while running: exit code 1, or one of its own (see [`code_of`]).
    Run(anyhow::Error),
    /// The command itself said everything: exit code 1.
    Said,
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Run(error)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.to_string())
    }
}

/// Runs the program with the flags of the process.
pub fn main() -> ExitCode {
    let flags: Flags = match exit::flags() {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    match run(flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(mistake)) => exit::usage(PROGRAM, &mistake),
        Err(Failure::Run(error)) => exit::ended(PROGRAM, code_of(&error), &format!("{error:#}")),
        Err(Failure::Said) => ExitCode::from(exit::FAILURE),
    }
}

/// The exit code of what went wrong: a schema that cannot be worked with has codes of its own.
fn code_of(error: &anyhow::Error) -> u8 {
    let refused = error.chain().find_map(|cause| {
        if let Some(ServeError::Schema(refused)) = cause.downcast_ref() {
            return Some(refused);
        }
        cause.downcast_ref::<SchemaError>()
    });
    match refused {
        Some(SchemaError::Newer { .. } | SchemaError::TooLong(_)) => exit::DATA,
        Some(SchemaError::InUse(_)) => exit::IN_USE,
        Some(SchemaError::Db(_)) | None => exit::FAILURE,
    }
}

fn run(flags: Flags) -> Result<(), Failure> {
    if matches!(flags.command, Command::Openapi) {
        return command::openapi();
    }
    let config = Config::load(flags.config.as_deref())?;
    match flags.command {
        Command::Config(ConfigCommand::Check) => return command::say("configuration: ok"),
        Command::Config(ConfigCommand::Print) => return command::print_config(&config),
        Command::Serve
        | Command::Migrate
        | Command::Admin(_)
        | Command::Company(_)
        | Command::Operator(_)
        | Command::Relay(_)
        | Command::Key(_)
        | Command::Sessions(_)
        | Command::Audit(_)
        | Command::Openapi => {}
    }
    ops::logs::init(config.log_format);
    let runtime = tokio::runtime::Runtime::new().map_err(anyhow::Error::from)?;
    runtime.block_on(dispatch(flags.command, config))
}

async fn dispatch(command: Command, config: Config) -> Result<(), Failure> {
    match command {
        Command::Serve => command::serve(config).await,
        Command::Migrate => command::migrate(config).await,
        Command::Admin(AdminCommand::Create { new, password }) => accounts::create_admin(config, new, &password).await,
        Command::Company(CompanyCommand::Create { code, name }) => accounts::create_company(config, &code, &name).await,
        Command::Company(CompanyCommand::Rescue { company }) => accounts::rescue_company(config, &company).await,
        Command::Company(CompanyCommand::Example { company, days, seed, password }) => {
            accounts::fill_company(config, &company, (days, seed), &password).await
        }
        Command::Operator(OperatorCommand::Create { who, name, role, password }) => {
            accounts::create_operator(config, who, name, role, &password).await
        }
        Command::Operator(OperatorCommand::Stop(who)) => accounts::stop_operator(config, &who).await,
        Command::Operator(OperatorCommand::Unlock(who)) => accounts::unlock_operator(config, &who).await,
        Command::Relay(RelayCommand::Enroll { name, region }) => accounts::enroll_relay(config, &name, region).await,
        Command::Relay(RelayCommand::Renew { name }) => accounts::renew_relay(config, &name).await,
        Command::Relay(RelayCommand::Revoke { name }) => accounts::revoke_relay(config, &name).await,
        Command::Relay(RelayCommand::Place { name, region }) => accounts::place_relay(config, &name, region).await,
        Command::Key(KeyCommand::Adopt) => command::adopt_key(config).await,
        Command::Sessions(SessionsCommand::List { company, limit, json }) => {
            sessions::list(&config, company.as_ref(), limit, json).await
        }
        Command::Audit(AuditCommand::Verify { head }) => command::verify_audit(&config, &head).await,
        Command::Config(_) | Command::Openapi => Ok(()),
    }
}
