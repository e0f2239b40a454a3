//! Deployment groups: a service of ECS, and how it is deployed to.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::cx::Cx;
use super::super::ecs::Ecs;
use super::super::fault::Fault;
use super::super::json::{Object, epoch, page, text, texts, without_nulls};
use super::applications::{bad_token, with_next};
use super::deployment::{Deployment, Revision};
use super::{CodeDeploy, checks, needed};

const PAGE: usize = 100;
/// So many groups can be asked for at a time.
const MOST: usize = 100;

/// A deployment group.
pub(super) struct Group {
    id: String,
    /// As GetDeploymentGroup shows them.
    pub members: Arc<Object>,
    /// Cluster and name of its service.
    pub place: (String, String),
    /// The newest deployment that succeeded.
    successful: Option<Last>,
    /// The newest deployment that is over, however it ended.
    attempted: Option<Last>,
}

/// A deployment that is over.
#[derive(Clone)]
struct Last {
    id: String,
    status: &'static str,
    created: Timestamp,
    ended: Option<Timestamp>,
    revision: Option<Revision>,
}

impl Last {
    fn view(&self) -> Value {
        json!({
            "deploymentId": self.id,
            "status": self.status,
            "createTime": epoch(self.created),
            "endTime": self.ended.map(epoch),
        })
    }
}

impl Group {
    /// What was deployed last.
    pub fn revision(&self) -> Option<&Revision> {
        self.successful.as_ref()?.revision.as_ref()
    }

    /// Takes note of a deployment that is over.
    pub fn note(&mut self, deployment: &Deployment, succeeded: bool) {
        let last = Last {
            id: deployment.id.clone(),
            status: deployment.status.name(),
            created: deployment.created,
            ended: deployment.completed,
            revision: deployment.revision.clone(),
        };
        if succeeded {
            self.successful = Some(last.clone());
        }
        self.attempted = Some(last);
    }

    fn view(&self) -> Value {
        let mut view = (*self.members).clone();
        for (name, value) in [
            ("deploymentGroupId", json!(self.id)),
            ("computePlatform", json!("ECS")),
            ("ec2TagFilters", json!([])),
            ("onPremisesInstanceTagFilters", json!([])),
            ("autoScalingGroups", json!([])),
            ("targetRevision", json!(self.revision().map(Revision::view))),
            (
                "lastSuccessfulDeployment",
                json!(self.successful.as_ref().map(Last::view)),
            ),
            (
                "lastAttemptedDeployment",
                json!(self.attempted.as_ref().map(Last::view)),
            ),
        ] {
            view.insert(name.to_owned(), value);
        }
        Value::Object(without_nulls(&view))
    }
}

fn named<'a>(input: &'a Object, member: &str) -> Result<&'a str, Fault> {
    let code = "DeploymentGroupNameRequiredException";
    needed(input, member, code, "Deployment group name is missing")
}

fn missing(name: &str) -> Fault {
    Fault::client(
        "DeploymentGroupDoesNotExistException",
        format!("No Deployment Group found for name: {name}"),
    )
}

impl CodeDeploy {
    pub(super) fn create_group(
        &mut self,
        cx: &mut Cx<'_>,
        ecs: &Ecs,
        input: &Object,
    ) -> Result<Value, Fault> {
        let (application, for_ecs) = self.application(input)?;
        let name = named(input, "deploymentGroupName")?;
        let key = (application.to_owned(), name.to_owned());
        if self.groups.contains_key(&key) {
            return Err(Fault::client(
                "DeploymentGroupAlreadyExistsException",
                format!("Deployment group name already exists: {name}"),
            ));
        }
        if !for_ecs {
            return Err(Fault::client(
                "InvalidInputException",
                "The sandbox deploys for applications of the compute platform ECS only",
            ));
        }
        let mut members = without_nulls(input);
        members.shift_remove("tags");
        let members = checks::whole(members)?;
        let place = self.place(ecs, &members, &key)?;
        let id = cx.ids.uuid();
        let made = Group {
            id: id.clone(),
            members: Arc::new(members),
            place,
            successful: None,
            attempted: None,
        };
        self.groups.insert(key, made);
        Ok(json!({ "deploymentGroupId": id }))
    }

