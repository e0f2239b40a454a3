//! `history`: the revisions of a release.

use clap::Args;

use super::clock::now;
use super::connect::Connection;
use super::error::{CliError, Exit};
use super::settings::Settings;
use super::target::ReleaseName;
use crate::report::history::History;

#[derive(Debug, Args)]
#[command(after_help = "\
The newest comes first. Revision 0 is what ran before evenkeel. How many are kept the release says
itself, as revisionHistoryLimit.

Exit code: 0, or 2 when the release does not exist or its revisions may not be read.

Examples:
  evenkeel history rails
  evenkeel history rails -o json | jq '.items[] | {number, outcome, source}'")]
pub struct HistoryArgs {
    /// NAME, or NAMESPACE/NAME
    #[arg(value_name = "NAME")]
    name: String,
}

pub async fn run(args: &HistoryArgs, settings: &Settings) -> Result<Exit, CliError> {
    let name = ReleaseName::parse(&args.name, settings.namespace.as_deref())?;
    let connection = Connection::open(settings).await?;
    let release = connection.find(&name).await?;
    let ledger = connection.ledger_if_allowed(&release).await?;
    let key = release.release_key();
    let ledger = ledger.ok_or_else(|| {
        CliError::new(format!("the revisions of release {key} may not be read")).help(format!(
            "read access to the items of `ledger#{key}` is needed"
        ))
    })?;
    let history = History::new(&release, &ledger);
    settings
        .out
        .print(&history, |paint| history.table(now(), paint))?;
    Ok(Exit::Done)
}
