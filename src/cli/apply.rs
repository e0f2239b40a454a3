//! `apply`: manifests into the table.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use clap::builder::{BoolishValueParser, NonEmptyStringValueParser};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::connect::{self, Connection};
use super::error::{CliError, Exit};
use super::follow::{Goal, follow};
use super::settings::Settings;
use super::validate;
use crate::report::paint::{Paint, Tone};
use crate::resource::duration::Span;
use crate::resource::manifest::{Declared, Manifest};
use crate::resource::meta::{Release, ReleaseKey};
use crate::store::{
    Applied, ApplyOptions, ApplyOutcome, FieldChange, KeptField, ObjectRef, Pruned,
};

#[derive(Debug, Args)]
#[command(after_help = "\
Each applier writes the fields that it changed since its own last apply, and removes those it took
out; fields that somebody else set since are kept, and printed. Files that did not change write
nothing. All files are checked first: one error anywhere and nothing is written. So is what was
rejected before, or gone back from: it is applied again with --force only.

Exit code: 0, or 2 on an error; with --wait that of `evenkeel wait`.

Examples:
  evenkeel apply -f environment.yaml -f release.yaml
  evenkeel apply -f deploy/ --source $(git rev-parse HEAD) --wait
  evenkeel apply -f deploy/ --prune --applier ci
  cat release.yaml | evenkeel apply -f -")]
pub struct ApplyArgs {
    /// A file, a folder (all .yaml, .yml and .json below it), or - for standard input
    #[arg(
        short,
        long = "file",
        required = true,
        env = "EVENKEEL_APPLY_FILE",
        hide_env_values = true,
        value_name = "PATH"
    )]
    files: Vec<PathBuf>,
    /// The source revision that this comes from, to be shown in the history
    #[arg(long, env = "EVENKEEL_APPLY_SOURCE", hide_env_values = true, value_name = "REVISION",
          value_parser = NonEmptyStringValueParser::new())]
    source: Option<String>,
    /// Write the file as it is, also over what others set, and try again what was rejected
    #[arg(long, env = "EVENKEEL_APPLY_FORCE", hide_env_values = true,
          value_parser = BoolishValueParser::new())]
    force: bool,
    /// Delete this applier's objects that are no longer in the files; needs --applier
    #[arg(long, env = "EVENKEEL_APPLY_PRUNE", hide_env_values = true,
          value_parser = BoolishValueParser::new())]
    prune: bool,
    /// With --prune: also when it deletes everything this applier has
    #[arg(long, env = "EVENKEEL_APPLY_ALLOW_EMPTY", hide_env_values = true, requires = "prune",
          value_parser = BoolishValueParser::new())]
    allow_empty: bool,
    /// Wait until every applied release is Ready
    #[arg(long, env = "EVENKEEL_APPLY_WAIT", hide_env_values = true,
          value_parser = BoolishValueParser::new())]
    wait: bool,
    /// With --wait: how long
    #[arg(long, env = "EVENKEEL_APPLY_TIMEOUT", hide_env_values = true, default_value = "15m",
          value_parser = Span::parse, value_name = "TIME")]
    timeout: Span,
}

/// How manifests are applied.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who applies.
    pub applier: String,
    /// Where it comes from.
    pub source: Option<String>,
    /// Whether others' fields are written over.
    pub force: bool,
}

/// What came of one object.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AppliedObject {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    name: String,
    result: String,
    generation: u64,
    resource_version: String,
    changes: Vec<Change>,
    kept: Vec<Kept>,
}

#[derive(Clone, Debug, Serialize)]
struct Change {
    path: String,
    from: Option<Value>,
    to: Option<Value>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    path: String,
    in_file: Option<Value>,
    in_table: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_at: Option<Timestamp>,
}

