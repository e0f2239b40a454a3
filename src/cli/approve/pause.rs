//! A deployment that waits at a pause hook: whether it goes on.

use serde_json::{Value, json};

use crate::cli::connect::Connection;
use crate::cli::error::{CliError, Exit};
use crate::cli::settings::Settings;
use crate::model::ledger::RequestKind;
use crate::resource::meta::Release;
use crate::resource::status::{PauseStatus, ServiceStatus};

pub(super) async fn answer(
    connection: &Connection,
    release: &Release,
    service: &str,
    reject: bool,
    settings: &Settings,
) -> Result<Exit, CliError> {
    let (part, pause) = waiting(release, service)?;
    let kind = RequestKind::Continue {
        service: service.to_owned(),
        hook: pause.hook.clone(),
        reject,
    };
    connection.request(release, kind).await?;
    let value = json!({
        "release": release.release_key().to_string(),
        "requested": if reject { "Reject" } else { "Continue" },
        "service": service,
        "hook": pause.hook,
        "stage": part.stage,
        "taskDefinition": part.task_definition,
    });
    settings.out.print(&value, |_| table(&value))?;
    Ok(Exit::Done)
}

/// The service and the pause hook at which it waits.
fn waiting<'a>(
    release: &'a Release,
    service: &str,
) -> Result<(&'a ServiceStatus, &'a PauseStatus), CliError> {
    let key = release.release_key();
    let mut declared = release.spec.services.iter();
    if !declared.any(|found| found.name == service) {
        return Err(CliError::new(format!(
            "release {key} has no service {service}"
        )));
    }
    let services = release.status.iter().flat_map(|status| &status.services);
    let waiting: Vec<(&ServiceStatus, &PauseStatus)> = services
        .filter_map(|part| Some((part, part.pause.as_ref()?)))
        .collect();
    let found = waiting.iter().find(|(part, _)| part.name == service);
    found.copied().ok_or_else(|| {
        let error = CliError::new(format!(
            "service {service} of release {key} does not wait at a pause hook"
        ));
        let others: Vec<&str> = waiting.iter().map(|(part, _)| part.name.as_str()).collect();
        match others.is_empty() {
            true => error.help(format!("look at it with `evenkeel get {key}`")),
            false => error.help(format!("what waits: {}", others.join(", "))),
        }
    })
}

fn table(value: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let what = match value["requested"] == "Reject" {
        true => "rollback",
        false => "continuation",
    };
    let mut told = format!(
        "release/{} {what} of service/{} requested\n",
        text(&value["release"]),
        text(&value["service"])
    );
    for (word, value) in [
        ("stage", &value["stage"]),
        ("task definition", &value["taskDefinition"]),
    ] {
        if let Some(found) = value.as_str() {
            let short = found.rsplit('/').next().unwrap_or(found);
            told.push_str(&format!("  {word}: {short}\n"));
        }
    }
    told
}
