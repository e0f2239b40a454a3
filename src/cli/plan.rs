//! `plan`: what the next pass would do.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use super::connect::Connection;
use super::error::{CliError, Exit};
use super::settings::Settings;
use super::target::ReleaseName;
use super::validate;
use crate::reconcile::Reconciler;
use crate::report::plan::PlanReport;
use crate::resource::manifest::Declared;
use crate::resource::meta::{Environment, Release};

#[derive(Debug, Args)]
#[command(after_help = "\
Writes nothing. With -f it says what would be done if the manifests were applied; an Environment
that is not among them is taken from the table.

Exit code: 0 nothing to do, 1 something, 2 an error.

Examples:
  evenkeel plan rails
  evenkeel plan -f environment.yaml -f release.yaml
  evenkeel plan rails -o json | jq '.actions[].kind'")]
#[group(required = true, multiple = false)]
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
}

pub async fn run(args: &PlanArgs, settings: &Settings) -> Result<Exit, CliError> {
    let mut report = PlanReport::default();
    if let Some(name) = &args.name {
        let name = ReleaseName::parse(name, settings.namespace.as_deref())?;
        let connection = Connection::open(settings).await?;
        let key = connection.find(&name).await?.release_key();
        report.add(None, &connection.reconciler().preview(&key).await?);
    } else {
        let (environments, releases) = manifests(&args.files)?;
        let connection = Connection::open(settings).await?;
        preview(
            &connection.reconciler(),
            &environments,
            &releases,
            &mut report,
        )
        .await?;
    }
    settings.out.print(&report, |paint| report.table(paint))?;
    Ok(if report.actions.is_empty() {
        Exit::Done
    } else {
        Exit::Found
    })
}

fn manifests(files: &[PathBuf]) -> Result<(BTreeMap<String, Environment>, Vec<Release>), CliError> {
    let mut environments = BTreeMap::new();
    let mut releases = Vec::new();
    for manifest in validate::load(files)? {
        match manifest.object {
            Declared::Environment(environment) => {
                environments.insert(environment.metadata.name.clone(), environment);
            }
            Declared::Release(release) => releases.push(release),
        }
    }
    if releases.is_empty() {
        return Err(CliError::new(
            "the manifests hold no Release, so there is nothing to plan",
        ));
    }
    Ok((environments, releases))
}

async fn preview(
    reconciler: &Reconciler,
    environments: &BTreeMap<String, Environment>,
    releases: &[Release],
    report: &mut PlanReport,
) -> Result<(), CliError> {
    let several = releases.len() > 1;
    for release in releases {
        let key = release.release_key();
        let plan = reconciler
            .preview_manifest(release, environments.get(&key.namespace))
            .await?;
        report.add(several.then(|| key.to_string()), &plan);
    }
    Ok(())
}
