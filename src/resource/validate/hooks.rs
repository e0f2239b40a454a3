//! Hooks before and after everything else.

use std::collections::BTreeSet;

use super::{Context, names, overrides, placement, secret, source, timeout, unique};
use crate::resource::hooks::{
    Hook, HookFailure, HookTrigger, HttpHook, InvalidationHook, LambdaHook, PipelineJobHook,
    TaskHook,
};
use crate::resource::path::FieldPath;
use crate::resource::problem::FieldError;
use crate::resource::release::ReleaseSpec;

/// The most paths that one invalidation takes
/// (<https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html>).
const PATHS: usize = 3000;
/// The same, with a `*` at the end.
const WILDCARDS: usize = 15;
/// The longest URL.
const URL: usize = 2048;

pub(super) fn hooks(
    spec: &ReleaseSpec,
    ctx: &Context<'_>,
    path: &FieldPath,
    errors: &mut Vec<FieldError>,
) {
    let path = path.key("hooks");
    let lists = [("before", &spec.hooks.before), ("after", &spec.hooks.after)];
    for (when, list) in lists {
        let here = path.key(when);
        unique(
            list.iter().map(|it| it.name.as_str()),
            &here,
            "hook",
            errors,
        );
        for (index, hook) in list.iter().enumerate() {
            let here = here.index(index);
            one(hook, ctx, &here, errors);
            if when == "before" {
                before(hook, &here, errors);
            }
        }
    }
    one_job_alone(spec, &path.key("after"), errors);
    let before: BTreeSet<&str> = spec
        .hooks
        .before
        .iter()
        .map(|it| it.name.as_str())
        .collect();
    for (index, hook) in spec.hooks.after.iter().enumerate() {
        if before.contains(hook.name.as_str()) {
            let message = format!("there is a hook named `{}` before already", hook.name);
            let here = path.key("after").index(index).key("name");
            errors.push(FieldError::new(here, message).help("give one of them another name"));
        }
    }
}

/// What a hook does, by the name of its member.
fn kinds(hook: &Hook) -> Vec<&'static str> {
    let kinds = [
        ("ecsTask", hook.ecs_task.is_some()),
        ("lambda", hook.lambda.is_some()),
        (
            "cloudFrontInvalidation",
            hook.cloud_front_invalidation.is_some(),
        ),
        ("http", hook.http.is_some()),
        ("codePipelineJob", hook.code_pipeline_job.is_some()),
    ];
    let given = kinds.into_iter().filter(|(_, is_there)| *is_there);
    given.map(|(name, _)| name).collect()
}

fn one(hook: &Hook, ctx: &Context<'_>, path: &FieldPath, errors: &mut Vec<FieldError>) {
    names::dns_label(&hook.name, path.key("name"), errors);
    timeout(hook.timeout.as_ref(), path.key("timeout"), errors);
    let kinds = kinds(hook);
    if kinds.len() != 1 {
        let message = match kinds.as_slice() {
            [] => "does nothing".to_owned(),
            more => format!("has {}, and exactly one can be", more.join(" and ")),
        };
        let help = "write one of `ecsTask`, `lambda`, `cloudFrontInvalidation`, `http` and \
                    `codePipelineJob`";
        errors.push(FieldError::new(path.clone(), message).help(help));
    }
    if let Some(task) = &hook.ecs_task {
        one_task(task, ctx, &path.key("ecsTask"), errors);
    }
    if let Some(lambda) = &hook.lambda {
        one_lambda(lambda, &path.key("lambda"), errors);
    }
    if let Some(invalidation) = &hook.cloud_front_invalidation {
        one_invalidation(invalidation, &path.key("cloudFrontInvalidation"), errors);
    }
    if let Some(http) = &hook.http {
        one_http(http, &path.key("http"), errors);
    }
    if let Some(job) = &hook.code_pipeline_job {
        annotation(job, &path.key("codePipelineJob"), errors);
        one_job(hook, path, errors);
    }
    let repeats = hook.ecs_task.is_some() || hook.lambda.is_some();
    if hook.idempotent.is_some() && !repeats && !kinds.is_empty() {
        let message = "is for `ecsTask` and `lambda`: the others may be repeated anyway";
        let error = FieldError::new(path.key("idempotent"), message);
        errors.push(error.help("take it out"));
    }
}

/// Before a revision there is no end of it.
fn before(hook: &Hook, path: &FieldPath, errors: &mut Vec<FieldError>) {
    if hook.on == Some(HookTrigger::Failure) {
        let message = "a hook before the release runs before it can fail";
        let error = FieldError::new(path.key("on"), message);
        errors.push(error.help("take `on` out, or put the hook under `after`"));
    }
    if hook.code_pipeline_job.is_some() {
        let message = "tells how the release ended, and goes under `after`";
        let error = FieldError::new(path.key("codePipelineJob"), message);
        errors.push(error.help("put the hook under `after`"));
    }
}

fn one_task(task: &TaskHook, ctx: &Context<'_>, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let definition = &task.task_definition;
    source::source(definition, ctx, &path.key("taskDefinition"), errors);
    source::images(&task.images, Some(definition), ctx, path, errors);
    if let Some(tasks) = &task.tasks {
        placement::task_settings(tasks, &path.key("tasks"), errors);
    }
    if let Some(overrides) = &task.overrides {
        let inline = definition.inline.as_ref();
        overrides::task_override(overrides, inline, &path.key("overrides"), errors);
    }
}

