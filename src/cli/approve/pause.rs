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
    let services = release.status.iter().flat_map(|status| &status.services);
    let part = services.clone().find(|part| part.name == service);
    let Some(part) = part else {
        return Err(CliError::new(format!(
            "release {key} has no service {service}"
        )));
    };
    let others: Vec<&str> = services
        .filter(|part| part.pause.is_some())
        .map(|part| part.name.as_str())
        .collect();
    let pause = part.pause.as_ref().ok_or_else(|| {
        let error = CliError::new(format!(
            "service {service} of release {key} does not wait at a pause hook"
        ));
        match others.is_empty() {
            true => error.help(format!("look at it with `evenkeel get {key}`")),
            false => error.help(format!("what waits: {}", others.join(", "))),
        }
    })?;
    Ok((part, pause))
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
