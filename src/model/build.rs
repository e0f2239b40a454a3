//! Wire types become checked data, once, with every default put in.

mod at;
mod hooks;

use std::sync::Arc;

use globset::{Glob, GlobSet, GlobSetBuilder};
use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use super::desired::{
    Access, Allow, Binding, Deletion, Desired, Environment, Image, Migration, PartKind, Pick,
    Requirement, Schedule, SchedulerSettings, Service, Settings, Source, TagPattern, Wanted,
};
use super::hash;
use crate::resource::duration::Span;
use crate::resource::environment::{
    DriftAction, EnvironmentSpec, EnvironmentStatus, ImageRule, TaskSettings, cluster_name,
};
use crate::resource::meta::{self, ReleaseKey};
use crate::resource::path::FieldPath;
use crate::resource::problem::FieldError;
use crate::resource::release::{
    self, AtLeast, DeletionPolicy, Pin, ScheduleBackend, ScheduleState, Strategy,
    TaskDefinitionSource,
};
use crate::resource::urls::UrlPattern;
use crate::resource::{cron, image_ref, patterns, validate};

const IMAGE_TIMEOUT: SignedDuration = SignedDuration::from_mins(10);
const MIGRATION_TIMEOUT: SignedDuration = SignedDuration::from_hours(1);
const ROLLOUT_TIMEOUT: SignedDuration = SignedDuration::from_mins(30);
const HISTORY_LIMIT: usize = 10;

/// What the table knows of a Release beside the object itself.
#[derive(Clone, Debug, Default)]
pub struct Provenance {
    /// Set when its deletion was asked for.
    pub deleting: Option<Deletion>,
    /// Who applied it last.
    pub applier: Option<String>,
    /// Source revision given at apply.
    pub source: Option<String>,
}

/// Checks a Release and its Environment and puts the defaults in.
///
/// # Errors
/// Every error of both, as validation words them.
pub fn desired(
    release: &meta::Release,
    environment: &meta::Environment,
    provenance: Provenance,
) -> Result<Desired, Vec<FieldError>> {
    let mut errors = validate::release(release);
    errors.extend(validate::environment(environment));
    let spec = &release.spec;
    let key = release.release_key();
    let place = place(environment);
    let migrations = spec
        .migrations
        .iter()
        .map(|found| migration(found, &place.tasks))
        .collect();
    let services = spec.services.iter().map(service).collect();
    let schedules: Vec<Schedule> = spec
        .schedules
        .iter()
        .map(|found| schedule(&key, found, &place))
        .collect();
    roles_of_schedules(&schedules, &mut errors);
    queues_of_schedules(&schedules, &place.region, &mut errors);
    // Whatever it says, it can be deleted.
    if !errors.is_empty() && provenance.deleting.is_none() {
        return Err(errors);
    }
    let own = spec.drift.as_ref();
    let general = environment.spec.drift.as_ref();
    let policy = own
        .and_then(|drift| drift.policy)
        .or_else(|| general?.policy);
    let grace = own
        .and_then(|drift| drift.after.as_ref())
        .or_else(|| general?.after.as_ref());
    Ok(Desired {
        schedule_group: schedule_group(&key),
        key,
        uid: release.metadata.uid.clone().unwrap_or_default(),
        created_at: release.metadata.creation_timestamp,
        generation: release.metadata.generation.unwrap_or_default(),
        applier: provenance.applier,
        source: provenance.source,
        deleting: provenance.deleting,
        hooks: hooks::all(&spec.hooks, &place.tasks),
        pipeline_job: hooks::pipeline_job(release),
        environment: place,
        declared: hash::of_spec(spec),
        spec: spec.clone(),
        images: spec
            .images
            .iter()
            .map(|(name, found)| {
                let ruled = is_ruled(&environment.spec.image_rules, release, name, found);
                (name.clone(), image(found, ruled))
            })
            .collect(),
        image_timeout: length(spec.image_timeout.as_ref(), IMAGE_TIMEOUT),
        migrations,
        services,
        schedules,
        prune: spec.prune.unwrap_or(true),
        suspend: spec.suspend.unwrap_or(false),
        suspend_until: spec.suspend_until,
        approval: spec.approval.is_some() || environment.spec.approval.is_some(),
        windows: [&environment.spec.windows, &spec.windows]
            .into_iter()
            .flatten()
            .cloned()
            .collect(),
        requires: spec
            .requires
            .iter()
            .map(|found| requirement(found, release))
            .collect(),
        history_limit: spec
            .revision_history_limit
            .map_or(HISTORY_LIMIT, |limit| limit as usize),
        deletion_policy: spec.deletion_policy.unwrap_or(DeletionPolicy::Orphan),
        correct_drift: policy != Some(DriftAction::Report),
        drift_grace: length(grace, SignedDuration::ZERO),
    })
}

