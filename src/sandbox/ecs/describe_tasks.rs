//! StopTask, DescribeTasks, ListTasks.

use serde_json::{Value, json};

use super::super::cx::Cx;
use super::super::fault::Fault;
use super::Ecs;
use super::arn::{arn, in_cluster, is_arn};
use super::life::News;
use super::paging::page;
use super::service::service_not_found;
use super::task::Task;
use super::validate::{Input, invalid};

impl Ecs {
    /// The tasks of a cluster as they are.
    pub(super) fn tasks_of<'a>(&'a self, cluster: &'a str) -> impl Iterator<Item = &'a Task> {
        self.tasks
            .range((cluster.to_owned(), String::new())..)
            .take_while(move |(key, _)| key.0 == cluster)
            .map(|(_, task)| task)
    }

    pub(super) fn stop_task(&mut self, cx: &mut Cx<'_>, input: Input<'_>) -> Result<Value, Fault> {
        let cluster = self.cluster_name(cx, input)?;
        let text = input.needed("task", "Task identifier can not be blank.")?;
        let missing = || invalid("The referenced task was not found.");
        let id = in_cluster(cx, text, "task", &cluster).ok_or_else(missing)?;
        let key = (cluster, id.to_owned());
        if self.tasks.get(&key).is_none() {
            return Err(missing());
        }
        let reason = input.text("reason")?.unwrap_or("Task stopped by user");
        let reason = reason.to_owned();
        self.stop(cx, &key, "UserInitiated", &reason);
        self.tell_service(cx, &key, News::Moved);
        let task = self.tasks.get(&key).ok_or_else(missing)?;
        Ok(json!({"task": task.view(false)}))
    }

    pub(super) fn describe_tasks(&self, cx: &mut Cx<'_>, input: Input<'_>) -> Result<Value, Fault> {
        let cluster = self.cluster_name(cx, input)?;
        let wanted = input.named("tasks", 100)?;
        let with_tags = input.includes("TAGS")?;
        let (mut found, mut failures) = (Vec::new(), Vec::new());
        for text in wanted {
            let seen = in_cluster(cx, text, "task", &cluster)
                .and_then(|id| self.tasks.seen(cx, &(cluster.clone(), id.to_owned())));
            match seen {
                Some(task) => found.push(task.view(with_tags)),
                None => {
                    let arn = if is_arn(text) {
                        text.to_owned()
                    } else {
                        arn(cx, &format!("task/{cluster}/{text}"))
                    };
                    failures.push(json!({"arn": arn, "reason": "MISSING"}));
                }
            }
        }
        Ok(json!({"tasks": found, "failures": failures}))
    }

    pub(super) fn list_tasks(&self, cx: &mut Cx<'_>, input: Input<'_>) -> Result<Value, Fault> {
        let cluster = self.cluster_name(cx, input)?;
        let filter = Filter::read(cx, input, &cluster)?;
        if let Some(service) = &filter.service {
            let known = self.services.get(&(cluster.clone(), service.clone()));
            known.ok_or_else(service_not_found)?;
        }
        if cx.settings.hide_stopped && filter.status == "STOPPED" {
            return page(input, "taskArns", Vec::<(String, Value)>::new(), 100);
        }
        let arns = self
            .tasks
            .seen_range(cx, (cluster.clone(), String::new())..)
            .take_while(|(key, _)| key.0 == cluster)
            .filter(|(_, task)| filter.takes(task))
            .map(|(key, task)| (key.1.clone(), json!(task.arn)))
            .collect();
        page(input, "taskArns", arns, 100)
    }
}

/// What ListTasks asks for.
struct Filter {
    status: String,
    family: Option<String>,
    started_by: Option<String>,
    service: Option<String>,
    launch_type: Option<String>,
    on_instance: bool,
}

impl Filter {
    fn read(cx: &Cx<'_>, input: Input<'_>, cluster: &str) -> Result<Self, Fault> {
        let text = |name| Ok::<_, Fault>(input.text(name)?.map(str::to_owned));
        let status = text("desiredStatus")?.unwrap_or_else(|| "RUNNING".to_owned());
        if !["RUNNING", "PENDING", "STOPPED"].contains(&status.as_str()) {
            return Err(invalid(format!("Invalid desired status: {status}.")));
        }
        let service = match input.text("serviceName")? {
            None => None,
            Some(name) => {
                let name =
                    in_cluster(cx, name, "service", cluster).ok_or_else(service_not_found)?;
                Some(name.to_owned())
            }
        };
        let filter = Self {
            status,
            family: text("family")?,
            started_by: text("startedBy")?,
            service,
            launch_type: text("launchType")?,
            on_instance: input.get("containerInstance").is_some(),
        };
        let others = filter.family.is_some()
            || filter.service.is_some()
            || filter.launch_type.is_some()
            || filter.on_instance;
        if filter.started_by.is_some() && others {
            return Err(invalid("startedBy must be the only filter that you use."));
        }
        Ok(filter)
    }

    fn takes(&self, task: &Task) -> bool {
        let is = |wanted: &Option<String>, have: &str| wanted.as_deref().is_none_or(|w| w == have);
        let owner = task.owner.as_ref().map(|owner| owner.service.as_str());
        // ECS never wants a task to be PENDING: that list is always empty.
        task.desired_status() == self.status
            && is(&self.family, &task.family)
            && is(&self.started_by, task.started_by.as_deref().unwrap_or_default())
            && (self.service.is_none() || owner == self.service.as_deref())
            && is(
                &self.launch_type,
                task.fixed.get("launchType").and_then(Value::as_str).unwrap_or_default(),
            )
            // There are no container instances.
            && !self.on_instance
    }
}
