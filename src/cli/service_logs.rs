//! `logs`: what the tasks of a service write.

use clap::Args;
use clap::builder::BoolishValueParser;
use serde_json::Value;

use super::connect::Connection;
use super::error::{CliError, Exit};
use super::settings::Settings;
use super::tail::{self, Source, TailArgs, tail};
use super::target;
use crate::aws::{AwsError, Clients};
use crate::model::known::Known;
use crate::model::observed::Task;
use crate::plan::taskdef;
use crate::resource::meta::Release;
use crate::resource::status::{FailedContainer, FailedTask};

#[derive(Debug, Args)]
#[command(after_help = "\
Shows the log of the service's newest running task, or with --failed of the newest task that stopped
when a rollout failed: its place is kept in the status, also when ECS has forgotten the task.

Logs are read from CloudWatch Logs in the Region that the container's log driver names, with your
own credentials: a role of the Environment is not assumed. They need logs:GetLogEvents on the group,
and without --failed ecs:ListTasks, ecs:DescribeTasks and ecs:DescribeTaskDefinition. Nothing is
stored.

Exit code: 0, or 2 when there is no log, or it may not be read.

Examples:
  evenkeel logs rails/app
  evenkeel logs rails/app --follow
  evenkeel logs rails/app --failed --lines 500
  evenkeel logs production/rails/app --container nginx -o json")]
pub struct LogsArgs {
    /// NAME/SERVICE, or NAMESPACE/NAME/SERVICE
    #[arg(value_name = "NAME/SERVICE")]
    name: String,
    /// The newest task that stopped when a rollout failed
    #[arg(long, env = "EVENKEEL_LOGS_FAILED", hide_env_values = true,
          value_parser = BoolishValueParser::new())]
    failed: bool,
    #[command(flatten)]
    tail: TailArgs,
}

pub async fn run(args: &LogsArgs, settings: &Settings) -> Result<Exit, CliError> {
    tail::check(settings)?;
    let (name, service) = target::service(&args.name, settings.namespace.as_deref())?;
    let connection = Connection::open(settings).await?;
    let release = connection.find(&name).await?;
    let released = declared(&release, &service)?;
    let wanted = args.tail.container.as_deref();
    if args.failed {
        let source = of_failed(&release, &service, wanted)?;
        let region = connection.environment_of(&release).await?.spec.region;
        let region = source.region.as_ref().unwrap_or(&region);
        let logs = connection.aws.region(region).logs;
        return tail(&logs, &source, &args.tail, settings, async || Ok(true)).await;
    }
    let environment = connection.environment_of(&release).await?.spec;
    let clients = connection.aws.region(&environment.region);
    let task = newest(&clients, &environment.cluster, &release, &service).await?;
    let content = definition(&clients, &task).await?;
    let container = choose(&content, &released, wanted)?;
    let prefixes = taskdef::log_prefixes(&content);
    let place = taskdef::log_stream(&prefixes, &container, &task.arn).unwrap_or_default();
    let source = Source::new(&container, &task.arn, &place);
    let logs = match taskdef::log_region(&content, &container) {
        Some(region) => connection.aws.region(region).logs,
        None => clients.logs.clone(),
    };
    let ended = async || {
        let arns = [task.arn.clone()];
        let found = clients
            .ecs
            .describe_tasks(&environment.cluster, &arns)
            .await;
        let found = found.map_err(|error| told(&error))?;
        Ok(match found.get(&task.arn) {
            Some(Known::Present(task)) => task.last_status == "STOPPED",
            Some(Known::Absent) => true,
            Some(Known::Unknown(_)) | None => false,
        })
    };
    tail(&logs, &source, &args.tail, settings, ended).await
}

