//! `approve`: agreeing to a revision, or to a deployment that waits at a pause hook.

mod pause;

use clap::Args;
use serde_json::{Value, json};

use super::connect::Connection;
use super::error::{CliError, Exit};
use super::retry::unchecked;
use super::settings::Settings;
use super::target::ReleaseName;
use crate::model::ledger::{Ledger, RequestKind, Revision};
use crate::report::release::standing;
use crate::resource::meta::Release;
use crate::resource::status::ReleaseStatus;

#[derive(Debug, Args)]
#[command(after_help = "\
Nothing of a new revision begins before it is approved, where the release or its environment says
`approval: required`. `get NAME` names the revision that waits, and `plan NAME` what else it waits
for. An approval is of what the revision runs: the same again, under another number, is approved.

With --service ECS is told that a deployment goes on which waits at a pause hook; with --reject it
is rolled back, and the release goes back as after any rollout that failed.

Exit code: 0 asked for, 2 when another revision waits, or none; when the service does not wait.

Examples:
  evenkeel approve rails --revision 4
  evenkeel approve rails --service app
  evenkeel approve rails --service app --reject
  evenkeel approve production/rails --revision 4 && evenkeel wait production/rails")]
pub struct ApproveArgs {
    /// NAME, or NAMESPACE/NAME
    #[arg(value_name = "NAME")]
    name: String,
    /// The revision that was looked at
    #[arg(
        long,
        env = "EVENKEEL_APPROVE_REVISION",
        hide_env_values = true,
        value_name = "N",
        required_unless_present = "service",
        conflicts_with = "service"
    )]
    revision: Option<u64>,
    /// The service whose deployment waits at a pause hook
    #[arg(
        long,
        env = "EVENKEEL_APPROVE_SERVICE",
        hide_env_values = true,
        value_name = "SERVICE"
    )]
    service: Option<String>,
    /// Have ECS roll the deployment back instead
    #[arg(
        long,
        env = "EVENKEEL_APPROVE_REJECT",
        hide_env_values = true,
        requires = "service"
    )]
    reject: bool,
}

pub async fn run(args: &ApproveArgs, settings: &Settings) -> Result<Exit, CliError> {
    let name = ReleaseName::parse(&args.name, settings.namespace.as_deref())?;
    let connection = Connection::open(settings).await?;
    let release = connection.find(&name).await?;
    if let Some(service) = &args.service {
        return pause::answer(&connection, &release, service, args.reject, settings).await;
    }
    let number = args.revision.unwrap_or_default();
    waits(&release, number)?;
    let ledger = connection.ledger_if_allowed(&release).await?;
    if ledger.is_none() {
        unchecked(&release, settings)?;
    }
    let revision = recorded(&release, ledger.as_ref(), number)?;
    let kind = RequestKind::Approve { revision: number };
    connection.request(&release, kind).await?;
    let value = told(&release, number, revision);
    settings.out.print(&value, |_| table(&value))?;
    Ok(Exit::Done)
}

/// Refuses a revision that does not wait for an approval.
fn waits(release: &Release, number: u64) -> Result<(), CliError> {
    let key = release.release_key();
    let status = release.status.clone().unwrap_or_default();
    if status.observed_generation != release.metadata.generation {
        return Err(CliError::new(format!(
            "the controller has not looked at the newest generation of release {key} yet, so no \
             revision of it can be approved"
        ))
        .help(format!("look at it with `evenkeel get {key}` in a moment")));
    }
    let waiting = status.approval.filter(|approval| approval.by.is_none());
    match waiting {
        Some(approval) if approval.revision == number => Ok(()),
        Some(approval) => Err(CliError::new(format!(
            "revision {number} of release {key} does not wait for approval: revision {} does",
            approval.revision
        ))
        .help(format!("look at that one first: `evenkeel get {key}`"))),
        None => Err(CliError::new(format!(
            "no revision of release {key} waits for approval ({})",
            standing(release).reason
        ))),
    }
}

/// The revision as recorded, where the caller may look.
fn recorded<'a>(
    release: &Release,
    ledger: Option<&'a Ledger>,
    number: u64,
) -> Result<Option<&'a Revision>, CliError> {
    let Some(ledger) = ledger else {
        return Ok(None);
    };
    let found = ledger.revisions.get(&number).ok_or_else(|| {
        let key = release.release_key();
        CliError::new(format!("release {key} has no revision {number}"))
    })?;
    Ok(Some(found))
}

/// What was approved: its images, and where it came from.
fn told(release: &Release, number: u64, revision: Option<&Revision>) -> Value {
    let images: Value = match revision {
        Some(revision) => {
            let images = revision.images.iter();
            images
                .map(|(name, image)| (name.clone(), json!(image.image)))
                .collect()
        }
        None => of_status(release.status.as_ref()),
    };
    json!({
        "release": release.release_key().to_string(),
        "requested": "Approve",
        "revision": number,
        "images": images,
        "source": revision.and_then(|revision| revision.source.clone()),
        "applier": revision.and_then(|revision| revision.applier.clone()),
    })
}

/// What the status says of the images, for who may not read the revision.
fn of_status(status: Option<&ReleaseStatus>) -> Value {
    let images = status.into_iter().flat_map(|status| &status.images);
    images
        .map(|(name, image)| {
            let digest = image.digest.as_ref();
            let told = digest.map_or_else(
                || image.reference.clone(),
                |digest| format!("{} at {digest}", image.reference),
            );
            (name.clone(), Value::from(told))
        })
        .collect()
}

fn table(value: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut told = format!(
        "release/{} approval of revision {} requested\n",
        text(&value["release"]),
        value["revision"]
    );
    for (name, image) in value["images"].as_object().into_iter().flatten() {
        told.push_str(&format!("  image {name}: {}\n", text(image)));
    }
    for (word, value) in [
        ("source", &value["source"]),
        ("applied by", &value["applier"]),
    ] {
        if let Some(found) = value.as_str() {
            told.push_str(&format!("  {word}: {found}\n"));
        }
    }
    told
}
