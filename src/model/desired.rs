//! What people want, checked: built once from the wire types, with every default put in.

use std::collections::BTreeMap;
use std::sync::Arc;

use globset::{GlobMatcher, GlobSet};
use jiff::{SignedDuration, Timestamp};
use regex_lite::Regex;
use serde_json::{Map, Value};

use crate::resource::environment::TaskSettings;
use crate::resource::hooks::{HookFailure, HookTrigger, HttpHook, InvalidationHook, LambdaHook};
use crate::resource::image_ref::EcrRepository;
use crate::resource::meta::ReleaseKey;
use crate::resource::release::{
    CodeDeploy, DeletionPolicy, OnFailure, Pin, ReleaseSpec, ScheduleState, TagOrder, TaskOverride,
    Windows,
};
use crate::resource::urls::UrlPattern;

/// One Release in its Environment.
#[derive(Clone, Debug)]
pub struct Desired {
    /// Namespace and name.
    pub key: ReleaseKey,
    /// Identity of the object.
    pub uid: String,
    /// When the object was made; one that only stands in a file is not yet.
    pub created_at: Option<Timestamp>,
    /// Generation of the spec.
    pub generation: u64,
    /// Who applied it.
    pub applier: Option<String>,
    /// Source revision given at apply.
    pub source: Option<String>,
    /// Set when its deletion was asked for.
    pub deleting: Option<Deletion>,
    /// Where it goes.
    pub environment: Environment,
    /// Hash of what people declare, which [`Desired::at_revision`] leaves as it is.
    pub declared: String,
    /// The spec as written.
    pub spec: ReleaseSpec,
    /// Images by name.
    pub images: BTreeMap<String, Image>,
    /// How long a tag may be missing.
    pub image_timeout: SignedDuration,
    /// In order: those before, then those after.
    pub hooks: Vec<Hook>,
    /// The CodePipeline job that waits, and whether anything is to be told to it.
    pub pipeline_job: Option<String>,
    /// In order.
    pub migrations: Vec<Migration>,
    /// In the manifest's order.
    pub services: Vec<Service>,
    /// In the manifest's order.
    pub schedules: Vec<Schedule>,
    /// Name of the Release's schedule group.
    pub schedule_group: String,
    /// Whether orphaned rules are deleted.
    pub prune: bool,
    /// Whether nothing may be changed.
    pub suspend: bool,
    /// When that ends by itself.
    pub suspend_until: Option<Timestamp>,
    /// Whether somebody has to agree to a new revision: the Release or its Environment says so.
    pub approval: bool,
    /// When new revisions may begin: the Environment's, and the Release's own. Both have to allow it.
    pub windows: Vec<Windows>,
    /// Releases that have to be ready first.
    pub requires: Vec<Requirement>,
    /// How many revisions are kept.
    pub history_limit: usize,
    /// What becomes of rules on deletion.
    pub deletion_policy: DeletionPolicy,
    /// Whether drift is corrected.
    pub correct_drift: bool,
    /// How long drift may stand before it is corrected.
    pub drift_grace: SignedDuration,
}

impl Desired {
    /// As it is at this moment: a suspension that ended is none.
    pub fn at(mut self, now: Timestamp) -> Self {
        self.suspend = self.spec.is_suspended(now);
        self.suspend_until = self.suspend_until.filter(|_| self.suspend);
        self
    }
}

/// Another Release that has to be so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The other Release.
    pub release: ReleaseKey,
    /// The generation that has to be Ready, or a later one; the one it declares now when absent.
    pub generation: Option<u64>,
}

/// A deletion that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// Leave everything in AWS as it is and do not even look.
    pub orphan: bool,
    /// When it was asked for.
    pub since: Timestamp,
}