/// Containers of the service that hold released images; an error where it declares no such service.
fn declared(release: &Release, service: &str) -> Result<Vec<String>, CliError> {
    let services = &release.spec.services;
    if let Some(found) = services.iter().find(|one| one.name == service) {
        return Ok(found.images.keys().cloned().collect());
    }
    let names: Vec<&str> = services.iter().map(|one| one.name.as_str()).collect();
    let known = match names.as_slice() {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    let key = release.release_key();
    Err(
        CliError::new(format!("release {key} declares no service `{service}`"))
            .help(format!("its services are: {known}")),
    )
}

/// The log of the newest task that failed.
fn of_failed(release: &Release, service: &str, wanted: Option<&str>) -> Result<Source, CliError> {
    let key = release.release_key();
    let status = release.status.as_ref();
    let services = status.into_iter().flat_map(|status| &status.services);
    let found = services.into_iter().find(|one| one.name == service);
    let Some(task) = found.and_then(|found| found.evidence.tasks.first()) else {
        return Err(CliError::new(format!(
            "no task of service/{service} of release {key} is known to have failed"
        ))
        .help(format!(
            "`evenkeel get {key}` tells how it stands; without --failed a running task's log is shown"
        )));
    };
    let container = failed_container(task, wanted)?;
    if task.stop_code.as_deref() == Some("TaskFailedToStart") && container.exit_code.is_none() {
        let name = &container.name;
        let reason = container.reason.as_ref().or(task.stopped_reason.as_ref());
        let why = reason.map_or("ECS gives no reason", String::as_str);
        return Err(CliError::new(format!(
            "container {name} never started, so it has no log: {why}"
        ))
        .help(format!("`evenkeel get {key}` tells what else ECS said")));
    }
    let place = container.log_stream.as_deref().ok_or_else(|| {
        CliError::new(format!(
            "container {} of task {} does not write to CloudWatch Logs with the awslogs driver and a stream prefix",
            container.name,
            task.task_arn
        ))
        .help("look where its log driver sends it, or name another with --container")
    })?;
    let source = Source::new(&container.name, &task.task_arn, place);
    Ok(source.within(container.log_region.as_ref()))
}

fn failed_container<'a>(
    task: &'a FailedTask,
    wanted: Option<&str>,
) -> Result<&'a FailedContainer, CliError> {
    let all = || task.containers.iter();
    if let Some(wanted) = wanted {
        let names: Vec<&str> = all().map(|one| one.name.as_str()).collect();
        return all()
            .find(|one| one.name == wanted)
            .ok_or_else(|| no_container(wanted, &names));
    }
    let logs = |one: &&FailedContainer| one.log_stream.is_some();
    // Those that were asked to end when another did say nothing of the cause.
    let failed = |one: &&FailedContainer| !matches!(one.exit_code, None | Some(0 | 137 | 143));
    let reason = |one: &&FailedContainer| one.reason.is_some() || one.exit_code == Some(137);
    all()
        .filter(logs)
        .find(failed)
        .or_else(|| all().filter(logs).find(reason))
        .or_else(|| all().find(logs))
        .or_else(|| all().next())
        .ok_or_else(|| CliError::new(format!("task {} tells of no container", task.task_arn)))
}

/// The newest task that runs.
async fn newest(
    clients: &Clients,
    cluster: &str,
    release: &Release,
    service: &str,
) -> Result<Task, CliError> {
    let tasks = clients.ecs.running_tasks_of(cluster, service).await;
    let tasks = tasks.map_err(|error| told(&error))?;
    let running = tasks
        .into_iter()
        .filter(|task| task.last_status == "RUNNING");
    running.max_by_key(|task| task.created_at).ok_or_else(|| {
        let key = release.release_key();
        CliError::new(format!("no task of service {service} runs in cluster {cluster}")).help(format!(
            "`evenkeel get {key}` tells why; `evenkeel logs {key}/{service} --failed` shows the log of one that failed"
        ))
    })
}

/// The content of a task's definition.
async fn definition(clients: &Clients, task: &Task) -> Result<Value, CliError> {
    let arn = &task.task_definition;
    let read = clients.ecs.describe_task_definition(arn).await;
    match read.map_err(|error| told(&error))? {
        Known::Present(found) => Ok(Value::clone(&found.content)),
        Known::Absent => Err(CliError::new(format!("task definition {arn} is gone"))),
        Known::Unknown(why) => Err(CliError::new(why)),
    }
}

