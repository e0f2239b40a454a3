//! What a notice says, in words for people.

use crate::model::notice::Notice;
use crate::resource::notification::{NotificationEvent, Piece, pieces};

/// The longest subject that SNS takes is shorter than 100 characters.
const SUBJECT: usize = 99;

/// Images that are named before the others are counted.
const IMAGES: usize = 8;

/// The text of a notice by a template, or evenkeel's own. `escape` is for what is put in, of which
/// nobody knows what it holds; a template's own words stand as they are.
pub fn render(template: Option<&str>, notice: &Notice, escape: impl Fn(&str) -> String) -> String {
    let Some(template) = template else {
        return escape(&usual(notice));
    };
    let mut text = String::new();
    for piece in pieces(template) {
        match piece {
            Piece::Text(own) => text.push_str(own),
            Piece::Placeholder(name) => text.push_str(&escape(&value(notice, name))),
            // Validation lets none through.
            Piece::Open(_) => {}
        }
    }
    text
}

/// A line for where only one has room, in ASCII.
pub fn subject(notice: &Notice) -> String {
    let event = notice.event;
    let line = match notice.revision {
        Some(revision) => format!("{}: {event}, revision {revision}", notice.release),
        None => format!("{}: {event}", notice.release),
    };
    let ascii = line.chars().filter(|c| c.is_ascii() && !c.is_control());
    ascii.take(SUBJECT).collect()
}

fn value(notice: &Notice, name: &str) -> String {
    match name {
        "release" => notice.release.name.clone(),
        "namespace" => notice.release.namespace.clone(),
        "event" => notice.event.to_string(),
        "reason" => notice.reason.clone(),
        "message" => notice.message.clone(),
        "generation" => notice.generation.to_string(),
        "revision" => notice
            .revision
            .map_or_else(String::new, |it| it.to_string()),
        "images" => images(notice),
        "source" => notice.source.clone().unwrap_or_default(),
        "applier" => notice.applier.clone().unwrap_or_default(),
        // Validation lets none through.
        _ => String::new(),
    }
}

/// evenkeel's own text: what happened first, then why, then what to do.
fn usual(notice: &Notice) -> String {
    let key = &notice.release;
    let message = notice.message.trim_end_matches('.');
    let which = match notice.revision {
        Some(revision) => format!("revision {revision} (generation {})", notice.generation),
        None => format!("generation {}", notice.generation),
    };
    match notice.event {
        NotificationEvent::Started => format!("{key}: {which} begins.{}", details(notice)),
        NotificationEvent::Ready => {
            let again = if notice.again { " again" } else { "" };
            format!("{key} is Ready{again}: {message}.{}", details(notice))
        }
        NotificationEvent::Stalled => format!(
            "{key} is Stalled ({}) at {which} and needs a person: {message}.{}\nLook at it with \
             `evenkeel get {key}`.",
            notice.reason,
            details(notice)
        ),
        NotificationEvent::RolledBack => {
            format!("{key} was rolled back: {message}.{}", details(notice))
        }
        NotificationEvent::DriftFound => format!(
            "{key} is not as declared any more: {message}.\nLook at it with `evenkeel drift {key}`."
        ),
        NotificationEvent::DriftCorrected => format!("{key} is as declared again: {message}."),
        NotificationEvent::WaitingForApproval => {
            format!("{key}: {message}.{}", details(notice))
        }
    }
}

/// What is in it, and whose it is.
fn details(notice: &Notice) -> String {
    let mut text = String::new();
    if !notice.images.is_empty() {
        text.push_str(&format!("\nImages: {}.", images(notice)));
    }
    match (&notice.applier, &notice.source) {
        (Some(applier), Some(source)) => {
            text.push_str(&format!("\nApplied by {applier} from {source}."));
        }
        (Some(applier), None) => text.push_str(&format!("\nApplied by {applier}.")),
        (None, Some(source)) => text.push_str(&format!("\nApplied from {source}.")),
        (None, None) => {}
    }
    text
}

fn images(notice: &Notice) -> String {
    let all = notice.images.iter();
    let mut told: Vec<String> = all
        .take(IMAGES)
        .map(|(name, reference)| format!("{name} {}", short(reference)))
        .collect();
    if notice.images.len() > IMAGES {
        told.push(format!("and {} more", notice.images.len() - IMAGES));
    }
    told.join(", ")
}

/// A reference without its registry, and with no more of a digest than tells it apart.
fn short(reference: &str) -> String {
    let name = match reference.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) => rest,
        _ => reference,
    };
    match name.split_once("@sha256:") {
        Some((name, digest)) => {
            let digest: String = digest.chars().take(12).collect();
            format!("{name}@{digest}")
        }
        None => name.to_owned(),
    }
}
