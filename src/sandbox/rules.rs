//! What tasks do, told by rules that a person writes: a JSON list of which the first match wins.
//!
//! ```json
//! [{"when": {"image": "rails/app:bad*"}, "then": {"crash": {"after": "5s", "exitCode": 1}}},
//!  {"when": {"command": "*db:migrate*"}, "then": {"exit": {"after": "8s", "exitCode": 0}},
//!   "log": "== 20260301 AddIndexes: migrating"}]
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::glob::Glob;
use super::span;

/// One rule: a task that matches `when` does `then`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Which tasks it is about; an empty one is about all of them.
    #[serde(default)]
    pub when: Match,
    /// What these tasks do.
    pub then: Behavior,
    /// What the container writes to its log at its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

/// Which containers a rule is about: everything that is given must match.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Match {
    /// Glob over the image as written, and as `repository:tag` (each of its tags) and
    /// `repository@digest`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Glob>,
    /// Glob over the container's command line, its words joined with spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Glob>,
    /// Glob over the task definition's family.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<Glob>,
    /// The container's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Glob over the task's group: `service:NAME` or `family:NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Glob>,
    /// Glob over the stage of a service's deployment: the rule is about that, and about no task. A
    /// deployment of CodeDeploy has its lifecycle events as stages, and that which undoes another one
    /// has `Rollback`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<Glob>,
}

/// What the task of a matching container does. Times count from the start of the container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Behavior {
    /// Runs, and passes its health check from `after` on.
    Healthy {
        /// How long until the health check passes.
        #[serde(default, with = "span")]
        after: Duration,
    },
    /// Exits by itself with a code that is not 0; the same as `exit`, with 1 as the code when
    /// none is given.
    Crash {
        /// How long it runs.
        #[serde(default, with = "span")]
        after: Duration,
        /// The code.
        #[serde(default = "one")]
        exit_code: i32,
    },
    /// Exits by itself, with 0 when no code is given.
    Exit {
        /// How long it runs.
        #[serde(default, with = "span")]
        after: Duration,
        /// The code.
        #[serde(default)]
        exit_code: i32,
    },
    /// The image cannot be pulled: the task stops before the container starts.
    CannotPull {},
    /// Stays PENDING.
    NeverStarts {},
    /// Runs, and fails its health check from `after` on.
    Unhealthy {
        /// How long until the health check fails.
        #[serde(default, with = "span")]
        after: Duration,
    },
    /// What comes of a stage of a deployment.
    Stage(StageBehavior),
    /// The task is placed nowhere: RunTask answers `failures[]`, a service logs an event.
    CannotPlace {
        /// ECS's reason, such as `RESOURCE:CPU`.
        #[serde(default = "no_cpu")]
        reason: String,
    },
}

/// What comes of a stage of a deployment. A rule with `stage` says one of these in `then`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum StageBehavior {
    /// Its Lambda hooks answer this: SUCCEEDED, FAILED, or IN_PROGRESS, again and again.
    Hooks {
        /// The answer.
        status: String,
    },
    /// The deployment fails in it, and is rolled back.
    Fails {
        /// ECS's sentence. One of CodeDeploy's may begin with an error code and a colon:
        /// `ALARM_ACTIVE: ..` stops the deployment.
        reason: String,
    },
    /// It is shown under another name.
    Shows {
        /// The name.
        stage: String,
    },
    /// It takes this long.
    Takes {
        /// How long.
        #[serde(with = "span")]
        after: Duration,
    },
}

fn one() -> i32 {
    1
}

fn no_cpu() -> String {
    "RESOURCE:CPU".to_owned()
}

/// The rules in force.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rules(pub Vec<Rule>);

/// A container of a task, as rules look at it.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    /// The image as the task definition has it.
    pub image: &'a str,
    /// The `repository:tag` names known for the image's digest.
    pub tags: &'a [String],
    /// The digest that the image stands for, where the registry knows it.
    pub digest: Option<&'a str>,
    /// The words of its command line, joined with spaces.
    pub command: String,
    /// The task definition's family.
    pub family: &'a str,
    /// The container's name.
    pub container: &'a str,
    /// The task's group.
    pub group: &'a str,
}

impl Rules {
    /// What the first matching rule says; none matching leaves it to ECS's ordinary ways.
    pub fn behavior(&self, subject: &Subject<'_>) -> Option<Behavior> {
        self.first(subject).map(|rule| rule.then.clone())
    }

    /// What the container writes to its log, as the first matching rule says.
    pub fn log(&self, subject: &Subject<'_>) -> Option<String> {
        self.first(subject)?.log.clone()
    }

    /// What comes of a stage of a deployment of this service, by every rule that matches.
    pub fn stage<'a>(
        &'a self,
        service: &str,
        stage: &'a str,
    ) -> impl Iterator<Item = &'a StageBehavior> {
        let group = format!("service:{service}");
        let rules = self.0.iter().filter(move |rule| {
            let meant = rule.when.stage.as_ref();
            let of = rule.when.group.as_ref();
            meant.is_some_and(|glob| glob.matches(stage))
                && of.is_none_or(|glob| glob.matches(&group))
        });
        rules.filter_map(|rule| match &rule.then {
            Behavior::Stage(found) => Some(found),
            _ => None,
        })
    }

    fn first(&self, subject: &Subject<'_>) -> Option<&Rule> {
        self.0.iter().find(|rule| rule.when.covers(subject))
    }
}

impl Match {
    fn covers(&self, subject: &Subject<'_>) -> bool {
        let holds = |glob: &Option<Glob>, text: &str| glob.as_ref().is_none_or(|g| g.matches(text));
        let of_stage = self.stage.is_some();
        let image = self.image.as_ref();
        !of_stage
            && image.is_none_or(|g| image_matches(g, subject))
            && holds(&self.command, &subject.command)
            && holds(&self.family, subject.family)
            && holds(&self.group, subject.group)
            && self
                .container
                .as_deref()
                .is_none_or(|name| name == subject.container)
    }
}

/// An image has many names: as written, without its registry, by digest, by each of its tags.
fn image_matches(glob: &Glob, subject: &Subject<'_>) -> bool {
    let bare = without_registry(subject.image);
    let by_digest = subject
        .digest
        .map(|digest| format!("{}@{digest}", repository(bare)));
    glob.matches(subject.image)
        || glob.matches(bare)
        || by_digest.is_some_and(|name| glob.matches(&name))
        || subject.tags.iter().any(|name| glob.matches(name))
}

/// `rails/app:1` of `123456789012.dkr.ecr.eu-west-1.amazonaws.com/rails/app:1`.
fn without_registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => rest,
        _ => image,
    }
}

/// `rails/app` of `rails/app:1` and `rails/app@sha256:..`.
fn repository(bare: &str) -> &str {
    let name = bare.split_once('@').map_or(bare, |(name, _)| name);
    name.split_once(':').map_or(name, |(name, _)| name)
}

#[cfg(test)]
mod tests;