pub async fn run(args: &ApplyArgs, settings: &Settings) -> Result<Exit, CliError> {
    // Not clap's `requires`: it does not see a global option that stands before the verb.
    if args.prune && settings.applier.is_none() {
        return Err(
            CliError::new("--prune deletes by applier, and none is named").help(
                "say --applier NAME: whose objects are deleted that are no longer in the files",
            ),
        );
    }
    let manifests = validate::load(&args.files)?;
    let manifests = match args.prune && args.allow_empty {
        true => manifests,
        false => validate::some(manifests)?,
    };
    same_namespace(&manifests, settings.namespace.as_deref())?;
    let connection = Connection::open(settings).await?;
    let options = Options {
        applier: connection.applier().await?,
        source: args.source.clone(),
        force: args.force,
    };
    let applied = apply(&connection, &manifests, &options).await?;
    let pruned = if args.prune {
        prune(&connection, &manifests, &options, args.allow_empty).await?
    } else {
        Pruned {
            removed: Vec::new(),
            left: Vec::new(),
        }
    };
    let removed: Vec<String> = pruned.removed.iter().map(ToString::to_string).collect();
    let value = serde_json::json!({ "items": applied, "pruned": removed });
    settings.out.print(&value, |paint| {
        let gone = removed.iter().map(|name| format!("{name} pruned\n"));
        table(&applied, paint) + &gone.collect::<String>()
    })?;
    if args.wait {
        return wait(&connection, &manifests, &args.timeout, settings).await;
    }
    Ok(Exit::Done)
}

/// `-n` guards against applying the files of another environment.
pub fn same_namespace(manifests: &[Manifest], namespace: Option<&str>) -> Result<(), CliError> {
    let Some(wanted) = namespace else {
        return Ok(());
    };
    for manifest in manifests {
        let metadata = manifest.object.metadata();
        let found = metadata.namespace.as_ref().unwrap_or(&metadata.name);
        if found != wanted {
            return Err(CliError::new(format!(
                "{}: {} is not of namespace {wanted}, which --namespace asks for",
                manifest.origin, manifest.object
            ))
            .help("leave --namespace (EVENKEEL_NAMESPACE) out, or apply other files"));
        }
    }
    Ok(())
}

/// Applies everything, environments before releases.
///
/// # Errors
/// When anything was rejected before, and nothing is written; else at the first object that cannot
/// be written, and those before it are.
pub async fn apply(
    connection: &Connection,
    manifests: &[Manifest],
    options: &Options,
) -> Result<Vec<AppliedObject>, CliError> {
    let mut sorted: Vec<&Manifest> = manifests.iter().collect();
    sorted.sort_by_key(|manifest| manifest.object.kind());
    let options = ApplyOptions {
        applier: options.applier.clone(),
        source: options.source.clone(),
        force: options.force,
        now: connection.now(),
    };
    not_rejected(connection, &sorted, &options).await?;
    connection
        .store
        .refuse_circles(&releases(manifests))
        .await?;
    let mut done = Vec::with_capacity(sorted.len());
    for manifest in sorted {
        let applied = match &manifest.object {
            Declared::Environment(one) => connection.store.apply_environment(one, &options).await,
            Declared::Release(one) => connection.store.apply_release(one, &options).await,
        };
        let applied = applied
            .map_err(|error| CliError::from(error).at(&manifest.origin.to_string(), done.len()))?;
        done.push(AppliedObject::new(&manifest.object, applied));
    }
    Ok(done)
}

/// Refuses everything where anything was rejected before, and tells all of that at once.
///
/// # Errors
/// What was rejected, or why that cannot be read.
pub async fn not_rejected(
    connection: &Connection,
    manifests: &[&Manifest],
    options: &ApplyOptions,
) -> Result<(), CliError> {
    let mut refused = Vec::new();
    for manifest in manifests {
        let Declared::Release(release) = &manifest.object else {
            continue;
        };
        if let Some(why) = connection.store.refusal(release, options).await? {
            refused.push(format!("{}: {why}", manifest.origin));
        }
    }
    match refused.is_empty() {
        true => Ok(()),
        false => Err(CliError::new(refused.join("\nerror: "))),
    }
}

/// The Releases among manifests.
pub fn releases(manifests: &[Manifest]) -> Vec<&Release> {
    let objects = manifests.iter().map(|manifest| &manifest.object);
    objects
        .filter_map(|object| match object {
            Declared::Release(release) => Some(release),
            Declared::Environment(_) => None,
        })
        .collect()
}

async fn prune(
    connection: &Connection,
    manifests: &[Manifest],
    options: &Options,
    allow_empty: bool,
) -> Result<Pruned, CliError> {
    let keep: BTreeSet<ObjectRef> = manifests
        .iter()
        .map(|manifest| object_ref(&manifest.object))
        .collect();
    let pruned: Pruned = connection
        .store
        .prune(&options.applier, &keep, allow_empty, connection.now())
        .await?;
    for left in &pruned.left {
        tracing::warn!("{} was not deleted: {}", left.object, left.reason);
    }
    Ok(pruned)
}