fn length(span: Option<&Span>, default: SignedDuration) -> SignedDuration {
    span.map_or(default, Span::length)
}

fn place(environment: &meta::Environment) -> Environment {
    let spec = &environment.spec;
    let of_cluster = || spec.cluster.split(':').nth(4).map(str::to_owned);
    Environment {
        name: environment.metadata.name.clone(),
        cluster: cluster_name(&spec.cluster).to_owned(),
        region: spec.region.clone(),
        account: spec.account.clone().or_else(of_cluster),
        access: Access {
            role_arn: spec.role_arn.clone(),
            external_id: spec.external_id.clone(),
        },
        recorded: environment.status.as_ref().and_then(recorded),
        allow: allow(spec),
        tasks: spec.tasks.clone().unwrap_or_default(),
        schedule_role: spec
            .schedules
            .as_ref()
            .and_then(|found| found.role_arn.clone()),
    }
}

fn recorded(status: &EnvironmentStatus) -> Option<Binding> {
    Some(Binding {
        account: status.account.clone()?,
        region: status.region.clone()?,
        cluster: cluster_name(status.cluster.as_deref()?).to_owned(),
    })
}

fn allow(spec: &EnvironmentSpec) -> Allow {
    let lists = spec.allow.clone().unwrap_or_default();
    Allow {
        services: globs(lists.services),
        families: globs(lists.families),
        repositories: globs(lists.repositories),
        roles: globs(lists.roles),
        rule_names: globs(lists.rule_names),
        functions: globs(lists.functions),
        distributions: globs(lists.distributions),
        urls: urls(lists.urls),
        secrets: globs(lists.secrets),
    }
}

/// A glob that does not compile was refused by validation; were it let through, the list would
/// allow less, never more.
fn globs(patterns: Option<Vec<String>>) -> Option<GlobSet> {
    let mut builder = GlobSetBuilder::new();
    for glob in patterns?
        .iter()
        .filter_map(|pattern| Glob::new(pattern).ok())
    {
        builder.add(glob);
    }
    Some(builder.build().unwrap_or_else(|_| GlobSet::empty()))
}

/// As [`globs`], of patterns whose parts stand for no more than the same part of a URL.
fn urls(patterns: Option<Vec<String>>) -> Option<Vec<UrlPattern>> {
    let patterns = patterns?;
    let read = patterns.iter().filter_map(|text| UrlPattern::parse(text));
    Some(read.collect())
}

fn requirement(found: &release::Requirement, release: &meta::Release) -> Requirement {
    Requirement {
        release: validate::required(found, release),
        generation: match found.at_least {
            Some(AtLeast::Generation(generation)) => Some(generation),
            Some(AtLeast::State(_)) | None => None,
        },
    }
}

/// Whether a rule of the Environment follows an image.
fn is_ruled(
    rules: &[ImageRule],
    release: &meta::Release,
    name: &str,
    image: &release::Image,
) -> bool {
    let Some(ecr) = image_ref::ecr_host(&image.repository) else {
        return false;
    };
    let meant = (release.metadata.name.as_str(), name);
    rules.iter().any(|rule| {
        let found = rule.applied(&ecr.name);
        found.is_some_and(|(release, image)| (release.as_str(), image.as_str()) == meant)
    })
}

fn image(image: &release::Image, ruled: bool) -> Image {
    let ecr = image_ref::ecr_host(&image.repository);
    let pick = pick(image);
    let is_digest = matches!(pick, Pick::One(Wanted::Digest(_)));
    let pin = image.pin.unwrap_or(match ecr.is_some() || is_digest {
        true => Pin::Digest,
        false => Pin::Tag,
    });
    // A digest stands still, whatever a rule says, and what is run by its tag would be the same
    // definition again.
    let moves = matches!(pick, Pick::One(Wanted::Tag(_))) && pin == Pin::Digest && ecr.is_some();
    Image {
        repository: image.repository.clone(),
        follow: moves && image.follow.unwrap_or(ruled),
        pick,
        pin,
        ecr,
    }
}