/// The Environment, as far as a plan needs it.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Name.
    pub name: String,
    /// Name of the cluster.
    pub cluster: String,
    /// Region.
    pub region: String,
    /// Account, if it is to be checked.
    pub account: Option<String>,
    /// Whose credentials reach it.
    pub access: Access,
    /// Account, Region and cluster recorded at first use.
    pub recorded: Option<Binding>,
    /// What may be touched.
    pub allow: Allow,
    /// How tasks run whose part does not say it.
    pub tasks: TaskSettings,
    /// Role that EventBridge assumes for schedules that name none.
    pub schedule_role: Option<String>,
}

/// Whose credentials are used in an Environment: evenkeel's own, or those of a role that it assumes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Access {
    /// ARN of the role to assume; none for evenkeel's own credentials.
    pub role_arn: Option<String>,
    /// External id that the role's trust policy asks for.
    pub external_id: Option<String>,
}

/// Where an Environment's Releases went at its first use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Account.
    pub account: String,
    /// Region.
    pub region: String,
    /// Cluster.
    pub cluster: String,
}

/// Compiled globs; `None` allows anything.
#[derive(Clone, Debug, Default)]
pub struct Allow {
    /// ECS service names.
    pub services: Option<GlobSet>,
    /// Families.
    pub families: Option<GlobSet>,
    /// Repositories.
    pub repositories: Option<GlobSet>,
    /// Role ARNs; `None` allows only the base definition's own.
    pub roles: Option<GlobSet>,
    /// Rule names.
    pub rule_names: Option<GlobSet>,
    /// Lambda functions of hooks.
    pub functions: Option<GlobSet>,
    /// CloudFront distributions of hooks.
    pub distributions: Option<GlobSet>,
    /// URLs of hooks; `None` allows any but those of the machine that posts.
    pub urls: Option<Vec<UrlPattern>>,
    /// Secrets of hooks; `None` allows none.
    pub secrets: Option<GlobSet>,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Repository with host.
    pub repository: String,
    /// Which of the repository's images.
    pub pick: Pick,
    /// Whether what the tag points at is followed: a new digest makes a new revision.
    pub follow: bool,
    /// What goes into definitions.
    pub pin: Pin,
    /// The ECR repository, if it is one.
    pub ecr: Option<EcrRepository>,
}

impl Image {
    /// `repository:tag` or `repository@digest`; `repository:/pattern/` as long as no tag is chosen.
    pub fn reference(&self) -> String {
        match &self.pick {
            Pick::One(Wanted::Tag(tag)) => format!("{}:{tag}", self.repository),
            Pick::One(Wanted::Digest(digest)) => format!("{}@{digest}", self.repository),
            Pick::Newest(pattern) => format!("{}:/{}/", self.repository, pattern.text),
        }
    }

    /// Whether a new image in the repository may make a new revision.
    pub fn is_followed(&self) -> bool {
        self.follow || matches!(self.pick, Pick::Newest(_))
    }
}

/// Which of a repository's images is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    /// This one.
    One(Wanted),
    /// The one with the newest of the tags that match.
    Newest(TagPattern),
}

/// Which of a repository's tags is the newest. Compared by what was written.
#[derive(Clone, Debug)]
pub struct TagPattern {
    /// As written.
    pub text: String,
    /// The tags that count.
    pub pattern: Regex,
    /// What makes one newer.
    pub order: TagOrder,
}

impl PartialEq for TagPattern {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.order) == (&other.text, other.order)
    }
}

impl Eq for TagPattern {}

/// A tag or a digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wanted {
    /// A tag, which may move.
    Tag(String),
    /// A digest, which does not.
    Digest(String),
}

/// Where a task definition comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// The newest successful deployment of this ECS service.
    Service(String),
    /// The newest ACTIVE revision of a family that evenkeel did not register.
    Family {
        /// The family.
        family: String,
        /// Only those registered by a principal that matches.
        registered_by: Option<GlobMatcher>,
    },
    /// The manifest holds it.
    Inline {
        /// The family.
        family: String,
        /// RegisterTaskDefinition's input.
        content: Arc<Value>,
    },
}

