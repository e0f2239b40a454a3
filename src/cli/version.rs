//! `version`.

use clap::Args;
use serde_json::json;

use super::error::{CliError, Exit};
use super::settings::Settings;
use crate::resource::meta::API_VERSION;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel version
  evenkeel version -o json")]
pub struct VersionArgs {}

pub fn run(_: &VersionArgs, settings: &Settings) -> Result<Exit, CliError> {
    let version = env!("CARGO_PKG_VERSION");
    let value = json!({
        "version": version,
        "apiVersion": API_VERSION,
        "sandbox": cfg!(feature = "sandbox"),
    });
    settings
        .out
        .print(&value, |_| format!("evenkeel {version}\n"))?;
    Ok(Exit::Done)
}
