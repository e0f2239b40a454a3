//! The command line: one file for each verb.
//!
//! Arguments ([`args`]) become [`settings::Settings`] once; nothing else reads the environment.
//! A verb answers with an exit code or a [`error::CliError`], which is printed here and only here.

mod apply;
mod approve;
pub mod args;
mod clock;
mod completions;
mod connect;
mod delete;
#[cfg(feature = "sandbox")]
mod demo;
mod drift;
pub mod error;
mod follow;
mod get;
mod history;
mod init;
mod logs;
mod migration;
pub mod out;
mod plan;
mod retry;
mod rollback;
mod run;
#[cfg(feature = "sandbox")]
mod sandbox;
mod schema;
mod service_logs;
mod set;
pub mod settings;
mod suspend;
mod tail;
mod target;
mod traces;
mod validate;
mod version;
mod wait;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};

use args::{Cli, Verb};
use error::{CliError, Exit};
use logs::Usual;
use out::Format;
use settings::Settings;

/// Reads the arguments, does what they say, prints the error if there is one.
pub fn main() -> ExitCode {
    let cli = match parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; clap knows where each goes.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Failed
            } else {
                Exit::Done
            }
            .into();
        }
    };
    let settings = Settings::new(cli.global);
    if settings.out.format == Format::Html && !matches!(cli.verb, Verb::Drift(_) | Verb::Get(_)) {
        return fail(
            &CliError::new("this verb prints no HTML")
                .help("`-o html` works with `drift` and `get`; use table, json or yaml here"),
        );
    }
    match dispatch(cli.verb, &settings) {
        Ok(exit) => exit.into(),
        Err(error) => fail(&error),
    }
}

/// The arguments, with where those of `run` came from.
fn parse() -> Result<Cli, clap::Error> {
    let matches = Cli::command().try_get_matches()?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    if let (Verb::Run(args), Some(matches)) = (&mut cli.verb, matches.subcommand_matches("run")) {
        args.came_from(matches);
    }
    Ok(cli)
}

fn fail(error: &CliError) -> ExitCode {
    // Where standard error is closed, the exit code has to say it all.
    let _ = std::io::stderr().write_all(error.render().as_bytes());
    error.code().into()
}

fn dispatch(verb: Verb, settings: &Settings) -> Result<Exit, CliError> {
    match verb {
        Verb::Validate(args) => validate::run(&args, settings),
        Verb::Schema(args) => schema::run(&args, settings),
        Verb::Completions(args) => completions::run(&args, settings),
        Verb::Version(args) => version::run(&args, settings),
        #[cfg(feature = "sandbox")]
        Verb::Demo(args) => demo::run(&args, settings),
        verb => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .map_err(|error| CliError::new(format!("no threads could be started: {error}")))?;
            let exit = runtime.block_on(online(verb, settings));
            runtime.shutdown_background();
            exit
        }
    }
}

/// The verbs that talk to AWS or to the network.
async fn online(verb: Verb, settings: &Settings) -> Result<Exit, CliError> {
    // The controller makes its logs itself: where they go besides is among its arguments.
    if let Verb::Run(args) = verb {
        return run::run(&args, settings).await;
    }
    logs::init(settings, usual_logs(&verb), None);
    match verb {
        Verb::Init(args) => init::run(&args, settings).await,
        Verb::Apply(args) => apply::run(&args, settings).await,
        Verb::Get(args) => get::run(&args, settings).await,
        Verb::Plan(args) => plan::run(&args, settings).await,
        Verb::Wait(args) => wait::run(&args, settings).await,
        Verb::Drift(args) => drift::run(&args, settings).await,
        Verb::Set(args) => set::run(&args, settings).await,
        Verb::History(args) => history::run(&args, settings).await,
        Verb::Rollback(args) => rollback::run(&args, settings).await,
        Verb::Approve(args) => approve::run(&args, settings).await,
        Verb::Retry(args) => retry::run(&args, settings).await,
        Verb::Migration(args) => migration::run(&args, settings).await,
        Verb::Logs(args) => service_logs::run(&args, settings).await,
        Verb::Suspend(args) => suspend::suspend(&args, settings).await,
        Verb::Resume(args) => suspend::resume(&args, settings).await,
        Verb::Delete(args) => delete::run(&args, settings).await,
        #[cfg(feature = "sandbox")]
        Verb::Sandbox(args) => sandbox::run(&args, settings).await,
        // Those of `dispatch`, which need no runtime of this kind.
        _ => Ok(Exit::Done),
    }
}

/// What is logged without `-v`: the long-running verbs tell what they do, the others keep quiet.
fn usual_logs(verb: &Verb) -> Usual {
    match verb {
        #[cfg(feature = "sandbox")]
        Verb::Sandbox(_) => Usual::of_people(logs::TELLING),
        _ => Usual::of_people(logs::QUIET),
    }
}
