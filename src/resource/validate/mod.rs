//! What must be so of an object beyond its shape: references, names, formats and limits.
//!
//! Everything here is pure, and used on manifests as well as on what the table holds.

mod environment;
mod graph;
mod holding;
mod hooks;
mod images;
mod inline;
mod names;
mod notifications;
mod overrides;
mod placement;
mod rollout;
mod schedules;
mod secret;
mod source;

use std::collections::{BTreeMap, BTreeSet};

use super::duration::Span;
use super::meta::{Environment, ObjectMeta, Release, ReleaseKey};
use super::path::FieldPath;
pub use super::problem::FieldError;
use super::release::{Migration, ReleaseSpec, Requirement, Service};
pub use inline::DESCRIBE_ONLY;
pub use schedules::rule_of;

/// The most that the name of an EventBridge rule may have.
pub const RULE_NAME_LIMIT: usize = 64;

/// The most bytes that EventBridge and RunTask take as overrides. Both count characters, and say
/// not which; what is no longer in bytes is longer in none.
pub const OVERRIDES_LIMIT: usize = 8192;

/// The longest that anything may be waited for, in seconds: a week.
const LONGEST_TIMEOUT: i64 = 7 * 24 * 3600;

/// The most bytes that a spec may take: an item of the table holds 400 KB in all.
const SPEC_LIMIT: usize = 256 * 1024;

/// The Release that a requirement names: of the same namespace where it says none.
pub fn required(requirement: &Requirement, release: &Release) -> ReleaseKey {
    match requirement.release.split_once('/') {
        Some((namespace, name)) => ReleaseKey::new(namespace, name),
        None => ReleaseKey::new(release.release_key().namespace, &requirement.release),
    }
}

/// The Releases that a Release requires.
pub fn requires(release: &Release) -> Vec<ReleaseKey> {
    let list = release.spec.requires.iter();
    list.map(|requirement| required(requirement, release))
        .collect()
}

/// Everything that is wrong with a Release.
pub fn release(release: &Release) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let root = FieldPath::root();
    metadata(&release.metadata, &root.key("metadata"), &mut errors);
    if release.metadata.namespace.is_none() {
        let path = root.key("metadata").key("namespace");
        errors.push(
            FieldError::new(path, "a Release needs a namespace")
                .help("write the name of its Environment"),
        );
    }
    let spec = &release.spec;
    let path = root.key("spec");
    size(spec, &path, &mut errors);
    let ctx = Context::new(spec, &path);
    images::images(spec, &path, &mut errors);
    hooks::hooks(spec, &ctx, &path, &mut errors);
    migrations(spec, &ctx, &path, &mut errors);
    services(spec, &ctx, &path, &mut errors);
    schedules::schedules(release, &ctx, &path, &mut errors);
    timeout(
        spec.image_timeout.as_ref(),
        path.key("imageTimeout"),
        &mut errors,
    );
    if let Some(drift) = &spec.drift {
        timeout(
            drift.after.as_ref(),
            path.key("drift").key("after"),
            &mut errors,
        );
    }
    holding::holding(release, &path, &mut errors);
    if spec.revision_history_limit == Some(0) {
        errors.push(
            FieldError::new(path.key("revisionHistoryLimit"), "must be at least 1")
                .help("leave it out to keep 10"),
        );
    }
    if spec.migrations.is_empty() && spec.services.is_empty() && spec.schedules.is_empty() {
        errors.push(
            FieldError::new(path, "there is nothing to do")
                .help("declare at least one of migrations, services and schedules"),
        );
    }
    errors
}

/// Everything that is wrong with an Environment.
pub fn environment(environment: &Environment) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let root = FieldPath::root();
    metadata(&environment.metadata, &root.key("metadata"), &mut errors);
    if environment.metadata.namespace.is_some() {
        errors.push(
            FieldError::new(
                root.key("metadata").key("namespace"),
                "an Environment has no namespace",
            )
            .help("take it out; Releases name their Environment as their namespace"),
        );
    }
    size(&environment.spec, &root.key("spec"), &mut errors);
    environment::spec(&environment.spec, &root.key("spec"), &mut errors);
    errors
}

/// What the parts of a release may refer to.
struct Context<'a> {
    images: BTreeSet<&'a str>,
    images_path: FieldPath,
    services: BTreeSet<&'a str>,
    services_path: FieldPath,
}

impl<'a> Context<'a> {
    fn new(spec: &'a ReleaseSpec, path: &FieldPath) -> Self {
        Self {
            images: spec.images.keys().map(String::as_str).collect(),
            images_path: path.key("images"),
            services: spec
                .services
                .iter()
                .map(|service| service.name.as_str())
                .collect(),
            services_path: path.key("services"),
        }
    }
}

