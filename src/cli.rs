//! The commands.

mod check;
mod demo;
mod diff;
mod key;
mod model;
mod out;
mod sample;
mod serve;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::config::{Plan, Source, check as check_plan, load, report};

/// One gateway to the AI services of Google, AWS and Azure.
#[derive(Debug, Parser)]
#[command(name = "aigate", version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    Serve {
        /// The configuration file. Default: aigate.toml here; without one, a sample model on this machine is served.
        #[arg(long, short, env = "AIGATE_CONFIG", value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Check a configuration file: all faults at once. Exit code 1 when there are any.
    Check {
        /// The configuration file.
        #[arg(env = "AIGATE_CONFIG", value_name = "FILE")]
        file: Option<PathBuf>,
        /// Show what a call to this model passes through, in order.
        #[arg(long, value_name = "MODEL")]
        explain: Option<String>,
    },
    /// Tell what changes from one configuration file to another.
    Diff {
        /// The file as it was.
        #[arg(value_name = "OLD")]
        old: PathBuf,
        /// The file as it is to be.
        #[arg(value_name = "NEW")]
        new: PathBuf,
    },
    /// Show failover at work on simulated clouds: no network, no credentials.
    Demo(demo::Arguments),
    /// Models of this machine: train, evaluate and explain those over tables; fetch, list, show and remove language models.
    Model {
        #[command(subcommand)]
        command: model::Command,
    },
    /// Make keys for callers.
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Print the JSON Schema of the configuration file.
    Schema,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a key: prints the secret, once, and the lines for the configuration file.
    New {
        /// The key's name, for logs and metrics.
        name: String,
    },
}

/// The file that is looked for when none is named.
const DEFAULT_FILE: &str = "aigate.toml";

/// Exit codes: 0 all well; 1 the configuration has faults, or the program could not do its work; 2 wrong arguments.
pub fn run() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Serve { config } => serve::serve(config),
        Command::Check { file, explain } => check::check(file, explain.as_deref()),
        Command::Diff { old, new } => diff::diff(old, new),
        Command::Demo(arguments) => demo::demo(&arguments),
        Command::Model { command } => model::model(command),
        Command::Key { command: KeyCommand::New { name } } => key::new(&name),
        Command::Schema => out::print(&format!("{:#}\n", crate::config::schema())),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            out::complain(&message);
            ExitCode::FAILURE
        }
    }
}

/// The configuration to run: as named, `aigate.toml` here, or else the built-in sample.
fn find_or_sample(named: Option<PathBuf>) -> Source {
    find(named).map_or_else(|_| Source::Text(sample::CONFIG.to_owned()), Source::File)
}

/// The file to read: as named, or `aigate.toml` here.
fn find(named: Option<PathBuf>) -> Result<PathBuf, String> {
    match named {
        Some(path) => Ok(path),
        None if std::path::Path::new(DEFAULT_FILE).exists() => Ok(DEFAULT_FILE.into()),
        None => Err(format!(
            "no configuration: name a file with --config or AIGATE_CONFIG, or put {DEFAULT_FILE} here.\n\
             To see aigate at work without one, run `aigate demo`; config/examples has files to begin with."
        )),
    }
}

/// Loads and checks a configuration.
fn plan(source: &Source) -> Result<Plan, String> {
    load(source).and_then(check_plan).map_err(|faults| {
        let count = faults.len();
        let s = if count == 1 { "" } else { "s" };
        format!("the configuration has {count} fault{s}:\n{}", report(&faults))
    })
}

/// The program's own runtime.
fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))
}
