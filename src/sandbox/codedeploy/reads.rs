//! Reading deployments. Writes may stay invisible for a while, as the settings say.

use std::cmp::Reverse;

use serde_json::{Value, json};

use super::super::cx::Cx;
use super::super::fault::Fault;
use super::super::json::{Object, epoch, page, text, texts};
use super::applications::{bad_token, with_next};
use super::deployment::{Deployment, STATUSES};
use super::{CodeDeploy, needed, views};

/// ListDeployments answers so many at a time.
const PAGE: usize = 100;
/// So many deployments or targets can be asked for at a time.
const MOST: usize = 25;

/// The id of the deployment that a call is about.
pub(super) fn id_of(input: &Object) -> Result<&str, Fault> {
    let code = "DeploymentIdRequiredException";
    let id = needed(input, "deploymentId", code, "Deployment id is missing")?;
    checked(id)
}

fn checked(id: &str) -> Result<&str, Fault> {
    let digits = id.strip_prefix("d-").filter(|digits| digits.len() == 9);
    let digit = |it: u8| it.is_ascii_uppercase() || it.is_ascii_digit();
    match digits.is_some_and(|digits| digits.bytes().all(digit)) {
        true => Ok(id),
        false => Err(Fault::client(
            "InvalidDeploymentIdException",
            format!("The deployment id {id} is in an invalid format"),
        )),
    }
}

/// There is no deployment of that id.
pub(super) fn missing(id: &str) -> Fault {
    Fault::client(
        "DeploymentDoesNotExistException",
        format!("The deployment {id} could not be found"),
    )
}

impl CodeDeploy {
    fn seen(&self, cx: &Cx<'_>, id: &str) -> Option<&Deployment> {
        self.deployments.get(id)?.visible(cx)
    }

    pub(super) fn get_deployment(&self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let id = id_of(input)?;
        let found = self.seen(cx, id).ok_or_else(|| missing(id))?;
        Ok(json!({ "deploymentInfo": views::info(found) }))
    }

    /// Those that do not exist are left out.
    pub(super) fn get_deployments(&self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let ids = texts(input, "deploymentIds");
        if ids.is_empty() {
            let code = "DeploymentIdRequiredException";
            return Err(Fault::client(code, "Deployment id is missing"));
        }
        if ids.len() > MOST {
            return Err(Fault::client(
                "BatchLimitExceededException",
                "More than 25 deployments are asked for",
            ));
        }
        let mut infos = Vec::new();
        for id in ids {
            infos.extend(self.seen(cx, checked(id)?).map(views::info));
        }
        Ok(json!({ "deploymentsInfo": infos }))
    }

    /// Newest first.
    pub(super) fn list_deployments(&self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let given = |member: &str| text(input, member).is_some();
        let key = match (given("applicationName"), given("deploymentGroupName")) {
            (false, false) => None,
            _ => Some(self.group(input)?.0),
        };
        let statuses = texts(input, "includeOnlyStatuses");
        if let Some(unknown) = statuses.iter().find(|it| !STATUSES.contains(it)) {
            return Err(Fault::client(
                "InvalidDeploymentStatusException",
                format!("{unknown} is no deployment status"),
            ));
        }
        let range = input.get("createTimeRange").unwrap_or(&Value::Null);
        let (start, end) = (range["start"].as_f64(), range["end"].as_f64());
        if start.zip(end).is_some_and(|(start, end)| start > end) {
            return Err(Fault::client(
                "InvalidTimeRangeException",
                "The time range ends before it starts",
            ));
        }
        let wanted = |it: &&Deployment| {
            let created = epoch(it.created).as_f64().unwrap_or_default();
            let ours = key.as_ref();
            ours.is_none_or(|key| it.application == key.0 && it.group == key.1)
                && (statuses.is_empty() || statuses.contains(&it.status.name()))
                && start.is_none_or(|start| created >= start)
                && end.is_none_or(|end| created <= end)
        };
        let all = self.deployments.values().filter_map(|it| it.visible(cx));
        let mut found: Vec<&Deployment> = all.filter(wanted).collect();
        found.sort_by_key(|it| Reverse(it.serial));
        // Ordered by keys that fall as the serial rises.
        let rows = found
            .iter()
            .map(|it| (format!("{:020}", u64::MAX - it.serial), it.id.clone()));
        let page = page(rows, text(input, "nextToken"), PAGE, bad_token)?;
        Ok(with_next(json!({ "deployments": page.items }), page.next))
    }

    /// The deployment whose targets a call is about.
    fn targeted(&self, cx: &Cx<'_>, input: &Object) -> Result<&Deployment, Fault> {
        let id = id_of(input)?;
        let found = self.seen(cx, id).ok_or_else(|| missing(id))?;
        match found.status.has_started() {
            true => Ok(found),
            false => Err(Fault::client(
                "DeploymentNotStartedException",
                format!("The deployment {id} has not started"),
            )),
        }
    }

    pub(super) fn list_targets(&self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let found = self.targeted(cx, input)?;
        Ok(json!({ "targetIds": [found.target()] }))
    }

    pub(super) fn get_target(&self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let code = "DeploymentTargetIdRequiredException";
        let target = needed(input, "targetId", code, "A deployment target id is missing")?;
        let found = self.targeted(cx, input)?;
        is_target(found, target)?;
        Ok(json!({ "deploymentTarget": views::target(cx, found) }))
    }

    pub(super) fn get_targets(&self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let targets = texts(input, "targetIds");
        if targets.is_empty() {
            return Err(Fault::client(
                "DeploymentTargetIdRequiredException",
                "A deployment target id is missing",
            ));
        }
        if targets.len() > MOST {
            return Err(Fault::client(
                "DeploymentTargetListSizeExceededException",
                "More than 25 deployment targets are asked for",
            ));
        }
        let found = self.targeted(cx, input)?;
        for target in &targets {
            is_target(found, target)?;
        }
        let views: Vec<Value> = targets.iter().map(|_| views::target(cx, found)).collect();
        Ok(json!({ "deploymentTargets": views }))
    }
}

fn is_target(deployment: &Deployment, target: &str) -> Result<(), Fault> {
    match deployment.target() == target {
        true => Ok(()),
        false => Err(Fault::client(
            "DeploymentTargetDoesNotExistException",
            format!("The deployment {} has no target {target}", deployment.id),
        )),
    }
}