fn metadata(metadata: &ObjectMeta, path: &FieldPath, errors: &mut Vec<FieldError>) {
    names::dns_label(&metadata.name, path.key("name"), errors);
    if let Some(namespace) = &metadata.namespace {
        names::dns_label(namespace, path.key("namespace"), errors);
    }
    for (key, value) in &metadata.labels {
        let here = path.key("labels").key(key.as_str());
        names::label_key(key, here.clone(), errors);
        names::label_value(value, here, errors);
    }
    let mut total = 0;
    for (key, value) in &metadata.annotations {
        names::label_key(key, path.key("annotations").key(key.as_str()), errors);
        total += key.len() + value.len();
    }
    if total > 64 * 1024 {
        errors.push(FieldError::new(
            path.key("annotations"),
            "are longer than 64 KiB together",
        ));
    }
}

fn size(spec: &impl serde::Serialize, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let length = serde_json::to_vec(spec).map_or(0, |bytes| bytes.len());
    if length > SPEC_LIMIT {
        let message = format!(
            "is {} KiB long, and {} fit",
            length / 1024,
            SPEC_LIMIT / 1024
        );
        errors.push(FieldError::new(path.clone(), message).help("split it into several"));
    }
}

fn timeout(span: Option<&Span>, path: FieldPath, errors: &mut Vec<FieldError>) {
    let Some(span) = span else { return };
    if span.length().as_secs() > LONGEST_TIMEOUT {
        let message = format!("`{span}` is longer than a week");
        errors.push(FieldError::new(path, message).help("write for example `30m`"));
    }
}

fn migrations(
    spec: &ReleaseSpec,
    ctx: &Context<'_>,
    path: &FieldPath,
    errors: &mut Vec<FieldError>,
) {
    let list = path.key("migrations");
    unique(
        spec.migrations.iter().map(|m| m.name.as_str()),
        &list,
        "migration",
        errors,
    );
    for (index, migration) in spec.migrations.iter().enumerate() {
        one_migration(migration, ctx, &list.index(index), errors);
    }
}

fn one_migration(
    migration: &Migration,
    ctx: &Context<'_>,
    path: &FieldPath,
    errors: &mut Vec<FieldError>,
) {
    names::dns_label(&migration.name, path.key("name"), errors);
    source::source(
        &migration.task_definition,
        ctx,
        &path.key("taskDefinition"),
        errors,
    );
    source::images(
        &migration.images,
        Some(&migration.task_definition),
        ctx,
        path,
        errors,
    );
    if let Some(tasks) = &migration.tasks {
        placement::task_settings(tasks, &path.key("tasks"), errors);
    }
    if let Some(overrides) = &migration.overrides {
        let inline = migration.task_definition.inline.as_ref();
        overrides::task_override(overrides, inline, &path.key("overrides"), errors);
    }
    timeout(migration.timeout.as_ref(), path.key("timeout"), errors);
    if migration
        .epoch
        .as_ref()
        .is_some_and(|epoch| epoch.is_empty() || epoch.len() > 128)
    {
        errors.push(FieldError::new(
            path.key("epoch"),
            "must have 1 to 128 characters",
        ));
    }
}

fn services(spec: &ReleaseSpec, ctx: &Context<'_>, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let list = path.key("services");
    unique(
        spec.services.iter().map(|s| s.name.as_str()),
        &list,
        "service",
        errors,
    );
    for (index, service) in spec.services.iter().enumerate() {
        one_service(service, ctx, &list.index(index), errors);
    }
    graph::depends_on(&spec.services, &list, errors);
}

fn one_service(
    service: &Service,
    ctx: &Context<'_>,
    path: &FieldPath,
    errors: &mut Vec<FieldError>,
) {
    names::ecs_name(&service.name, "an ECS service", path.key("name"), errors);
    if let Some(from) = &service.task_definition {
        source::source(from, ctx, &path.key("taskDefinition"), errors);
    }
    source::images(
        &service.images,
        service.task_definition.as_ref(),
        ctx,
        path,
        errors,
    );
    rollout::count(service.desired_count, path.key("desiredCount"), errors);
    if let Some(rollout) = &service.rollout {
        rollout::rollout(rollout, &path.key("rollout"), errors);
    }
}

/// Names must be unique in a list.
fn unique<'a>(
    names: impl Iterator<Item = &'a str>,
    list: &FieldPath,
    what: &str,
    errors: &mut Vec<FieldError>,
) {
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, name) in names.enumerate() {
        if let Some(before) = first.get(name) {
            let message = format!(
                "there are two {what}s named `{name}`; the first is {}",
                list.index(*before)
            );
            errors.push(
                FieldError::new(list.index(index).key("name"), message)
                    .help("give one of them another name"),
            );
        } else {
            first.insert(name, index);
        }
    }
}