    /// What the call leaves out stays as it is. A deployment that is under way keeps to what it
    /// began with.
    pub(super) fn update_group(&mut self, ecs: &Ecs, input: &Object) -> Result<Value, Fault> {
        let (application, _) = self.application(input)?;
        let name = named(input, "currentDeploymentGroupName")?;
        let key = (application.to_owned(), name.to_owned());
        let group = self.groups.get(&key).ok_or_else(|| missing(name))?;
        let mut members = (*group.members).clone();
        let mut given = without_nulls(input);
        for of_the_call in ["currentDeploymentGroupName", "newDeploymentGroupName"] {
            given.shift_remove(of_the_call);
        }
        members.extend(given);
        let members = checks::whole(members)?;
        let place = self.place(ecs, &members, &key)?;
        if let Some(group) = self.groups.get_mut(&key) {
            group.members = Arc::new(members);
            group.place = place;
        }
        Ok(json!({ "hooksNotCleanedUp": [] }))
    }

    /// The service of a group: it must be CodeDeploy's, and no other group's.
    fn place(
        &self,
        ecs: &Ecs,
        members: &Object,
        key: &(String, String),
    ) -> Result<(String, String), Fault> {
        let place = checks::place(members)?;
        is_released(ecs, &place)?;
        let taken = |(of, group): (&(String, String), &Group)| of != key && group.place == place;
        match self.groups.iter().any(taken) {
            true => Err(Fault::client(
                "ECSServiceMappingLimitExceededException",
                "The Amazon ECS service is associated with another deployment group",
            )),
            false => Ok(place),
        }
    }

    /// The group that a call is about, and its application.
    pub(super) fn group(&self, input: &Object) -> Result<((String, String), &Group), Fault> {
        let (application, _) = self.application(input)?;
        let name = named(input, "deploymentGroupName")?;
        let key = (application.to_owned(), name.to_owned());
        let found = self.groups.get(&key).ok_or_else(|| missing(name))?;
        Ok((key, found))
    }

    pub(super) fn get_group(&self, input: &Object) -> Result<Value, Fault> {
        let (_, group) = self.group(input)?;
        Ok(json!({ "deploymentGroupInfo": group.view() }))
    }

    pub(super) fn get_groups(&self, input: &Object) -> Result<Value, Fault> {
        let (application, _) = self.application(input)?;
        let names = texts(input, "deploymentGroupNames");
        if names.len() > MOST {
            return Err(Fault::client(
                "BatchLimitExceededException",
                "Too many deployment groups are asked for",
            ));
        }
        let key = |name: &str| (application.to_owned(), name.to_owned());
        let found = names.iter().filter_map(|name| self.groups.get(&key(name)));
        let found: Vec<Value> = found.map(Group::view).collect();
        Ok(json!({ "deploymentGroupsInfo": found }))
    }

    pub(super) fn list_groups(&self, input: &Object) -> Result<Value, Fault> {
        let (application, _) = self.application(input)?;
        let names = self.groups.keys().filter(|(of, _)| of == application);
        let names = names.map(|(_, name)| (name.clone(), name.clone()));
        let page = page(names, text(input, "nextToken"), PAGE, bad_token)?;
        let answer = json!({ "applicationName": application, "deploymentGroups": page.items });
        Ok(with_next(answer, page.next))
    }

    pub(super) fn delete_group(&mut self, input: &Object) -> Result<Value, Fault> {
        let name = named(input, "deploymentGroupName")?;
        let application = super::applications::named(input)?;
        let key = (application.to_owned(), name.to_owned());
        self.groups.remove(&key);
        Ok(json!({ "hooksNotCleanedUp": [] }))
    }
}

/// Whether there is such a service, and it is CodeDeploy's to release.
pub(super) fn is_released(ecs: &Ecs, place: &(String, String)) -> Result<(), Fault> {
    let refuse = |message: String| Err(Fault::client("InvalidECSServiceException", message));
    match ecs.is_for_code_deploy(place) {
        Some(true) => Ok(()),
        Some(false) => refuse(
            "Deployment group's ECS service must be configured for a CODE_DEPLOY deployment controller."
                .to_owned(),
        ),
        None => refuse(format!(
            "Could not load ECS service information for cluster: {}, service: {}. Cause: Service not found.",
            place.0, place.1
        )),
    }
}