/// Something that is done before or after everything else.
#[derive(Clone, Debug)]
pub struct Hook {
    /// Name.
    pub name: String,
    /// Whether it is one of those after everything else.
    pub after: bool,
    /// How long it may take.
    pub timeout: SignedDuration,
    /// What its failure does.
    pub on_failure: HookFailure,
    /// Which end of the revision runs it.
    pub on: HookTrigger,
    /// Whether it may run again when its end is unknown.
    pub idempotent: bool,
    /// What is done.
    pub does: HookKind,
}

impl Hook {
    /// `hook/warm-up`.
    pub fn resource(&self) -> String {
        format!("hook/{}", self.name)
    }
}

/// What a hook does.
#[derive(Clone, Debug)]
pub enum HookKind {
    /// Runs a task.
    Task(Box<Migration>),
    /// Invokes a function.
    Lambda(LambdaHook),
    /// Invalidates paths.
    Invalidation(InvalidationHook),
    /// Posts JSON.
    Http(HttpHook),
}

impl HookKind {
    /// As it is declared.
    pub fn as_str(&self) -> &'static str {
        match self {
            HookKind::Task(_) => "ecsTask",
            HookKind::Lambda(_) => "lambda",
            HookKind::Invalidation(_) => "cloudFrontInvalidation",
            HookKind::Http(_) => "http",
        }
    }
}

/// A one-off task that has to end with exit code 0: a migration, or a hook's.
#[derive(Clone, Debug)]
pub struct Migration {
    /// Which of the two.
    pub kind: PartKind,
    /// Name.
    pub name: String,
    /// Base of its definition.
    pub source: Source,
    /// Container -> image name.
    pub images: BTreeMap<String, String>,
    /// RunTask's overrides.
    pub overrides: Option<TaskOverride>,
    /// Placement, merged with the Environment's.
    pub tasks: TaskSettings,
    /// How long it may run.
    pub timeout: SignedDuration,
    /// Whether it may run again when its end is unknown.
    pub idempotent: bool,
    /// Hash of its entry in the manifest, epoch included.
    pub entry: String,
}

/// One service.
#[derive(Clone, Debug)]
pub struct Service {
    /// ECS service name.
    pub name: String,
    /// Base of its definition.
    pub source: Source,
    /// Container -> image name.
    pub images: BTreeMap<String, String>,
    /// Services that go first.
    pub depends_on: Vec<String>,
    /// How long a deployment may take.
    pub timeout: SignedDuration,
    /// What its failure does to the release.
    pub on_failure: OnFailure,
    /// Under Hold: whether ECS may roll it back by itself.
    pub breaker_may_roll_back: bool,
    /// How long it has to stay steady before it counts.
    pub bake: SignedDuration,
    /// CloudWatch alarms that have to be quiet until then.
    pub alarms: Vec<String>,
    /// What is declared of the ECS service itself.
    pub settings: Settings,
    /// How CodeDeploy releases it, where its deployment controller is CODE_DEPLOY.
    pub code_deploy: Option<CodeDeploy>,
}

/// What is declared of an ECS service beside what it runs. What is absent is never changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// How many tasks.
    pub desired_count: Option<u32>,
    /// Members of its deploymentConfiguration, as ECS has them.
    pub deployment: Map<String, Value>,
}

