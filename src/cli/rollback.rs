//! `rollback`: back to an earlier revision, as it was recorded.

use clap::Args;
use clap::builder::BoolishValueParser;
use jiff::Timestamp;
use serde_json::json;

use super::connect::Connection;
use super::error::{CliError, Exit};
use super::retry::unchecked;
use super::settings::Settings;
use super::target::ReleaseName;
use crate::model::ledger::{Ledger, RequestKind};
use crate::plan;
use crate::resource::meta::Release;

#[derive(Debug, Args)]
#[command(after_help = "\
Asks the controller to go back to a revision as it was recorded: its digests, its task definitions
and what it declared, whatever its tags point at and its bases look like by now. It becomes a new
revision, which rolls out like any other. Nothing is followed until something is applied; what was
gone back from is not applied again without --force. Migrations that ran are not undone, and none
runs again. Revision 0 is what ran before evenkeel.

Exit code: 0 asked for, 2 refused or an error.

Examples:
  evenkeel history rails
  evenkeel rollback rails --to 3 && evenkeel wait rails
  evenkeel rollback production/rails --to 0")]
pub struct RollbackArgs {
    /// NAME, or NAMESPACE/NAME
    #[arg(value_name = "NAME")]
    name: String,
    /// The revision to go back to; `evenkeel history` lists those that are kept
    #[arg(
        long,
        required = true,
        env = "EVENKEEL_ROLLBACK_TO",
        hide_env_values = true,
        value_name = "REVISION"
    )]
    to: u64,
    /// Also to a revision that never was Ready
    #[arg(long, env = "EVENKEEL_ROLLBACK_FORCE", hide_env_values = true,
          value_parser = BoolishValueParser::new())]
    force: bool,
}

pub async fn run(args: &RollbackArgs, settings: &Settings) -> Result<Exit, CliError> {
    let name = ReleaseName::parse(&args.name, settings.namespace.as_deref())?;
    let connection = Connection::open(settings).await?;
    let release = connection.find(&name).await?;
    standing(&release, connection.now())?;
    match connection.ledger_if_allowed(&release).await? {
        Some(ledger) => sensible(&release, &ledger, args)?,
        None => unchecked(&release, settings)?,
    }
    let (to, force) = (args.to, args.force);
    let kind = RequestKind::Rollback { to, force };
    connection.request(&release, kind).await?;
    let key = release.release_key();
    let value = json!({ "release": key.to_string(), "requested": "Rollback", "to": to });
    settings.out.print(&value, |_| {
        format!("release/{key} rollback to revision {to} requested\n")
    })?;
    Ok(Exit::Done)
}

/// Refuses where nothing moves at all.
fn standing(release: &Release, now: Timestamp) -> Result<(), CliError> {
    let key = release.release_key();
    if let Some(since) = release.metadata.deletion_timestamp {
        let message = format!("release {key} is being deleted since {since}");
        return Err(CliError::new(message));
    }
    if release.spec.is_suspended(now) {
        return Err(
            CliError::new(format!("release {key} is suspended: nothing is moved"))
                .help(format!("`evenkeel resume {key}` first")),
        );
    }
    Ok(())
}

fn sensible(release: &Release, ledger: &Ledger, args: &RollbackArgs) -> Result<(), CliError> {
    let key = release.release_key();
    let generation = release.metadata.generation.unwrap_or_default();
    match plan::rollback_refusal(ledger, generation, args.to, args.force) {
        None => Ok(()),
        Some(why) => Err(CliError::new(format!(
            "release {key} does not go back to revision {}: {why}",
            args.to
        ))
        .help(format!(
            "`evenkeel history {key}` lists its revisions and how each ended"
        ))),
    }
}
