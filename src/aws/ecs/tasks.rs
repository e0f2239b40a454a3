//! One-off tasks.

use std::collections::BTreeMap;

use aws_sdk_ecs::operation::list_tasks::builders::ListTasksFluentBuilder;
use aws_sdk_ecs::types;
use aws_sdk_ecs::types::DesiredStatus;
use serde_json::Value;

use super::{Ecs, SERVICE, explain, is_about, only_if_not_done};
use crate::aws::error::{AwsError, Call, ErrorClass};
use crate::aws::raw::Exchange;
use crate::aws::time::timestamp;
use crate::model::known::Known;
use crate::model::observed::{Container, Task};

/// Most that DescribeTasks takes.
pub const MAX_TASKS: usize = 100;
/// So many tasks of a service are looked at. ListTasks knows no order, so a few of them would be
/// any; a service that has crashed for an hour has some hundreds.
const MOST_OF_SERVICE: usize = 500;

/// What RunTask answered: a 200 can carry failures, and then nothing was started for them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunTaskAnswer {
    /// Tasks that were started, or that already ran under the same token.
    pub tasks: Vec<Task>,
    /// What was not started, and why.
    pub failures: Vec<Failure>,
}

/// One entry of `failures[]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// What it is about.
    pub arn: Option<String>,
    /// `RESOURCE:CPU`, `AGENT`, `MISSING`...
    pub reason: String,
    /// More words.
    pub detail: Option<String>,
}

impl Ecs {
    /// Starts a task from RunTask's whole input. With a `clientToken` it is safe to repeat while
    /// the token lives. `ConflictException` means that the token was used with other parameters;
    /// [`AwsError::resource_ids`] names the tasks that run under it.
    pub async fn run_task(&self, input: &Value) -> Result<RunTaskAnswer, AwsError> {
        let member = |name| input.get(name).and_then(Value::as_str);
        let what = format!(
            "task definition {} in cluster {}",
            member("taskDefinition").unwrap_or("without a name"),
            member("cluster").unwrap_or("default"),
        );
        let call = Call::write(SERVICE, "RunTask", what);
        let sent = self
            .client
            .run_task()
            .customize()
            .interceptor(Exchange::sending(input))
            .config_override(only_if_not_done())
            .send()
            .await;
        let answer = sent.map_err(|error| call.failed(error))?;
        Ok(RunTaskAnswer {
            tasks: answer.tasks().iter().map(observed).collect(),
            failures: answer.failures().iter().map(failure).collect(),
        })
    }

    /// Asks a task to stop. Harmless when repeated.
    pub async fn stop_task(&self, cluster: &str, arn: &str, reason: &str) -> Result<(), AwsError> {
        let call = Call::write(
            SERVICE,
            "StopTask",
            format!("task {arn} in cluster {cluster}"),
        );
        let sent = self
            .client
            .stop_task()
            .cluster(cluster)
            .task(arn)
            .reason(reason)
            .customize()
            .config_override(only_if_not_done())
            .send()
            .await;
        sent.map(drop).map_err(|error| call.failed(error))
    }

    /// Every task that was started with this `startedBy`, running or stopped. Stopped ones are
    /// forgotten by ECS after an hour or more.
    pub async fn tasks_started_by(
        &self,
        cluster: &str,
        started_by: &str,
    ) -> Result<Vec<Task>, AwsError> {
        let mut arns = Vec::new();
        // In this order: a task that stops in between is seen twice rather than never.
        for status in [DesiredStatus::Running, DesiredStatus::Stopped] {
            arns.extend(self.list_tasks(cluster, started_by, status).await?);
        }
        arns.sort();
        arns.dedup();
        let mut tasks = Vec::new();
        for (arn, task) in self.describe_tasks(cluster, &arns).await? {
            match task {
                // Some servers do not filter.
                Known::Present(task)
                    if task
                        .started_by
                        .as_deref()
                        .is_some_and(|by| by != started_by) => {}
                Known::Present(task) => tasks.push(task),
                // It was listed, so leaving it out would say that nothing was started.
                unsure => {
                    let what = format!("task {arn} in cluster {cluster}");
                    let call = Call::read(SERVICE, "DescribeTasks", what);
                    let why = match unsure {
                        Known::Unknown(why) => why,
                        _ => "ListTasks names it and DescribeTasks does not know it".to_owned(),
                    };
                    return Err(call.unexpected(ErrorClass::Retry, why));
                }
            }
        }
        tasks.sort_by_key(|task| task.created_at);
        Ok(tasks)
    }

    async fn list_tasks(
        &self,
        cluster: &str,
        started_by: &str,
        status: DesiredStatus,
    ) -> Result<Vec<String>, AwsError> {
        let what = format!("tasks started by {started_by} in cluster {cluster}");
        let call = Call::read(SERVICE, "ListTasks", what);
        let asked = self.client.list_tasks().cluster(cluster);
        let asked = asked.started_by(started_by).desired_status(status);
        pages(&call, asked, usize::MAX).await
    }

