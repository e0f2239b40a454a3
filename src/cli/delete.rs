//! `delete`: releases and environments.

use clap::Args;
use clap::builder::BoolishValueParser;
use serde_json::json;

use super::connect::{self, Connection};
use super::error::{CliError, Exit};
use super::follow::{Goal, follow};
use super::settings::Settings;
use super::target::ReleaseName;
use crate::resource::duration::Span;

#[derive(Debug, Args)]
#[command(after_help = "\
The controller carries a release's deletion out: what becomes of its schedules is what the release
says (`deletionPolicy`, Orphan by default), claims are given back, services are never deleted. With
--orphan nothing in AWS is touched or even looked at, so it always ends. An environment is deleted
at once, after its releases.

Examples:
  evenkeel delete rails --wait
  evenkeel delete production/rails --orphan
  evenkeel delete environment production")]
pub struct DeleteArgs {
    /// NAME, NAMESPACE/NAME, `release NAME` or `environment NAME`
    #[arg(value_name = "WHAT", required = true, num_args = 1..=2)]
    what: Vec<String>,
    /// Leave everything in AWS as it is
    #[arg(long, env = "EVENKEEL_DELETE_ORPHAN", hide_env_values = true,
          value_parser = BoolishValueParser::new())]
    orphan: bool,
    /// Wait until the release is gone
    #[arg(long, env = "EVENKEEL_DELETE_WAIT", hide_env_values = true,
          value_parser = BoolishValueParser::new())]
    wait: bool,
    /// With --wait: how long
    #[arg(long, env = "EVENKEEL_DELETE_TIMEOUT", hide_env_values = true, default_value = "15m",
          value_parser = Span::parse, value_name = "TIME")]
    timeout: Span,
}

pub async fn run(args: &DeleteArgs, settings: &Settings) -> Result<Exit, CliError> {
    let words: Vec<&str> = args.what.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["environment" | "environments" | "env", name] => environment(name, args, settings).await,
        ["release" | "releases", name] | [name] => release(name, args, settings).await,
        [kind, ..] => Err(CliError::new(format!("`{kind}` is not a kind of object"))
            .help("there are releases and environments")),
        [] => Err(CliError::new("nothing was named")),
    }
}

async fn environment(name: &str, args: &DeleteArgs, settings: &Settings) -> Result<Exit, CliError> {
    if args.orphan || args.wait {
        return Err(CliError::new(
            "--orphan and --wait are for releases: an environment is deleted at once",
        ));
    }
    let connection = Connection::open(settings).await?;
    connection.store.delete_environment(name).await?;
    let value = json!({ "environment": name, "result": "deleted" });
    settings
        .out
        .print(&value, |_| format!("environment/{name} deleted\n"))?;
    Ok(Exit::Done)
}

async fn release(name: &str, args: &DeleteArgs, settings: &Settings) -> Result<Exit, CliError> {
    let name = ReleaseName::parse(name, settings.namespace.as_deref())?;
    let connection = Connection::open(settings).await?;
    let key = connection.find(&name).await?.release_key();
    connection
        .store
        .delete_release(&key, args.orphan, connection.now())
        .await?;
    if args.wait {
        let timeout = connect::std(args.timeout.length());
        return follow(&connection, &key, Goal::Deleted, timeout, settings).await;
    }
    let value = json!({ "release": key.to_string(), "result": "deletion requested", "orphan": args.orphan });
    settings
        .out
        .print(&value, |_| format!("release/{key} deletion requested\n"))?;
    Ok(Exit::Done)
}