fn one_lambda(lambda: &LambdaHook, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let name = &lambda.function_name;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b':' | b'$');
    if name.is_empty() || name.len() > 170 || !name.bytes().all(allowed) {
        let message = format!("`{name}` is not a Lambda function");
        let error = FieldError::new(path.key("functionName"), message);
        errors.push(error.help("write the function's name or its ARN"));
    }
    if let Some(qualifier) = &lambda.qualifier {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'$');
        if qualifier.is_empty() || qualifier.len() > 128 || !qualifier.bytes().all(allowed) {
            let message = format!("`{qualifier}` is not a version or an alias");
            let error = FieldError::new(path.key("qualifier"), message);
            errors.push(error.help("write for example `live` or `7`"));
        }
    }
}

fn one_invalidation(hook: &InvalidationHook, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let id = &hook.distribution_id;
    if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        let message = format!("`{id}` is not the id of a CloudFront distribution");
        let error = FieldError::new(path.key("distributionId"), message);
        errors.push(error.help("write it as CloudFront shows it: `E1A2B3C4D5E6F7`"));
    }
    let list = path.key("paths");
    if hook.paths.is_empty() {
        let error = FieldError::new(list.clone(), "names no path");
        errors.push(error.help("write `/*` for everything"));
    }
    let mut seen = BTreeSet::new();
    for (index, one) in hook.paths.iter().enumerate() {
        let here = list.index(index);
        if !one.starts_with('/') || one.contains(char::is_whitespace) {
            let message = format!("`{one}` is not a path");
            let error = FieldError::new(here, message);
            errors.push(error.help("begin it with `/`, and write a space as `%20`"));
        } else if !seen.insert(one) {
            let message = format!("`{one}` is named twice");
            errors.push(FieldError::new(here, message).help("keep one of them"));
        }
    }
    let wildcards = hook.paths.iter().filter(|one| one.ends_with('*')).count();
    if hook.paths.len() > PATHS || wildcards > WILDCARDS {
        let message = format!(
            "has {} paths, {wildcards} of them with a `*`; CloudFront works on {PATHS} and \
             {WILDCARDS} at a time",
            hook.paths.len()
        );
        errors.push(FieldError::new(list, message).help("name fewer with a `*` higher up"));
    }
}

fn one_http(http: &HttpHook, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let url = &http.url;
    let parsed = url.parse::<::http::Uri>().ok();
    let host = parsed.as_ref().and_then(|it| it.host()).unwrap_or_default();
    let is_right = match parsed.as_ref().and_then(|it| it.scheme_str()) {
        Some("https") => !host.is_empty(),
        Some("http") => matches!(host, "127.0.0.1" | "localhost" | "[::1]"),
        _ => false,
    };
    if !is_right || url.len() > URL {
        // What was written is not repeated: a password may stand in it.
        let error = FieldError::new(path.key("url"), "is not a URL that is posted to");
        errors.push(error.help("write `https://HOST/PATH`"));
    } else if parsed.is_some_and(|it| it.authority().is_some_and(|it| it.as_str().contains('@'))) {
        let message = "holds a user or a password";
        let error = FieldError::new(path.key("url"), message);
        errors.push(error.help("put them into `authorization`, which names a secret"));
    }
    for (name, found) in [
        ("signingKey", &http.signing_key),
        ("authorization", &http.authorization),
    ] {
        if let Some(found) = found {
            secret::reference(found, &path.key(name), errors);
        }
    }
}

fn annotation(job: &PipelineJobHook, path: &FieldPath, errors: &mut Vec<FieldError>) {
    if let Some(annotation) = &job.annotation {
        names::label_key(annotation, path.key("annotation"), errors);
    }
}

/// A Release speaks of one job at a time.
fn one_job_alone(spec: &ReleaseSpec, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let hooks = spec.hooks.after.iter().enumerate();
    let mut jobs = hooks.filter(|(_, hook)| hook.code_pipeline_job.is_some());
    let Some((first, _)) = jobs.next() else {
        return;
    };
    for (index, _) in jobs {
        let message = format!("there is one already, {}", path.index(first));
        let here = path.index(index).key("codePipelineJob");
        errors.push(FieldError::new(here, message).help("keep one: a release tells one job"));
    }
}

/// A pipeline is told, and that is all: nothing waits for it and nothing follows from it.
fn one_job(hook: &Hook, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let given = [
        ("timeout", hook.timeout.is_some()),
        (
            "onFailure",
            hook.on_failure.is_some_and(|it| it != HookFailure::Warn),
        ),
        ("on", hook.on.is_some_and(|it| it != HookTrigger::Always)),
    ];
    for (name, _) in given.into_iter().filter(|(_, is_there)| *is_there) {
        let message = "does not go together with `codePipelineJob`: the job is told of every end, \
                       and nothing waits for it";
        let error = FieldError::new(path.key(name), message);
        errors.push(error.help("take it out"));
    }
}
