//! `Environment.spec.notifications`.

use super::{names, secret, unique};
use crate::resource::environment::EnvironmentSpec;
use crate::resource::notification::{
    EventBridgeTarget, Notification, PLACEHOLDERS, Piece, SnsTarget, pieces,
};
use crate::resource::path::FieldPath;
use crate::resource::problem::FieldError;
use crate::resource::suggest;

/// How many an Environment may have: all that is told of a Release at once fits into one write.
const MOST: usize = 20;
/// The longest template, in bytes.
const TEMPLATE: usize = 4096;

pub(super) fn notifications(
    spec: &EnvironmentSpec,
    path: &FieldPath,
    errors: &mut Vec<FieldError>,
) {
    let list = path.key("notifications");
    if spec.notifications.len() > MOST {
        let message = format!("are {}, and {MOST} may be", spec.notifications.len());
        errors.push(
            FieldError::new(list.clone(), message)
                .help("tell an SNS topic or an event bus, and let it tell the others"),
        );
    }
    unique(
        spec.notifications.iter().map(|found| found.name.as_str()),
        &list,
        "notification",
        errors,
    );
    for (index, found) in spec.notifications.iter().enumerate() {
        one(found, &list.index(index), errors);
    }
}

fn one(notification: &Notification, path: &FieldPath, errors: &mut Vec<FieldError>) {
    names::dns_label(&notification.name, path.key("name"), errors);
    targets(notification, path, errors);
    if let Some(slack) = &notification.slack {
        let here = path.key("slack").key("webhookUrl");
        secret::reference(&slack.webhook_url, &here, errors);
    }
    if let Some(sns) = &notification.sns {
        topic(sns, &path.key("sns"), errors);
    }
    if let Some(bus) = &notification.event_bridge {
        event_bridge(bus, &path.key("eventBridge"), errors);
    }
    events(notification, path, errors);
    let globs = path.key("releases");
    if notification.releases.as_ref().is_some_and(Vec::is_empty) {
        let error = FieldError::new(globs.clone(), "is empty, so that nothing is told");
        errors.push(error.help("leave it out to be told of every Release"));
    }
    for (index, pattern) in notification.releases.iter().flatten().enumerate() {
        names::glob(pattern, globs.index(index), errors);
    }
    if let Some(text) = &notification.template {
        template(text, &path.key("template"), errors);
    }
}

/// Exactly one way to tell.
fn targets(notification: &Notification, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let given = [
        ("slack", notification.slack.is_some()),
        ("sns", notification.sns.is_some()),
        ("eventBridge", notification.event_bridge.is_some()),
    ];
    let given: Vec<&str> = given
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
        .collect();
    match given.as_slice() {
        [_] => {}
        [] => errors.push(
            FieldError::new(path.clone(), "says not whom to tell")
                .help("write one of `slack`, `sns` and `eventBridge`"),
        ),
        several => {
            let message = format!("has several targets: {}", several.join(", "));
            errors.push(
                FieldError::new(path.clone(), message)
                    .help("write one notification for each, with names of their own"),
            );
        }
    }
}

fn topic(sns: &SnsTarget, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let right = names::arn(&sns.topic_arn).is_some_and(|(service, region, account, name)| {
        let plain = name.strip_suffix(".fifo").unwrap_or(name);
        service == "sns"
            && names::is_region(region)
            && names::is_account(account)
            && name.len() <= 256
            && names::is_ecs_name(plain)
    });
    if !right {
        let message = format!("`{}` is not the ARN of an SNS topic", sns.topic_arn);
        errors.push(
            FieldError::new(path.key("topicArn"), message)
                .help("write for example `arn:aws:sns:eu-central-1:123456789012:releases`"),
        );
    }
}

fn event_bridge(bus: &EventBridgeTarget, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let name = &bus.event_bus_name;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let is_name = |name: &str| (1..=256).contains(&name.len()) && name.chars().all(allowed);
    let right = match name.starts_with("arn:") {
        false => is_name(name),
        true => names::arn(name).is_some_and(|(service, region, account, resource)| {
            let bus = resource.strip_prefix("event-bus/");
            service == "events"
                && names::is_region(region)
                && names::is_account(account)
                && bus.is_some_and(is_name)
        }),
    };
    if !right {
        let message = format!("`{name}` is not the name or ARN of an event bus");
        errors.push(
            FieldError::new(path.key("eventBusName"), message)
                .help("write `default`, or the name or ARN of a bus of your own"),
        );
    }
    let Some(source) = &bus.source else { return };
    let here = path.key("source");
    if !(1..=256).contains(&source.len()) || !source.chars().all(allowed) {
        let message = format!("`{source}` is not the source of an event");
        let help =
            "use 1 to 256 letters, digits, `.`, `_`, `-` and `/`, for example `com.acme.evenkeel`";
        errors.push(FieldError::new(here, message).help(help));
    } else if source.starts_with("aws.") {
        errors.push(
            FieldError::new(here, format!("`{source}` is AWS's own"))
                .help("leave it out for `evenkeel`, or write a name of your own"),
        );
    }
}

fn events(notification: &Notification, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let Some(on) = &notification.on else { return };
    let list = path.key("on");
    if on.is_empty() {
        errors.push(
            FieldError::new(list.clone(), "is empty, so that nothing is told")
                .help("leave it out to be told of everything"),
        );
    }
    for (index, event) in on.iter().enumerate() {
        if on[..index].contains(event) {
            let message = format!("`{event}` stands here twice");
            errors.push(FieldError::new(list.index(index), message).help("take it out"));
        }
    }
}

fn template(text: &str, path: &FieldPath, errors: &mut Vec<FieldError>) {
    if text.trim().is_empty() {
        let error = FieldError::new(path.clone(), "is empty");
        errors.push(error.help("leave it out for evenkeel's own text"));
    }
    if text.len() > TEMPLATE {
        let message = format!("is {} bytes long, and {TEMPLATE} may be", text.len());
        errors.push(FieldError::new(path.clone(), message).help("make it shorter"));
    }
    for piece in pieces(text) {
        match piece {
            Piece::Text(_) => {}
            Piece::Placeholder(name) if PLACEHOLDERS.contains(&name) => {}
            Piece::Placeholder(name) => {
                let message = format!("`${{{name}}}` stands for nothing");
                let error = FieldError::new(path.clone(), message);
                errors.push(error.help(known(name)));
            }
            Piece::Open(_) => {
                let error = FieldError::new(path.clone(), "has a `${` that nothing closes");
                errors.push(error.help("write for example `${release}`"));
            }
        }
    }
}

fn known(name: &str) -> String {
    match suggest::nearest(name, PLACEHOLDERS) {
        Some(near) => format!("did you mean `${{{near}}}`?"),
        None => {
            let all = PLACEHOLDERS.map(|name| format!("`${{{name}}}`"));
            format!("these do: {}", all.join(", "))
        }
    }
}

#[cfg(test)]
mod tests;
