//! `init`: the table.

use clap::Args;
use serde_json::json;

use super::connect::Connection;
use super::error::{CliError, Exit};
use super::settings::Settings;

#[derive(Debug, Args)]
#[command(after_help = "\
Makes the table on demand capacity, with a stream and a TTL, or checks the one that is there.
Needs dynamodb:CreateTable, DescribeTable, UpdateTable, UpdateTimeToLive, DescribeTimeToLive,
GetItem and PutItem.

Examples:
  evenkeel init
  evenkeel init --table evenkeel-staging")]
pub struct InitArgs {}

pub async fn run(_: &InitArgs, settings: &Settings) -> Result<Exit, CliError> {
    let connection = Connection::open(settings).await?;
    let made = connection.store.init().await?;
    let table = &settings.table;
    let repaired: Vec<String> = made.repaired.iter().map(ToString::to_string).collect();
    let value = json!({
        "table": table,
        "region": made.region,
        "created": made.created,
        "repaired": repaired,
        "installation": made.installation,
    });
    settings.out.print(&value, |_| {
        let word = if made.created { "created" } else { "is ready" };
        let repaired = repaired.iter().map(|what| format!("  {what}\n"));
        format!(
            "table/{table} {word} in {}\n{}",
            made.region,
            repaired.collect::<String>()
        )
    })?;
    Ok(Exit::Done)
}