/// A pattern that does not compile was refused by validation.
fn pick(image: &release::Image) -> Pick {
    let compiled = |text: &String| Some((text.clone(), patterns::whole(text).ok()?));
    if let Some((text, pattern)) = image.tag_pattern.as_ref().and_then(compiled) {
        return Pick::Newest(TagPattern {
            text,
            pattern,
            order: image.order.unwrap_or_default(),
        });
    }
    Pick::One(match (&image.digest, &image.tag) {
        (Some(digest), _) => Wanted::Digest(digest.clone()),
        (None, tag) => Wanted::Tag(tag.clone().unwrap_or_default()),
    })
}

fn source(source: &TaskDefinitionSource) -> Source {
    if let Some(content) = &source.inline {
        let family = content
            .get("family")
            .and_then(Value::as_str)
            .unwrap_or_default();
        return Source::Inline {
            family: family.to_owned(),
            content: Arc::new(Value::Object(content.clone())),
        };
    }
    if let Some(family) = &source.family {
        let pattern = source.registered_by.as_ref();
        let registered_by = pattern.and_then(|pattern| Glob::new(pattern).ok());
        return Source::Family {
            family: family.clone(),
            registered_by: registered_by.map(|glob| glob.compile_matcher()),
        };
    }
    Source::Service(source.service.clone().unwrap_or_default())
}

fn migration(migration: &release::Migration, defaults: &TaskSettings) -> Migration {
    Migration {
        kind: PartKind::Migration,
        name: migration.name.clone(),
        source: source(&migration.task_definition),
        images: migration.images.clone(),
        overrides: migration.overrides.clone(),
        tasks: merged(migration.tasks.as_ref(), defaults),
        timeout: length(migration.timeout.as_ref(), MIGRATION_TIMEOUT),
        idempotent: migration.idempotent.unwrap_or(false),
        entry: hash::of(&json!(migration)),
    }
}

fn service(service: &release::Service) -> Service {
    let own = || Source::Service(service.name.clone());
    let rollout = service.rollout.clone().unwrap_or_default();
    Service {
        name: service.name.clone(),
        source: service.task_definition.as_ref().map_or_else(own, source),
        images: service.images.clone(),
        depends_on: service.depends_on.clone(),
        timeout: length(rollout.timeout.as_ref(), ROLLOUT_TIMEOUT),
        on_failure: rollout.on_failure.unwrap_or_default(),
        breaker_may_roll_back: rollout.breaker_may_roll_back.unwrap_or(false),
        bake: length(rollout.bake.as_ref(), SignedDuration::ZERO),
        settings: Settings {
            desired_count: service.desired_count,
            deployment: deployment(&rollout),
        },
        code_deploy: rollout.code_deploy,
        alarms: rollout.alarms,
    }
}