    /// Tasks of a service that stopped lately, some hundreds at most, in no order. ECS forgets them
    /// after an hour or more.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn stopped_tasks_of(
        &self,
        cluster: &str,
        service: &str,
    ) -> Result<Vec<Task>, AwsError> {
        self.tasks_of_service(cluster, service, DesiredStatus::Stopped)
            .await
    }

    /// Tasks of a service that ECS wants to run, some hundreds at most, in no order.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn running_tasks_of(
        &self,
        cluster: &str,
        service: &str,
    ) -> Result<Vec<Task>, AwsError> {
        self.tasks_of_service(cluster, service, DesiredStatus::Running)
            .await
    }

    async fn tasks_of_service(
        &self,
        cluster: &str,
        service: &str,
        status: DesiredStatus,
    ) -> Result<Vec<Task>, AwsError> {
        let what = format!("tasks of service {service} in cluster {cluster}");
        let call = Call::read(SERVICE, "ListTasks", what);
        let asked = self.client.list_tasks().cluster(cluster);
        let asked = asked.service_name(service).desired_status(status);
        let arns = pages(&call, asked, MOST_OF_SERVICE).await?;
        let found = self.describe_tasks(cluster, &arns).await?;
        // One that ECS has forgotten in between is gone.
        let tasks = found.into_values().filter_map(|task| match task {
            Known::Present(task) => Some(task),
            Known::Absent | Known::Unknown(_) => None,
        });
        Ok(tasks.collect())
    }

    /// Looks at tasks by ARN. Each ARN asked for has an answer; a task that ECS has forgotten is
    /// Absent.
    pub async fn describe_tasks(
        &self,
        cluster: &str,
        arns: &[String],
    ) -> Result<BTreeMap<String, Known<Task>>, AwsError> {
        let mut found = BTreeMap::new();
        for batch in arns.chunks(MAX_TASKS) {
            let what = match batch {
                [one] => format!("task {one} in cluster {cluster}"),
                _ => format!("{} tasks in cluster {cluster}", batch.len()),
            };
            let call = Call::read(SERVICE, "DescribeTasks", what);
            let sent = self
                .client
                .describe_tasks()
                .cluster(cluster)
                .set_tasks(Some(batch.to_vec()))
                .send()
                .await;
            let answer = sent.map_err(|error| call.failed(error))?;
            for arn in batch {
                found.insert(arn.clone(), one(arn, answer.tasks(), answer.failures()));
            }
        }
        Ok(found)
    }
}

/// ARNs that ListTasks answers, page by page until there are enough.
async fn pages(
    call: &Call,
    asked: ListTasksFluentBuilder,
    enough: usize,
) -> Result<Vec<String>, AwsError> {
    let mut arns = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let sent = asked.clone().set_next_token(token.clone()).send().await;
        let answer = sent.map_err(|error| call.failed(error))?;
        arns.extend(answer.task_arns.unwrap_or_default());
        token = call.next_page(token.as_ref(), answer.next_token)?;
        if token.is_none() || arns.len() >= enough {
            return Ok(arns);
        }
    }
}

fn one(arn: &str, tasks: &[types::Task], failures: &[types::Failure]) -> Known<Task> {
    if let Some(task) = tasks.iter().find(|task| task.task_arn() == Some(arn)) {
        return Known::Present(observed(task));
    }
    let what = format!("task {arn}");
    match failures.iter().find(|failure| is_about(failure, arn)) {
        Some(failure) if failure.reason() == Some("MISSING") => Known::Absent,
        Some(failure) => Known::Unknown(explain(failure, "DescribeTasks", &what)),
        None => Known::Unknown(format!("ecs:DescribeTasks said nothing about {what}")),
    }
}

fn failure(failure: &types::Failure) -> Failure {
    Failure {
        arn: failure.arn().map(str::to_owned),
        reason: failure.reason().unwrap_or_default().to_owned(),
        detail: failure.detail().map(str::to_owned),
    }
}

fn observed(task: &types::Task) -> Task {
    Task {
        arn: task.task_arn().unwrap_or_default().to_owned(),
        task_definition: task.task_definition_arn().unwrap_or_default().to_owned(),
        last_status: task.last_status().unwrap_or_default().to_owned(),
        desired_status: task.desired_status().unwrap_or_default().to_owned(),
        started_by: task.started_by().map(str::to_owned),
        stop_code: task.stop_code().map(|code| code.as_str().to_owned()),
        stopped_reason: task.stopped_reason().map(str::to_owned),
        created_at: timestamp(task.created_at()),
        stopped_at: timestamp(task.stopped_at()),
        containers: task
            .containers()
            .iter()
            .map(|container| Container {
                name: container.name().unwrap_or_default().to_owned(),
                exit_code: container.exit_code(),
                reason: container.reason().map(str::to_owned),
            })
            .collect(),
    }
}
