//! `plan`: what the next pass would do.
//!
//! With files it is the pass after an `apply` of them: each object is merged as `apply` merges it,
//! and what `apply` would refuse is refused.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{ArgGroup, Args};

use super::apply;
use super::connect::Connection;
use super::error::{CliError, Exit};
use super::settings::Settings;
use super::target::ReleaseName;
use super::validate;
use crate::report::plan::PlanReport;
use crate::resource::manifest::{Declared, Manifest};
use crate::resource::meta::Environment;
use crate::store::ApplyOptions;

#[derive(Debug, Args)]
#[command(after_help = "\
Writes nothing. With -f it says what would be done if the same applier applied the manifests:
fields that others set are kept as `apply` would keep them, and what `apply` would refuse is an
error. An Environment that is not among the manifests is taken from the table.

Exit code: 0 nothing to do, 1 something, 2 an error, or nothing that can be known.

Examples:
  evenkeel plan rails
  evenkeel plan -f environment.yaml -f release.yaml
  evenkeel plan -f deploy/ --applier ci
  evenkeel plan rails -o json | jq '.actions[].kind'")]
#[command(group = ArgGroup::new("what").required(true).args(["name", "files"]))]
pub struct PlanArgs {
    /// NAME, or NAMESPACE/NAME
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Manifests: a file, a folder, or - for standard input
    #[arg(
        short,
        long = "file",
        env = "EVENKEEL_PLAN_FILE",
        hide_env_values = true,
        value_name = "PATH"
    )]
    files: Vec<PathBuf>,
    /// With -f: as if the files were written as they are, also over what others set
    #[arg(long, env = "EVENKEEL_PLAN_FORCE", hide_env_values = true,
          value_parser = BoolishValueParser::new())]
    force: bool,
}

pub async fn run(args: &PlanArgs, settings: &Settings) -> Result<Exit, CliError> {
    let mut report = PlanReport::default();
    if let Some(name) = &args.name {
        let name = ReleaseName::parse(name, settings.namespace.as_deref())?;
        let connection = Connection::open(settings).await?;
        let key = connection.find(&name).await?.release_key();
        report.add(None, &connection.reconciler().preview(&key).await?);
    } else {
        let manifests = validate::load(&args.files)?;
        apply::same_namespace(&manifests, settings.namespace.as_deref())?;
        let connection = Connection::open(settings).await?;
        let options = ApplyOptions {
            applier: connection.applier().await?,
            source: None,
            force: args.force,
            now: connection.now(),
        };
        preview(&connection, &manifests, &options, &mut report).await?;
    }
    settings.out.print(&report, |paint| report.table(paint))?;
    Ok(match report.actions.is_empty() {
        true if report.unknown => Exit::Failed,
        true => Exit::Done,
        false => Exit::Found,
    })
}

/// Plans every Release among the manifests, in the Environments as they would be.
async fn preview(
    connection: &Connection,
    manifests: &[Manifest],
    options: &ApplyOptions,
    report: &mut PlanReport,
) -> Result<(), CliError> {
    let releases: Vec<_> = manifests
        .iter()
        .filter_map(|manifest| match &manifest.object {
            Declared::Release(release) => Some((release, manifest.origin.to_string())),
            Declared::Environment(_) => None,
        })
        .collect();
    if releases.is_empty() {
        return Err(CliError::new(
            "the manifests hold no Release, so there is nothing to plan",
        ));
    }
    let all: Vec<&Manifest> = manifests.iter().collect();
    apply::not_rejected(connection, &all, options).await?;
    let manifested = apply::releases(manifests);
    connection.store.refuse_circles(&manifested).await?;
    let environments = environments(connection, manifests, options).await?;
    let reconciler = connection.reconciler();
    for (release, origin) in &releases {
        let key = release.release_key();
        let plan = reconciler
            .preview_manifest(release, environments.get(&key.namespace), options)
            .await
            .map_err(|error| CliError::from(error).at(origin, 0))?;
        report.add((releases.len() > 1).then(|| key.to_string()), &plan);
    }
    Ok(())
}

/// The Environments among the manifests, by name, as applying them would leave them.
async fn environments(
    connection: &Connection,
    manifests: &[Manifest],
    options: &ApplyOptions,
) -> Result<BTreeMap<String, Environment>, CliError> {
    let mut environments = BTreeMap::new();
    for manifest in manifests {
        let Declared::Environment(environment) = &manifest.object else {
            continue;
        };
        let foreseen = connection
            .store
            .environment_if_applied(environment, options)
            .await
            .map_err(|error| CliError::from(error).at(&manifest.origin.to_string(), 0))?;
        environments.insert(environment.metadata.name.clone(), foreseen);
    }
    Ok(environments)
}
