//! `wait`: follows a release.

use clap::{Args, ValueEnum};

use super::connect::{self, Connection};
use super::error::{CliError, Exit};
use super::follow::{Goal, follow};
use super::settings::Settings;
use super::target::ReleaseName;
use crate::resource::duration::Span;

#[derive(Debug, Args)]
#[command(after_help = "\
Waits for the generation that it sees at the start.

Exit code: 0 Ready, 1 Stalled, 2 time is up or an error, 3 a newer generation took its place.

Examples:
  evenkeel wait rails
  evenkeel wait production/rails --timeout 30m
  evenkeel wait rails --for Deleted")]
pub struct WaitArgs {
    /// NAME, or NAMESPACE/NAME
    #[arg(value_name = "NAME")]
    name: String,
    /// What is waited for: Ready or Deleted
    #[arg(
        long = "for",
        env = "EVENKEEL_WAIT_FOR",
        hide_env_values = true,
        default_value = "Ready",
        ignore_case = true,
        hide_possible_values = true,
        value_name = "STATE"
    )]
    goal: GoalArg,
    /// How long: 90s, 15m, 1h 30m
    #[arg(long, env = "EVENKEEL_WAIT_TIMEOUT", hide_env_values = true, default_value = "15m",
          value_parser = Span::parse, value_name = "TIME")]
    timeout: Span,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum GoalArg {
    Ready,
    Deleted,
}

pub async fn run(args: &WaitArgs, settings: &Settings) -> Result<Exit, CliError> {
    let name = ReleaseName::parse(&args.name, settings.namespace.as_deref())?;
    let connection = Connection::open(settings).await?;
    let goal = match args.goal {
        GoalArg::Ready => Goal::Ready,
        GoalArg::Deleted => Goal::Deleted,
    };
    let found = match goal {
        Goal::Ready => Some(connection.find(&name).await?),
        // It may be gone by now.
        Goal::Deleted => connection.find_if_any(&name).await?,
    };
    let Some(key) = found.map(|release| release.release_key()) else {
        settings.out.remark(&format!("release/{name} deleted"))?;
        return Ok(Exit::Done);
    };
    follow(
        &connection,
        &key,
        goal,
        connect::std(args.timeout.length()),
        settings,
    )
    .await
}
