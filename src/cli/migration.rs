//! `migration`: the ledger of one-off tasks.

mod logs;

use clap::builder::BoolishValueParser;
use clap::{ArgGroup, Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::clock::now;
use super::connect::Connection;
use super::error::{CliError, Exit};
use super::retry::{release_runs, still_running, unchecked};
use super::settings::Settings;
use super::target::{self, ReleaseName};
use crate::model::ledger::{Ledger, MigrationRun, RequestKind, RunState};
use crate::report::paint::{Paint, Tone};
use crate::report::table::{Cell, Table};
use crate::report::time::{age, short};
use crate::resource::meta::Release;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel migration list rails
  evenkeel migration resolve rails/db-migrate --succeeded
  evenkeel migration retry rails/db-migrate
  evenkeel migration stop rails/db-migrate
  evenkeel migration logs rails/db-migrate --follow")]
pub struct MigrationArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the runs of one release, or of all
    List(ListArgs),
    /// Say how a migration of unknown outcome ended
    Resolve(ResolveArgs),
    /// Run a failed migration once more
    Retry(NameArgs),
    /// Stop the task of a running migration
    Stop(NameArgs),
    /// Show what its task writes to CloudWatch Logs
    Logs(logs::LogsArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel migration list
  evenkeel migration list rails -o json")]
struct ListArgs {
    /// NAME, or NAMESPACE/NAME; every release when absent
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("verdict").required(true)))]
#[command(after_help = "\
A migration is Unknown when its task was started, or may have been, and nobody can know any more
how it ended. Look into the database, then say so.

Examples:
  evenkeel migration resolve rails/db-migrate --succeeded
  evenkeel migration resolve rails/db-migrate --retry")]
struct ResolveArgs {
    /// NAME/MIGRATION
    #[arg(value_name = "NAME/MIGRATION")]
    name: String,
    /// It had succeeded: the release goes on
    #[arg(long, env = "EVENKEEL_MIGRATION_RESOLVE_SUCCEEDED", hide_env_values = true, group = "verdict",
          value_parser = BoolishValueParser::new())]
    succeeded: bool,
    /// It had not: run it again
    #[arg(long, env = "EVENKEEL_MIGRATION_RESOLVE_RETRY", hide_env_values = true, group = "verdict",
          value_parser = BoolishValueParser::new())]
    retry: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel migration stop rails/db-migrate
  evenkeel migration retry rails/db-migrate")]
struct NameArgs {
    /// NAME/MIGRATION
    #[arg(value_name = "NAME/MIGRATION")]
    name: String,
}

pub async fn run(args: &MigrationArgs, settings: &Settings) -> Result<Exit, CliError> {
    match &args.what {
        What::List(args) => list(args, settings).await,
        What::Resolve(args) => {
            let verdict = if args.succeeded {
                Ask::Succeeded
            } else {
                Ask::RetryUnknown
            };
            ask(&args.name, verdict, settings).await
        }
        What::Retry(args) => ask(&args.name, Ask::Retry, settings).await,
        What::Stop(args) => ask(&args.name, Ask::Stop, settings).await,
        What::Logs(args) => logs::run(args, settings).await,
    }
}

/// A run with the release it belongs to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    namespace: &'a str,
    release: &'a str,
    #[serde(flatten)]
    run: &'a MigrationRun,
}

async fn list(args: &ListArgs, settings: &Settings) -> Result<Exit, CliError> {
    let namespace = settings.namespace.as_deref();
    let name = args
        .name
        .as_ref()
        .map(|name| ReleaseName::parse(name, namespace))
        .transpose()?;
    let connection = Connection::open(settings).await?;
    let releases = match &name {
        Some(name) => vec![connection.find(name).await?],
        None => connection.releases(namespace).await?,
    };
    let mut ledgers = Vec::with_capacity(releases.len());
    for release in &releases {
        ledgers.push((release.release_key(), connection.ledger(release).await?));
    }
    let mut rows: Vec<Row<'_>> = ledgers
        .iter()
        .flat_map(|(key, ledger)| {
            let row = |run| Row {
                namespace: &key.namespace,
                release: &key.name,
                run,
            };
            // Tasks of hooks are kept beside them.
            ledger.migrations.iter().filter(|run| !run.hook).map(row)
        })
        .collect();
    rows.sort_by_key(|row| (row.namespace, row.release, row.run.intended_at));
    settings.out.print(&json!({ "items": rows }), |paint| {
        table(&rows, now(), paint)
    })?;
    Ok(Exit::Done)
}