/// One schedule.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Name.
    pub name: String,
    /// Rule name; what `allow.ruleNames` is about with either backend.
    pub rule: String,
    /// What fires it, where that is no rule.
    pub scheduler: Option<SchedulerSettings>,
    /// `cron(...)`, `rate(...)` or `at(...)`.
    pub expression: String,
    /// Whether it fires.
    pub state: ScheduleState,
    /// Description, if declared.
    pub description: Option<String>,
    /// Whether a stranger's rule of that name is taken over.
    pub adopt: bool,
    /// Base of its definition.
    pub source: Source,
    /// Container -> image name.
    pub images: BTreeMap<String, String>,
    /// Overrides of the task.
    pub overrides: Option<TaskOverride>,
    /// Placement, merged with the Environment's.
    pub tasks: TaskSettings,
    /// Tasks a firing.
    pub task_count: u32,
    /// Role that EventBridge assumes.
    pub role_arn: Option<String>,
    /// SQS queue of what could not be started, if declared.
    pub dead_letters: Option<String>,
    /// How old a firing may become, in seconds, if declared.
    pub event_age: Option<i64>,
    /// How often its start is tried again, if declared.
    pub retries: Option<u32>,
    /// Whether an existing rule is left as it stands but for the definition that its target runs.
    pub only_definition: bool,
}

/// What is declared of a schedule of EventBridge Scheduler beside what rules know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchedulerSettings {
    /// IANA name of the zone of its expression.
    pub time_zone: String,
    /// Within how many minutes after its time it may be started; 0 for at its time.
    pub window: i64,
    /// From when on it fires, if declared.
    pub start: Option<Timestamp>,
    /// Until when it fires, if declared.
    pub end: Option<Timestamp>,
}

/// A part of a Release that runs a task definition.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// `migration/db`, `service/app`, `schedule/nightly` without the kind.
    pub kind: PartKind,
    /// Name.
    pub name: &'a str,
    /// Base of its definition.
    pub source: &'a Source,
    /// Container -> image name.
    pub images: &'a BTreeMap<String, String>,
}

/// The kinds of parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// A hook that runs a task.
    Hook,
    /// A migration.
    Migration,
    /// A service.
    Service,
    /// A schedule.
    Schedule,
}

impl Part<'_> {
    /// `migration/db`, `service/app`, `schedule/nightly`.
    pub fn resource(&self) -> String {
        self.kind.resource(self.name)
    }
}

impl PartKind {
    /// `migration/db`, `service/app`, `schedule/nightly`, `hook/warm-up`.
    pub fn resource(self, name: &str) -> String {
        let kind = match self {
            PartKind::Hook => "hook",
            PartKind::Migration => "migration",
            PartKind::Service => "service",
            PartKind::Schedule => "schedule",
        };
        format!("{kind}/{name}")
    }
}

impl Migration {
    /// `migration/db`, or `hook/warm-up`.
    pub fn resource(&self) -> String {
        self.kind.resource(&self.name)
    }
}

impl Desired {
    /// Those of the hooks that run a task.
    pub fn hook_tasks(&self) -> impl Iterator<Item = &Migration> {
        self.hooks.iter().filter_map(|hook| match &hook.does {
            HookKind::Task(task) => Some(&**task),
            HookKind::Lambda(_) | HookKind::Invalidation(_) | HookKind::Http(_) => None,
        })
    }

    /// Schedules that are rules.
    pub fn rules(&self) -> impl Iterator<Item = &Schedule> {
        let schedules = self.schedules.iter();
        schedules.filter(|schedule| schedule.scheduler.is_none())
    }

    /// Schedules of EventBridge Scheduler.
    pub fn scheduled(&self) -> impl Iterator<Item = &Schedule> {
        let schedules = self.schedules.iter();
        schedules.filter(|schedule| schedule.scheduler.is_some())
    }

    /// Every part that runs a task definition, hooks and migrations first, schedules last.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let tasks = self.hook_tasks().chain(&self.migrations);
        let tasks = tasks.map(|part| Part {
            kind: part.kind,
            name: &part.name,
            source: &part.source,
            images: &part.images,
        });
        let services = self.services.iter().map(|part| Part {
            kind: PartKind::Service,
            name: &part.name,
            source: &part.source,
            images: &part.images,
        });
        let schedules = self.schedules.iter().map(|part| Part {
            kind: PartKind::Schedule,
            name: &part.name,
            source: &part.source,
            images: &part.images,
        });
        tasks.chain(services).chain(schedules)
    }
}