/// What is declared of the deploymentConfiguration, in ECS's members.
fn deployment(rollout: &release::Rollout) -> Map<String, Value> {
    let (linear, canary) = (
        rollout.linear.unwrap_or_default(),
        rollout.canary.unwrap_or_default(),
    );
    let members = json!({
        "strategy": rollout.strategy.map(Strategy::as_str),
        "bakeTimeInMinutes": rollout.bake_time_in_minutes,
        "linearConfiguration": {
            "stepPercent": linear.step_percent,
            "stepBakeTimeInMinutes": linear.step_bake_time_in_minutes,
        },
        "canaryConfiguration": {
            "canaryPercent": canary.canary_percent,
            "canaryBakeTimeInMinutes": canary.canary_bake_time_in_minutes,
        },
    });
    match without_nulls(members) {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// Without members that say nothing.
fn without_nulls(value: Value) -> Value {
    let Value::Object(members) = value else {
        return value;
    };
    let members = members
        .into_iter()
        .map(|(name, it)| (name, without_nulls(it)));
    let says = |value: &Value| match value {
        Value::Object(members) => !members.is_empty(),
        other => !other.is_null(),
    };
    Value::Object(members.filter(|(_, value)| says(value)).collect())
}

fn schedule(key: &ReleaseKey, schedule: &release::Schedule, place: &Environment) -> Schedule {
    let policy = schedule.retry_policy.clone().unwrap_or_default();
    Schedule {
        name: schedule.name.clone(),
        rule: validate::rule_of(key, schedule),
        scheduler: scheduler(schedule),
        expression: cron::scheduler_expression(&schedule.expression).unwrap_or_default(),
        state: schedule.state.unwrap_or(ScheduleState::Enabled),
        description: schedule.description.clone(),
        adopt: schedule.adopt.unwrap_or(false),
        source: source(&schedule.task_definition),
        images: schedule.images.clone(),
        overrides: schedule.overrides.clone(),
        tasks: merged(schedule.tasks.as_ref(), &place.tasks),
        task_count: schedule.task_count.unwrap_or(1),
        role_arn: schedule
            .role_arn
            .clone()
            .or_else(|| place.schedule_role.clone()),
        dead_letters: schedule.dead_letter_queue_arn.clone(),
        event_age: policy.maximum_event_age.map(|age| age.length().as_secs()),
        retries: policy.maximum_retry_attempts,
        only_definition: false,
    }
}

/// What only EventBridge Scheduler knows, where that fires it.
fn scheduler(schedule: &release::Schedule) -> Option<SchedulerSettings> {
    let of_scheduler = schedule.backend == Some(ScheduleBackend::Scheduler);
    let window = schedule.flexible_time_window.as_ref();
    of_scheduler.then(|| SchedulerSettings {
        time_zone: schedule
            .time_zone
            .clone()
            .unwrap_or_else(|| "UTC".to_owned()),
        window: window.map_or(0, |window| window.length().as_mins()),
        start: schedule.start,
        end: schedule.end,
    })
}

/// The longest name of a schedule group.
const GROUP_NAME: usize = 64;

/// Name of a Release's schedule group: hashed at its end where it would be too long.
fn schedule_group(key: &ReleaseKey) -> String {
    let plain = format!("{}-{}", key.namespace, key.name);
    if plain.len() <= GROUP_NAME {
        return plain;
    }
    // Two long names may begin alike, and may be joined alike.
    let hash = hash::of(&json!([key.namespace, key.name]));
    let (tail, room) = (&hash[..hash.len().min(16)], GROUP_NAME - 17);
    format!("{}-{tail}", &plain[..room])
}

/// EventBridge runs a task only with a role: its own or the Environment's.
fn roles_of_schedules(schedules: &[Schedule], errors: &mut Vec<FieldError>) {
    for (index, schedule) in schedules.iter().enumerate() {
        if schedule.role_arn.is_none() {
            let path = of_schedule(index, "roleArn");
            let message = "is needed: neither the schedule nor its environment names a role";
            errors.push(
                FieldError::new(path, message)
                    .help("set it, or spec.schedules.roleArn of the environment"),
            );
        }
    }
}

/// AWS puts dead letters into queues of the Region of what fires only.
fn queues_of_schedules(schedules: &[Schedule], region: &str, errors: &mut Vec<FieldError>) {
    for (index, schedule) in schedules.iter().enumerate() {
        let Some(queue) = &schedule.dead_letters else {
            continue;
        };
        // What is no ARN is refused for that.
        if queue.split(':').nth(3).is_some_and(|of| of != region) {
            let path = of_schedule(index, "deadLetterQueueArn");
            let message =
                format!("`{queue}` is not in {region}, where the environment's schedules fire");
            errors.push(FieldError::new(path, message).help("name a queue of that Region"));
        }
    }
}

fn of_schedule(index: usize, field: &str) -> FieldPath {
    let schedules = FieldPath::root().key("spec").key("schedules");
    schedules.index(index).key(field)
}

/// The part's own settings over the Environment's. A launch type and a capacity provider strategy
/// exclude each other, so that naming one takes the other's default away.
fn merged(own: Option<&TaskSettings>, defaults: &TaskSettings) -> TaskSettings {
    let Some(own) = own else {
        return defaults.clone();
    };
    let placed = own.launch_type.is_some() || own.capacity_provider_strategy.is_some();
    let mut settings = defaults.clone();
    if placed {
        settings.launch_type = own.launch_type;
        settings
            .capacity_provider_strategy
            .clone_from(&own.capacity_provider_strategy);
    }
    settings.network_configuration = own
        .network_configuration
        .clone()
        .or(settings.network_configuration);
    settings.platform_version = own.platform_version.clone().or(settings.platform_version);
    settings.propagate_tags = own.propagate_tags.or(settings.propagate_tags);
    settings.enable_execute_command = own
        .enable_execute_command
        .or(settings.enable_execute_command);
    settings
}
