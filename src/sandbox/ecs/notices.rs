//! What ECS tells EventBridge.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::cx::Cx;
use super::super::notice::Notice;
use super::arn::arn;
use super::service::Service;
use super::task::Task;
use super::{Ecs, Key};

const SOURCE: &str = "aws.ecs";

impl Ecs {
    /// "ECS Task State Change": one for each step of the task's life.
    pub(super) fn notice_task(&mut self, cx: &Cx<'_>, key: &Key) {
        let Some(task) = self.tasks.get(key) else {
            return;
        };
        self.notices.tell(|| Notice {
            at: cx.now,
            source: SOURCE.to_owned(),
            kind: "ECS Task State Change".to_owned(),
            resources: vec![task.arn.clone()],
            detail: task_detail(cx.now, task),
        });
    }

    /// "ECS Deployment State Change" of the PRIMARY: `name` is `IN_PROGRESS`, `COMPLETED` or
    /// `FAILED`.
    pub(super) fn notice_primary(&mut self, cx: &Cx<'_>, service: &Service, name: &str) {
        let Some(deployment) = service.deployments.first() else {
            return;
        };
        self.notices.tell(|| Notice {
            at: cx.now,
            source: SOURCE.to_owned(),
            kind: "ECS Deployment State Change".to_owned(),
            resources: vec![service_arn(cx, service)],
            detail: json!({
                "eventType": if name == "FAILED" { "ERROR" } else { "INFO" },
                "eventName": format!("SERVICE_DEPLOYMENT_{name}"),
                "deploymentId": deployment.name(),
                "updatedAt": cx.now.to_string(),
                "reason": deployment.reason,
            }),
        });
    }

    /// "ECS Service Action", such as `SERVICE_STEADY_STATE`.
    pub(super) fn notice_action(
        &mut self,
        cx: &Cx<'_>,
        service: &Service,
        (kind, name): (&str, &str),
        reason: Option<&str>,
    ) {
        self.notices.tell(|| {
            let mut detail = json!({
                "eventType": kind,
                "eventName": name,
                "clusterArn": service.cluster_arn,
                "createdAt": cx.now.to_string(),
            });
            if let Some(reason) = reason {
                detail["reason"] = reason.into();
            }
            Notice {
                at: cx.now,
                source: SOURCE.to_owned(),
                kind: "ECS Service Action".to_owned(),
                resources: vec![service_arn(cx, service)],
                detail,
            }
        });
    }
}

fn service_arn(cx: &Cx<'_>, service: &Service) -> String {
    arn(cx, &format!("service/{}/{}", service.cluster, service.name))
}

/// The task as DescribeTasks answers it, its times written out and its tags left out.
fn task_detail(now: Timestamp, task: &Task) -> Value {
    let mut detail = task.view(false);
    if let Some(members) = detail.as_object_mut() {
        for unsent in ["tags", "healthStatus"] {
            members.shift_remove(unsent);
        }
        for (_, value) in members.iter_mut().filter(|(name, _)| name.ends_with("At")) {
            if let Some(written) = value.as_f64().and_then(written) {
                *value = written;
            }
        }
        members.insert("updatedAt".to_owned(), now.to_string().into());
    }
    detail
}

/// A time as events have it, of one as awsJson has it.
fn written(seconds: f64) -> Option<Value> {
    let at =
        Timestamp::UNIX_EPOCH.checked_add(jiff::SignedDuration::try_from_secs_f64(seconds).ok()?);
    Some(
        at.ok()?
            .round(jiff::Unit::Millisecond)
            .ok()?
            .to_string()
            .into(),
    )
}
