//! `suspend` and `resume`.

use clap::Args;
use serde_json::json;

use super::connect::Connection;
use super::error::{CliError, Exit};
use super::settings::Settings;
use super::target::ReleaseName;

#[derive(Debug, Args)]
#[command(after_help = "\
Nothing is changed in AWS while a release is suspended, and it is not compared either. Applying
the manifest again does not resume it.

Examples:
  evenkeel suspend rails
  evenkeel suspend production/rails && evenkeel get production/rails")]
pub struct SuspendArgs {
    /// NAME, or NAMESPACE/NAME
    #[arg(value_name = "NAME")]
    name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel resume rails")]
pub struct ResumeArgs {
    /// NAME, or NAMESPACE/NAME
    #[arg(value_name = "NAME")]
    name: String,
}

pub async fn suspend(args: &SuspendArgs, settings: &Settings) -> Result<Exit, CliError> {
    set(&args.name, true, settings).await
}

pub async fn resume(args: &ResumeArgs, settings: &Settings) -> Result<Exit, CliError> {
    set(&args.name, false, settings).await
}

async fn set(name: &str, suspend: bool, settings: &Settings) -> Result<Exit, CliError> {
    let name = ReleaseName::parse(name, settings.namespace.as_deref())?;
    let connection = Connection::open(settings).await?;
    let release = connection.find(&name).await?;
    let key = release.release_key();
    let changed = connection.set_suspend(&key, suspend).await?;
    let word = match (changed, suspend) {
        (true, true) => "suspended",
        (true, false) => "resumed",
        (false, _) => "unchanged",
    };
    let value = json!({ "release": key.to_string(), "suspended": suspend, "result": word });
    settings
        .out
        .print(&value, |_| format!("release/{key} {word}\n"))?;
    Ok(Exit::Done)
}
