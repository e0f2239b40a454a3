//! `retry`: another attempt at a Stalled release.

use clap::Args;
use serde_json::json;

use super::connect::Connection;
use super::error::{CliError, Exit};
use super::settings::Settings;
use super::target::ReleaseName;
use crate::model::ledger::{Ledger, MigrationRun, RequestKind, RunState};
use crate::report::release::standing;
use crate::resource::conditions::{ConditionType, is_true};
use crate::resource::meta::Release;

#[derive(Debug, Args)]
#[command(after_help = "\
A revision whose rollout failed, and a migration that failed, are not tried again by themselves.
This asks the controller to try them once more.

Exit code: 0 asked for, 2 when there is nothing to try again, when a migration of it still runs, or
an error.

Examples:
  evenkeel retry rails && evenkeel wait rails")]
pub struct RetryArgs {
    /// NAME, or NAMESPACE/NAME
    #[arg(value_name = "NAME")]
    name: String,
}

pub async fn run(args: &RetryArgs, settings: &Settings) -> Result<Exit, CliError> {
    let name = ReleaseName::parse(&args.name, settings.namespace.as_deref())?;
    let connection = Connection::open(settings).await?;
    let release = connection.find(&name).await?;
    let ledger = connection.ledger_if_allowed(&release).await?;
    if ledger.is_none() {
        unchecked(&release, settings)?;
    }
    sensible(&release, ledger.as_ref())?;
    connection.request(&release, RequestKind::Retry).await?;
    let key = release.release_key();
    let value = json!({ "release": key.to_string(), "requested": "Retry" });
    settings
        .out
        .print(&value, |_| format!("release/{key} retry requested\n"))?;
    Ok(Exit::Done)
}

/// Says that a request goes to the controller as it is.
pub fn unchecked(release: &Release, settings: &Settings) -> Result<(), CliError> {
    settings.out.remark(&format!(
        "the ledger of release {} may not be read, so this could not be checked beforehand: \
         the controller decides",
        release.release_key()
    ))
}

/// Refuses a retry of what did not fail, or of what still runs.
fn sensible(release: &Release, ledger: Option<&Ledger>) -> Result<(), CliError> {
    let key = release.release_key();
    let status = release.status.clone().unwrap_or_default();
    if let Some(run) = ledger.and_then(|ledger| running(&release_runs(release, ledger))) {
        return Err(still_running(&key.to_string(), run));
    }
    let current = status.observed_generation == release.metadata.generation;
    if !current {
        return Err(CliError::new(format!(
            "the controller has not looked at the newest generation of release {key} yet: it will be \
             tried without a retry"
        )));
    }
    if is_true(&status.conditions, ConditionType::Stalled) {
        return Ok(());
    }
    let standing = standing(release);
    Err(CliError::new(format!(
        "release {key} is not Stalled ({}), so there is nothing to retry",
        standing.reason
    ))
    .help(format!("`evenkeel get {key}` tells how it stands")))
}

/// The runs that the newest status speaks of, and whatever else may be going on.
pub fn release_runs<'a>(release: &Release, ledger: &'a Ledger) -> Vec<&'a MigrationRun> {
    let keys: Vec<&str> = release
        .status
        .iter()
        .flat_map(|status| &status.migrations)
        .filter_map(|migration| migration.run_key.as_deref())
        .collect();
    ledger
        .migrations
        .iter()
        .filter(|run| keys.contains(&run.run_key.as_str()) || run.state.is_open())
        .collect()
}

fn running<'a>(runs: &[&'a MigrationRun]) -> Option<&'a MigrationRun> {
    runs.iter()
        .find(|run| matches!(run.state, RunState::Started | RunState::Intended))
        .copied()
}

/// The refusal while a task runs.
pub fn still_running(release: &str, run: &MigrationRun) -> CliError {
    let name = &run.migration;
    let task = run.task_arn.as_deref().unwrap_or("its task");
    CliError::new(format!(
        "migration {name} of release {release} still runs ({task})"
    ))
    .help(format!(
        "wait for its end, or stop it first: evenkeel migration stop {release}/{name}"
    ))
}