fn table(rows: &[Row<'_>], now: Timestamp, paint: Paint) -> String {
    if rows.is_empty() {
        return "No migration has run.\n".to_owned();
    }
    let mut table = Table::new(
        [
            "NAMESPACE",
            "RELEASE",
            "MIGRATION",
            "STATE",
            "REVISION",
            "ATTEMPT",
            "EXIT",
            "STARTED",
            "TOOK",
            "RUN KEY",
            "DETAIL",
        ],
        paint,
    );
    for Row {
        namespace,
        release,
        run,
    } in rows
    {
        let (word, tone) = state(run.state);
        let took = run
            .started_at
            .zip(run.finished_at)
            .map(|(from, to)| short(to.duration_since(from)));
        let started = run.started_at.map(|at| format!("{} ago", age(at, now)));
        table.row([
            (*namespace).into(),
            (*release).into(),
            Cell::new(&run.migration, Tone::Strong),
            Cell::new(word, tone),
            run.revision.to_string().into(),
            run.attempt.to_string().into(),
            run.exit_code
                .map(|code| code.to_string())
                .unwrap_or_default()
                .into(),
            started.unwrap_or_default().into(),
            took.unwrap_or_default().into(),
            run.run_key.chars().take(12).collect::<String>().into(),
            detail(run).into(),
        ]);
    }
    table.render()
}

fn detail(run: &MigrationRun) -> String {
    let parts = [
        run.stop_code.clone(),
        run.stopped_reason.clone(),
        run.message.clone(),
    ];
    match run.state {
        RunState::Succeeded => String::new(),
        _ => parts.into_iter().flatten().collect::<Vec<_>>().join(", "),
    }
}

fn state(state: RunState) -> (&'static str, Tone) {
    match state {
        RunState::Intended => ("Intended", Tone::Fair),
        RunState::NotStarted => ("NotStarted", Tone::Fair),
        RunState::Started => ("Started", Tone::Fair),
        RunState::Succeeded => ("Succeeded", Tone::Good),
        RunState::Failed => ("Failed", Tone::Bad),
        RunState::Unknown => ("Unknown", Tone::Bad),
        RunState::Retry => ("Retry", Tone::Fair),
    }
}

/// What is asked about a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Succeeded,
    RetryUnknown,
    Retry,
    Stop,
}

async fn ask(text: &str, ask: Ask, settings: &Settings) -> Result<Exit, CliError> {
    let (name, migration) = target::migration(text, settings.namespace.as_deref())?;
    let connection = Connection::open(settings).await?;
    let release = connection.find(&name).await?;
    match connection.ledger_if_allowed(&release).await? {
        Some(ledger) => sensible(&release, &ledger, &migration, ask)?,
        None => {
            has_a_migration(&release, &migration)?;
            unchecked(&release, settings)?;
        }
    }
    let (kind, word) = match ask {
        Ask::Succeeded => (
            RequestKind::MigrationSucceeded {
                migration: migration.clone(),
            },
            "resolution",
        ),
        Ask::RetryUnknown | Ask::Retry => (
            RequestKind::RetryMigration {
                migration: migration.clone(),
            },
            "retry",
        ),
        Ask::Stop => (
            RequestKind::StopMigration {
                migration: migration.clone(),
            },
            "stop",
        ),
    };
    let requested = serde_json::to_value(&kind).unwrap_or_default();
    connection.request(&release, kind).await?;
    let key = release.release_key();
    let value = json!({ "release": key.to_string(), "requested": requested });
    settings.out.print(&value, |_| {
        format!("migration/{key}/{migration} {word} requested\n")
    })?;
    Ok(Exit::Done)
}

/// Refuses a name that neither the manifest nor the status has, which is all that can be told
/// without the ledger.
fn has_a_migration(release: &Release, migration: &str) -> Result<(), CliError> {
    let declared = release.spec.migrations.iter().map(|one| &one.name);
    let status = release.status.iter().flat_map(|status| &status.migrations);
    let mut names = declared.chain(status.map(|one| &one.name));
    if names.any(|name| name == migration) {
        return Ok(());
    }
    Err(never_ran(release, migration))
}

/// Refuses at once what the controller would not carry out.
fn sensible(release: &Release, ledger: &Ledger, migration: &str, ask: Ask) -> Result<(), CliError> {
    let key = release.release_key();
    let run = newest_run(release, ledger, migration)?;
    let known =
        |state: &str| CliError::new(format!("migration {migration} of release {key} {state}"));
    match (ask, run.state) {
        (Ask::Succeeded | Ask::RetryUnknown, RunState::Unknown) => Ok(()),
        (Ask::Retry, RunState::Failed | RunState::Unknown | RunState::NotStarted) => Ok(()),
        (Ask::Stop, RunState::Started) => Ok(()),
        (Ask::Retry, RunState::Started | RunState::Intended) => {
            Err(still_running(&key.to_string(), run))
        }
        (Ask::Retry | Ask::RetryUnknown, RunState::Retry) => {
            Err(known("has been told to run again already"))
        }
        (Ask::Retry, RunState::Succeeded) => Err(known(
            "succeeded, and a migration that succeeded is not run again",
        )
        .help("if the database was restored, change the migration's `epoch` in the manifest")),
        (Ask::Succeeded | Ask::RetryUnknown, RunState::Failed) => Err(known(
            "is known to have failed, so there is nothing to resolve",
        )
        .help(format!(
            "to run it once more: evenkeel migration retry {key}/{migration}"
        ))),
        (Ask::Succeeded | Ask::RetryUnknown, _) => {
            Err(known("is not Unknown, so there is nothing to resolve"))
        }
        (Ask::Stop, _) => Err(known("does not run, so there is nothing to stop")),
    }
}

/// The newest run of a migration of this release.
fn newest_run<'a>(
    release: &Release,
    ledger: &'a Ledger,
    migration: &str,
) -> Result<&'a MigrationRun, CliError> {
    let runs = release_runs(release, ledger);
    let runs = runs.into_iter().filter(|run| run.migration == migration);
    runs.max_by_key(|run| run.intended_at)
        .ok_or_else(|| never_ran(release, migration))
}

fn never_ran(release: &Release, migration: &str) -> CliError {
    let key = release.release_key();
    let declared: Vec<&str> = release
        .spec
        .migrations
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    if declared.contains(&migration) {
        return CliError::new(format!(
            "migration {migration} of release {key} has not run yet"
        ));
    }
    let known = if declared.is_empty() {
        "none".to_owned()
    } else {
        declared.join(", ")
    };
    CliError::new(format!("release {key} declares no migration `{migration}`"))
        .help(format!("its migrations are: {known}"))
}

#[cfg(test)]
mod tests;
