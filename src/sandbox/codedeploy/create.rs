//! CreateDeployment, and the revisions that come with it.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::super::cx::Cx;
use super::super::delayed::Delayed;
use super::super::ecs::Ecs;
use super::super::fault::Fault;
use super::super::json::{Object, epoch, text};
use super::deployment::{Deployment, Revision, Status, events, steps};
use super::{CodeDeploy, appspec, checks, groups};

/// Digits of deployment ids.
const DIGITS: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// A revision as an application knows it.
pub(super) struct Registered {
    revision: Revision,
    first: Timestamp,
    last: Timestamp,
}

/// A new deployment id: `d-` and nine letters and digits.
pub(super) fn new_id(cx: &mut Cx<'_>) -> String {
    let drawn = cx.ids.hex(18);
    let pairs = drawn.as_bytes().chunks(2);
    let digits = pairs.map(|pair| {
        let pair = std::str::from_utf8(pair).unwrap_or_default();
        let drawn = usize::from_str_radix(pair, 16).unwrap_or_default();
        char::from(DIGITS[drawn % DIGITS.len()])
    });
    format!("d-{}", digits.collect::<String>())
}

impl CodeDeploy {
    pub(super) fn create_deployment(
        &mut self,
        cx: &mut Cx<'_>,
        ecs: &Ecs,
        input: &Object,
    ) -> Result<Value, Fault> {
        let (key, group) = self.group(input)?;
        let revision = revision(input)?;
        let mut settings = (*group.members).clone();
        if let Some(given) = text(input, "deploymentConfigName") {
            checks::config(given)?;
            settings.insert("deploymentConfigName".to_owned(), given.into());
        }
        let given = input.get("autoRollbackConfiguration");
        if let Some(given) = given.filter(|it| !it.is_null()) {
            let given = checks::auto_rollback(given)?;
            settings.insert("autoRollbackConfiguration".to_owned(), given);
        }
        groups::is_released(ecs, &group.place)?;
        let (place, previous) = (group.place.clone(), group.revision().cloned());
        if let Some(id) = self.active_of(&key) {
            return Err(Fault::client(
                "DeploymentLimitExceededException",
                format!(
                    "The Deployment Group '{}' already has an active Deployment '{id}'",
                    key.1
                ),
            ));
        }
        // What is wrong with an AppSpec shows when the deployment begins.
        let hooks =
            appspec::read(&revision.content).map_or_else(|_| Default::default(), |it| it.hooks);
        let steps = steps(&settings, &hooks);
        self.register(cx, &key.0, &revision);
        let config = text(&settings, "deploymentConfigName").unwrap_or_default();
        let deployment = Deployment {
            config: config.to_owned(),
            description: text(input, "description").map(str::to_owned),
            revision: Some(revision),
            previous,
            events: events(&steps, &hooks),
            steps,
            ..self.blank(cx, key, place, Arc::new(settings))
        };
        let id = deployment.id.clone();
        self.begin(cx, deployment);
        Ok(json!({ "deploymentId": id }))
    }

    /// A deployment of which little is said yet.
    pub(super) fn blank(
        &mut self,
        cx: &mut Cx<'_>,
        (application, group): (String, String),
        place: (String, String),
        settings: Arc<Object>,
    ) -> Deployment {
        self.made += 1;
        Deployment {
            id: new_id(cx),
            serial: self.made,
            application,
            group,
            config: String::new(),
            revision: None,
            previous: None,
            description: None,
            settings,
            place,
            status: Status::Created,
            error: None,
            created: cx.now,
            started: None,
            completed: None,
            updated: cx.now,
            undoes: None,
            undone_by: None,
            steps: Vec::new(),
            at: 0,
            since: cx.now,
            events: Vec::new(),
            blue: None,
            green: None,
            weight: 0.0,
            sets: Vec::new(),
            terminating: false,
            goes_on: false,
            stop: None,
        }
    }

    /// Lets a deployment begin, a moment later.
    pub(super) fn begin(&mut self, cx: &Cx<'_>, deployment: Deployment) {
        let at = super::run::queued_at(&deployment);
        self.active.insert(deployment.id.clone(), Some(at));
        self.keep(cx, deployment);
    }

    /// The deployment of a group that is under way.
    fn active_of(&self, key: &(String, String)) -> Option<&str> {
        let all = self.active.keys().filter_map(|id| self.deployments.get(id));
        let mut all = all.filter_map(Delayed::latest);
        let found = all.find(|it| it.application == key.0 && it.group == key.1)?;
        Some(&found.id)
    }

    fn register(&mut self, cx: &Cx<'_>, application: &str, revision: &Revision) {
        let key = (application.to_owned(), revision.sha256.clone());
        let known = self.revisions.entry(key).or_insert_with(|| Registered {
            revision: revision.clone(),
            first: cx.now,
            last: cx.now,
        });
        known.last = cx.now;
    }

    /// The only call that tells what an AppSpec holds.
    pub(super) fn get_revision(&self, input: &Object) -> Result<Value, Fault> {
        let (application, _) = self.application(input)?;
        let asked = input.get("revision").filter(|it| !it.is_null());
        let asked = asked.ok_or_else(no_revision)?;
        let kind = asked["revisionType"].as_str().unwrap_or_default();
        let hash = asked[Revision::member(kind)]["sha256"].as_str();
        let key = (application.to_owned(), hash.unwrap_or_default().to_owned());
        let Some(found) = self.revisions.get(&key) else {
            return Err(Fault::client(
                "RevisionDoesNotExistException",
                "The named revision does not exist with the user or AWS account",
            ));
        };
        let mut view = found.revision.view();
        let member = Revision::member(found.revision.kind);
        view[member]["content"] = json!(&*found.revision.content);
        Ok(json!({
            "applicationName": application,
            "revision": view,
            "revisionInfo": {
                "firstUsedTime": epoch(found.first),
                "lastUsedTime": epoch(found.last),
                "registerTime": epoch(found.first),
            },
        }))
    }
}

fn no_revision() -> Fault {
    Fault::client(
        "RevisionRequiredException",
        "RevisionLocation must be specified",
    )
}

/// The revision of a call.
fn revision(input: &Object) -> Result<Revision, Fault> {
    let given = input.get("revision").filter(|it| !it.is_null());
    let given = given.ok_or_else(no_revision)?;
    let refuse = |message: &str| Fault::client("InvalidRevisionException", message);
    let kind = match given["revisionType"].as_str() {
        Some("AppSpecContent") => "AppSpecContent",
        Some("String") => "String",
        Some("S3" | "GitHub") => {
            return Err(refuse(
                "The sandbox has neither S3 nor GitHub: give the AppSpec with the call",
            ));
        }
        _ => return Err(refuse("The revision has no revisionType")),
    };
    let given = &given[Revision::member(kind)];
    let content = given["content"].as_str().filter(|text| !text.is_empty());
    let content = content.ok_or_else(|| refuse("The revision has no content"))?;
    let hash = Sha256::digest(content.as_bytes());
    let sha256: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    match given["sha256"].as_str() {
        Some(told) if !told.eq_ignore_ascii_case(&sha256) => Err(refuse(
            "The SHA256 hash of the content is another one than the revision says",
        )),
        _ => Ok(Revision {
            kind,
            content: content.into(),
            sha256,
        }),
    }
}