/// The container whose log is shown: the one that is asked for; else the first with a released
/// image, an essential one, or any, of those that write to CloudWatch Logs.
fn choose(content: &Value, released: &[String], wanted: Option<&str>) -> Result<String, CliError> {
    let names: Vec<&str> = taskdef::container_names(content).collect();
    let prefixes = taskdef::log_prefixes(content);
    if let Some(wanted) = wanted {
        if !names.contains(&wanted) {
            return Err(no_container(wanted, &names));
        }
        if !prefixes.contains_key(wanted) {
            return Err(elsewhere(content, &[wanted]));
        }
        return Ok(wanted.to_owned());
    }
    let logs = |name: &&str| prefixes.contains_key(*name);
    let essential: Vec<&str> = taskdef::essential_names(content).collect();
    let is_released = |name: &&str| released.iter().any(|one| one == name);
    let all = || names.iter().copied().filter(logs);
    all()
        .find(is_released)
        .or_else(|| all().find(|name| essential.contains(name)))
        .or_else(|| all().next())
        .map(str::to_owned)
        .ok_or_else(|| elsewhere(content, &names))
}

fn no_container(wanted: &str, names: &[&str]) -> CliError {
    CliError::new(format!("the task has no container `{wanted}`"))
        .help(format!("its containers are: {}", names.join(", ")))
}

/// That containers do not write to CloudWatch Logs, and where they do.
fn elsewhere(content: &Value, names: &[&str]) -> CliError {
    let driver = |name: &&str| {
        let log = taskdef::container(content, name).and_then(|it| it.get("logConfiguration"));
        let driver = log
            .and_then(|log| log.get("logDriver"))
            .and_then(Value::as_str);
        match driver {
            Some("awslogs") => format!("{name}: awslogs without a stream prefix"),
            Some(driver) => format!("{name}: {driver}"),
            None => format!("{name}: no log driver"),
        }
    };
    let drivers: Vec<String> = names.iter().map(driver).collect();
    CliError::new(format!(
        "no log in CloudWatch Logs: only the awslogs driver with awslogs-stream-prefix writes there ({})",
        drivers.join(", ")
    ))
    .help("look where the log driver sends it")
}

fn told(error: &AwsError) -> CliError {
    CliError::new(error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn content() -> Value {
        let log = |driver: &str| {
            json!({"logDriver": driver, "options": {
                "awslogs-group": "/ecs/web", "awslogs-stream-prefix": "web",
            }})
        };
        json!({"containerDefinitions": [
            {"name": "init", "essential": false, "logConfiguration": log("awslogs")},
            {"name": "proxy", "logConfiguration": log("awslogs")},
            {"name": "app", "logConfiguration": log("awslogs")},
            {"name": "router", "logConfiguration": log("awsfirelens")},
        ]})
    }

    #[test]
    fn the_released_container_is_meant_before_essential_ones() {
        let choose = |released: &[&str], wanted| {
            let released: Vec<String> = released.iter().map(|name| (*name).to_owned()).collect();
            choose(&content(), &released, wanted).map_err(|error| error.render())
        };
        assert_eq!(choose(&["router", "app"], None).unwrap(), "app");
        assert_eq!(choose(&[], None).unwrap(), "proxy");
        assert_eq!(choose(&[], Some("init")).unwrap(), "init");
        let elsewhere = choose(&[], Some("router")).unwrap_err();
        assert!(elsewhere.contains("router: awsfirelens"), "{elsewhere}");
        let unknown = choose(&[], Some("ap")).unwrap_err();
        assert!(unknown.contains("init, proxy, app, router"), "{unknown}");
    }

    #[test]
    fn the_container_that_failed_is_meant_not_one_that_was_asked_to_end() {
        let container = |name: &str, code: Option<i32>| FailedContainer {
            name: name.to_owned(),
            exit_code: code,
            log_stream: Some(format!("/ecs/web/web/{name}/1")),
            ..FailedContainer::default()
        };
        let task = FailedTask {
            containers: vec![container("proxy", Some(143)), container("app", Some(2))],
            ..FailedTask::default()
        };
        assert_eq!(failed_container(&task, None).unwrap().name, "app");
        assert_eq!(
            failed_container(&task, Some("proxy")).unwrap().name,
            "proxy"
        );
        assert!(failed_container(&task, Some("db")).is_err());
    }
}