fn object_ref(object: &Declared) -> ObjectRef {
    match object {
        Declared::Environment(one) => ObjectRef::environment(&one.metadata.name),
        Declared::Release(one) => ObjectRef::release(&one.release_key()),
    }
}

async fn wait(
    connection: &Connection,
    manifests: &[Manifest],
    timeout: &Span,
    settings: &Settings,
) -> Result<Exit, CliError> {
    let keys: Vec<ReleaseKey> = manifests
        .iter()
        .filter_map(|manifest| match &manifest.object {
            Declared::Release(release) => Some(release.release_key()),
            Declared::Environment(_) => None,
        })
        .collect();
    for key in keys {
        let timeout = connect::std(timeout.length());
        let exit = follow(connection, &key, Goal::Ready, timeout, settings).await?;
        if exit != Exit::Done {
            return Ok(exit);
        }
    }
    Ok(Exit::Done)
}

impl AppliedObject {
    /// What came of an object.
    pub fn new(object: &Declared, applied: Applied) -> Self {
        let metadata = object.metadata();
        Self::named(
            object.kind().as_str(),
            metadata.namespace.clone(),
            &metadata.name,
            applied,
        )
    }

    /// What came of a change of a release that no file made.
    pub fn release(key: &ReleaseKey, applied: Applied) -> Self {
        Self::named("Release", Some(key.namespace.clone()), &key.name, applied)
    }

    fn named(kind: &'static str, namespace: Option<String>, name: &str, applied: Applied) -> Self {
        Self {
            kind,
            namespace,
            name: name.to_owned(),
            result: applied.outcome.to_string(),
            generation: applied.generation,
            resource_version: applied.resource_version,
            changes: match applied.outcome {
                ApplyOutcome::Created => Vec::new(),
                _ => applied.changes.into_iter().map(Change::from).collect(),
            },
            kept: applied.kept.into_iter().map(Kept::from).collect(),
        }
    }

    fn title(&self) -> String {
        let namespace = self
            .namespace
            .as_ref()
            .map(|name| format!("{name}/"))
            .unwrap_or_default();
        format!("{}/{namespace}{}", self.kind.to_lowercase(), self.name)
    }
}

impl From<FieldChange> for Change {
    fn from(change: FieldChange) -> Self {
        Self {
            path: change.path,
            from: change.from,
            to: change.to,
        }
    }
}

impl From<KeptField> for Kept {
    fn from(kept: KeptField) -> Self {
        Self {
            path: kept.path,
            in_file: kept.in_file,
            in_table: kept.in_table,
            set_at: kept.set_by.as_ref().map(|by| by.at),
            set_by: kept.set_by.map(|by| by.applier),
        }
    }
}

/// For people.
pub fn table(applied: &[AppliedObject], paint: Paint) -> String {
    let mut text = String::new();
    for object in applied {
        let tone = if object.result == "unchanged" {
            Tone::Dim
        } else {
            Tone::Good
        };
        text.push_str(&format!(
            "{} {}\n",
            object.title(),
            paint.tone(tone, &object.result)
        ));
        for change in &object.changes {
            text.push_str(&format!(
                "  {}: {} -> {}\n",
                change.path,
                short(change.from.as_ref()),
                short(change.to.as_ref())
            ));
        }
        for kept in &object.kept {
            let by = kept.set_by.as_deref().unwrap_or("somebody else");
            let line = format!(
                "  kept {}: {}, set by {by} (the file says {}; --force writes the file)",
                kept.path,
                short(kept.in_table.as_ref()),
                short(kept.in_file.as_ref())
            );
            text.push_str(&paint.tone(Tone::Fair, &line));
            text.push('\n');
        }
    }
    text
}

/// A value in one line; what is long is cut.
fn short(value: Option<&Value>) -> String {
    let text = match value {
        None => return "nothing".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let text = crate::report::paint::brief(&crate::report::paint::printable(&text));
    if text.chars().count() <= 80 {
        return text;
    }
    text.chars().take(79).chain(['…']).collect()
}
