//! `drift`: what differs from what was declared, looked at now.

use clap::Args;

use super::connect::Connection;
use super::error::{CliError, Exit};
use super::out::Format;
use super::settings::Settings;
use super::target::ReleaseName;
use crate::report::drift::{DriftItem, DriftReport, DriftState};
use crate::resource::meta::Release;

#[derive(Debug, Args)]
#[command(after_help = "\
Looks at AWS now and writes nothing. What could not be read is Unknown, never clean.

Exit code: 0 no drift, 1 drift, 2 an error or Unknown.

Examples:
  evenkeel drift
  evenkeel drift rails -o json
  evenkeel drift -o html > drift.html")]
pub struct DriftArgs {
    /// NAME, or NAMESPACE/NAME; every release when absent
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

pub async fn run(args: &DriftArgs, settings: &Settings) -> Result<Exit, CliError> {
    let namespace = settings.namespace.as_deref();
    let name = args
        .name
        .as_ref()
        .map(|name| ReleaseName::parse(name, namespace))
        .transpose()?;
    let connection = Connection::open(settings).await?;
    let releases = match &name {
        Some(name) => vec![connection.find(name).await?],
        None => connection.all_releases(namespace).await?,
    };
    let report = look(&connection, &releases).await;
    match settings.out.format {
        Format::Html => settings.out.text(&report.html())?,
        _ => settings.out.print(&report, |paint| report.table(paint))?,
    }
    Ok(match report.worst() {
        DriftState::Clean => Exit::Done,
        DriftState::Drifted => Exit::Found,
        DriftState::Unknown => Exit::Failed,
    })
}

/// Looks at every release afresh; one that cannot be looked at is Unknown and hides no other.
pub async fn look(connection: &Connection, releases: &[Release]) -> DriftReport {
    let reconciler = connection.reconciler();
    let mut items = Vec::with_capacity(releases.len());
    for release in releases {
        let key = release.release_key();
        items.push(match reconciler.preview(&key).await {
            Ok(plan) => DriftItem::fresh(&key, &plan),
            Err(error) => DriftItem::unknown(&key, error.to_string()),
        });
    }
    DriftReport {
        generated_at: connection.now(),
        items,
    }
}
