//! Hooks, checked and with their defaults.

use jiff::SignedDuration;
use serde_json::json;

use super::{length, merged, source};
use crate::model::desired::{Hook, HookKind, Migration, PartKind};
use crate::model::hash;
use crate::resource::environment::TaskSettings;
use crate::resource::hooks::{self, Hooks, PIPELINE_JOB};
use crate::resource::meta::Release;

const TIMEOUT: SignedDuration = SignedDuration::from_mins(15);

/// Every hook that does something by itself, those before first.
pub(super) fn all(hooks: &Hooks, defaults: &TaskSettings) -> Vec<Hook> {
    let before = hooks.before.iter().map(|hook| (hook, false));
    let after = hooks.after.iter().map(|hook| (hook, true));
    let all = before.chain(after);
    all.filter_map(|(hook, after)| one(hook, after, defaults))
        .collect()
}

/// The CodePipeline job that is to be told how the release ends.
pub(super) fn pipeline_job(release: &Release) -> Option<String> {
    let mut after = release.spec.hooks.after.iter();
    let told = after.find_map(|hook| hook.code_pipeline_job.as_ref())?;
    let annotation = told.annotation.as_deref().unwrap_or(PIPELINE_JOB);
    let job = release.metadata.annotations.get(annotation);
    job.filter(|job| !job.is_empty()).cloned()
}

fn one(hook: &hooks::Hook, after: bool, defaults: &TaskSettings) -> Option<Hook> {
    Some(Hook {
        name: hook.name.clone(),
        after,
        timeout: length(hook.timeout.as_ref(), TIMEOUT),
        on_failure: hook.on_failure.unwrap_or_default(),
        on: hook.on.unwrap_or_default(),
        idempotent: hook.idempotent.unwrap_or(false),
        does: kind(hook, defaults)?,
    })
}

fn kind(hook: &hooks::Hook, defaults: &TaskSettings) -> Option<HookKind> {
    if let Some(declared) = &hook.ecs_task {
        return Some(HookKind::Task(Box::new(task(hook, declared, defaults))));
    }
    if let Some(lambda) = &hook.lambda {
        return Some(HookKind::Lambda(lambda.clone()));
    }
    if let Some(invalidation) = &hook.cloud_front_invalidation {
        return Some(HookKind::Invalidation(invalidation.clone()));
    }
    hook.http.clone().map(HookKind::Http)
}

fn task(hook: &hooks::Hook, declared: &hooks::TaskHook, defaults: &TaskSettings) -> Migration {
    Migration {
        kind: PartKind::Hook,
        name: hook.name.clone(),
        source: source(&declared.task_definition),
        images: declared.images.clone(),
        overrides: declared.overrides.clone(),
        tasks: merged(declared.tasks.as_ref(), defaults),
        timeout: length(hook.timeout.as_ref(), TIMEOUT),
        idempotent: hook.idempotent.unwrap_or(false),
        entry: hash::of(&json!(hook)),
    }
}
