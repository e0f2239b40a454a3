//! The calls about service deployments and service revisions.

use serde_json::{Value, json};

use super::super::cx::Cx;
use super::super::fault::Fault;
use super::Ecs;
use super::arn::record as record_key;
use super::paging::page;
use super::records::RecordStatus;
use super::service::Service;
use super::validate::{Input, invalid};

const STATUSES: [RecordStatus; 9] = [
    RecordStatus::Pending,
    RecordStatus::InProgress,
    RecordStatus::StopRequested,
    RecordStatus::Stopped,
    RecordStatus::RollbackRequested,
    RecordStatus::RollbackInProgress,
    RecordStatus::RollbackSuccessful,
    RecordStatus::RollbackFailed,
    RecordStatus::Successful,
];

impl Ecs {
    pub(super) fn list_service_deployments(
        &self,
        cx: &mut Cx<'_>,
        input: Input<'_>,
    ) -> Result<Value, Fault> {
        let (cluster, service) = self.service_key(cx, input, "service")?;
        let statuses = input.texts("status")?;
        let known = |name: &&&str| STATUSES.iter().any(|status| status.name() == **name);
        if let Some(name) = statuses.iter().find(|name| !known(name)) {
            return Err(invalid(format!(
                "Invalid service deployment status: {name}."
            )));
        }
        let created = input.object("createdAt")?;
        let bound = |name: &str| {
            created
                .and_then(|range| range.get(name))
                .and_then(Value::as_f64)
        };
        let (after, before) = (bound("after"), bound("before"));
        let first = (cluster.clone(), service.clone(), String::new());
        let mut rows: Vec<_> = self
            .records
            .seen_range(cx, first..)
            .take_while(|(key, _)| key.0 == cluster && key.1 == service)
            .filter(|(_, row)| statuses.is_empty() || statuses.contains(&row.status.name()))
            .filter(|(_, row)| {
                let at = row.created_at.as_duration().as_secs_f64();
                after.is_none_or(|after| at > after) && before.is_none_or(|before| at < before)
            })
            .collect();
        rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.created_at));
        let briefs = rows
            .into_iter()
            .map(|(key, row)| (key.2.clone(), row.brief(cx, key)))
            .collect();
        page(input, "serviceDeployments", briefs, 20)
    }

    pub(super) fn describe_service_deployments(
        &self,
        cx: &mut Cx<'_>,
        input: Input<'_>,
    ) -> Result<Value, Fault> {
        let (mut found, mut failures) = (Vec::new(), Vec::new());
        for text in input.named("serviceDeploymentArns", 20)? {
            let key = record_key(cx, text, "service-deployment");
            let seen = key.and_then(|key| Some((self.records.seen(cx, &key)?, key)));
            match seen {
                Some((row, key)) => {
                    let service = self.services.seen(cx, &(key.0.clone(), key.1.clone()));
                    found.push(row.view(cx, &key, service));
                }
                None => failures.push(json!({"arn": text, "reason": "MISSING"})),
            }
        }
        Ok(json!({"serviceDeployments": found, "failures": failures}))
    }

    pub(super) fn describe_service_revisions(
        &self,
        cx: &mut Cx<'_>,
        input: Input<'_>,
    ) -> Result<Value, Fault> {
        let (mut found, mut failures) = (Vec::new(), Vec::new());
        for text in input.named("serviceRevisionArns", 20)? {
            let key = record_key(cx, text, "service-revision");
            let seen = key.and_then(|key| Some((self.revisions.seen(cx, &key)?, key)));
            match seen {
                Some((row, key)) => found.push(row.view(self, cx, &key)),
                None => failures.push(json!({"arn": text, "reason": "MISSING"})),
            }
        }
        Ok(json!({"serviceRevisions": found, "failures": failures}))
    }

    pub(super) fn stop_service_deployment(
        &mut self,
        cx: &mut Cx<'_>,
        input: Input<'_>,
    ) -> Result<Value, Fault> {
        let text = input.needed(
            "serviceDeploymentArn",
            "serviceDeploymentArn can not be blank.",
        )?;
        match input.text("stopType")? {
            None | Some("ROLLBACK") => {}
            Some(other) => return Err(invalid(format!("Unsupported stop type: {other}."))),
        }
        let missing = || {
            Fault::client(
                "ServiceDeploymentNotFoundException",
                "The service deployment cannot be found.",
            )
        };
        let key = record_key(cx, text, "service-deployment").ok_or_else(missing)?;
        let status = self.records.get(&key).ok_or_else(missing)?.status;
        let service_key = (key.0.clone(), key.1.clone());
        match status {
            RecordStatus::Pending | RecordStatus::InProgress => {
                let service = self
                    .services
                    .get(&service_key)
                    .cloned()
                    .ok_or_else(missing)?;
                self.edit_record(cx, &service, &key.2, |record| {
                    record.status = RecordStatus::RollbackRequested;
                    record.reason = Some("Service deployment rolled back by user.".to_owned());
                });
                self.wake(cx, &service_key);
            }
            status if status.is_over() => {
                return Err(Fault::client(
                    "ConflictException",
                    format!(
                        "The service deployment cannot be stopped because it is in the {} state.",
                        status.name()
                    ),
                ));
            }
            // It is on its way already.
            _ => {}
        }
        Ok(json!({"serviceDeploymentArn": text}))
    }

    /// What a service's records wait for, a second after they were told.
    pub(super) fn move_records(&mut self, cx: &mut Cx<'_>, service: &mut Service) {
        for former in std::mem::take(&mut service.superseded) {
            let why = "Service deployment stopped because a new service deployment was started.";
            self.end_record(cx, service, &former, RecordStatus::Stopped, Some(why));
        }
        let Some(id) = service.record.clone() else {
            return;
        };
        match self.record_status(service, &id) {
            Some(RecordStatus::Pending) => {
                let now = cx.now;
                self.edit_record(cx, service, &id, |record| {
                    record.status = RecordStatus::InProgress;
                    record.started_at = Some(now);
                });
            }
            Some(RecordStatus::RollbackRequested) => self.roll_back_by_hand(cx, service),
            _ => {}
        }
    }
}
