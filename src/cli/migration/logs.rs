//! `migration logs`: what the task of a migration writes.

use clap::Args;

use super::{never_ran, newest_run};
use crate::cli::connect::Connection;
use crate::cli::error::{CliError, Exit};
use crate::cli::settings::Settings;
use crate::cli::tail::{self, Source, TailArgs, tail};
use crate::cli::target;
use crate::model::ledger::MigrationRun;
use crate::plan::taskdef;
use crate::resource::meta::Release;

#[derive(Debug, Args)]
#[command(after_help = "\
Shows the log of the newest attempt, while it runs and after.

Logs are read from CloudWatch Logs in the Region that the container's log driver names, with your
own credentials: a role of the Environment is not assumed. They need logs:GetLogEvents on the group.
Nothing is stored.

Exit code: 0, or 2 when there is no log, or it may not be read.

Examples:
  evenkeel migration logs rails/db-migrate
  evenkeel migration logs rails/db-migrate --follow
  evenkeel migration logs rails/db-migrate --lines 1000 -o json")]
pub struct LogsArgs {
    /// NAME/MIGRATION
    #[arg(value_name = "NAME/MIGRATION")]
    name: String,
    #[command(flatten)]
    tail: TailArgs,
}

pub async fn run(args: &LogsArgs, settings: &Settings) -> Result<Exit, CliError> {
    tail::check(settings)?;
    let (name, migration) = target::migration(&args.name, settings.namespace.as_deref())?;
    let connection = Connection::open(settings).await?;
    let release = connection.find(&name).await?;
    let wanted = args.tail.container.as_deref();
    let ledger = connection.ledger_if_allowed(&release).await?;
    let source = match &ledger {
        Some(ledger) => of_run(newest_run(&release, ledger, &migration)?, wanted)?,
        None => of_status(&release, &migration)?,
    };
    let region = connection.environment_of(&release).await?.spec.region;
    let region = source.region.as_ref().unwrap_or(&region);
    let logs = connection.aws.region(region).logs;
    let ended = async || {
        let Some(ledger) = connection.ledger_if_allowed(&release).await? else {
            return Ok(true);
        };
        Ok(!newest_run(&release, &ledger, &migration)?.state.is_open())
    };
    tail(&logs, &source, &args.tail, settings, ended).await
}

/// The log of a run, as the ledger has it.
fn of_run(run: &MigrationRun, wanted: Option<&str>) -> Result<Source, CliError> {
    let name = &run.migration;
    let Some(task) = &run.task_arn else {
        let why = run.message.as_deref().unwrap_or("it is being started");
        return Err(
            CliError::new(format!("no task of migration {name} is known: {why}"))
                .help("`--follow` of a later call shows its log once it runs"),
        );
    };
    let logs = |name: &&String| run.logs.contains_key(*name);
    let container = match wanted {
        Some(wanted) => run.logs.keys().find(|name| *name == wanted),
        // Those whose exit codes decide.
        None => run.containers.iter().find(logs).or(run.logs.keys().next()),
    };
    let place = |container| taskdef::log_stream(&run.logs, container, task);
    match container.and_then(|container| Some((container, place(container)?))) {
        Some((container, place)) => {
            let source = Source::new(container, task, &place);
            Ok(source.within(run.log_regions.get(container)))
        }
        None => Err(elsewhere(run, wanted)),
    }
}

fn elsewhere(run: &MigrationRun, wanted: Option<&str>) -> CliError {
    let name = &run.migration;
    let what = match wanted {
        Some(wanted) => format!("container {wanted} of migration {name}"),
        None => format!("no container of migration {name}"),
    };
    let known: Vec<&str> = run.logs.keys().map(String::as_str).collect();
    let help = match known.as_slice() {
        [] => "look where its log driver sends it".to_owned(),
        known => format!("those that do: {}", known.join(", ")),
    };
    CliError::new(format!(
        "{what} writes to CloudWatch Logs with the awslogs driver and a stream prefix"
    ))
    .help(help)
}

/// The same for those who may not read the ledger: the status knows the log of a run that ended.
fn of_status(release: &Release, migration: &str) -> Result<Source, CliError> {
    let status = release.status.iter().flat_map(|status| &status.migrations);
    let Some(found) = status.into_iter().find(|one| one.name == migration) else {
        return Err(never_ran(release, migration));
    };
    match (&found.task_arn, &found.log_stream) {
        (Some(task), Some(place)) => {
            // `group/prefix/container/task`
            let container = place.rsplit('/').nth(1).unwrap_or_default();
            Ok(Source::new(container, task, place).within(found.log_region.as_ref()))
        }
        _ => Err(CliError::new(format!(
            "where migration {migration} logs is told in the status once it has ended; while it runs only the ledger knows, which you may not read"
        ))
        .help("ask for dynamodb:Query on the partitions of the ledger")),
    }
}
