//! Images: a tag becomes a digest once per generation, before anything else happens.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::draft::Draft;
use crate::model::desired::{Image, Wanted};
use crate::model::known::Known;
use crate::model::ledger::{ResolvedImage, Revision};
use crate::resource::release::Pin;
use crate::resource::status::{DifferenceAction, ImageStatus, PartState};

/// Digests of every image; `None` while one is missing or unknown, which is told in the draft.
pub fn resolve(
    draft: &mut Draft<'_>,
    recorded: Option<&Revision>,
) -> Option<BTreeMap<String, ResolvedImage>> {
    let desired = draft.input.desired;
    if let Some(revision) = recorded {
        for (name, image) in &revision.images {
            draft.status.images.insert(name.clone(), done(image));
        }
        return Some(revision.images.clone());
    }
    let mut resolved = BTreeMap::new();
    for (name, image) in &desired.images {
        if let Some(found) = resolve_one(draft, name, image) {
            draft.status.images.insert(name.clone(), done(&found));
            resolved.insert(name.clone(), found);
        }
    }
    (resolved.len() == desired.images.len()).then_some(resolved)
}

fn done(image: &ResolvedImage) -> ImageStatus {
    ImageStatus {
        state: PartState::Done,
        reference: image.reference.clone(),
        digest: image.digest.clone(),
        ..ImageStatus::default()
    }
}

fn resolve_one(draft: &mut Draft<'_>, name: &str, image: &Image) -> Option<ResolvedImage> {
    let found = |digest: Option<&str>| ResolvedImage {
        reference: image.reference(),
        image: pinned(image, digest),
        digest: digest.map(str::to_owned),
        tag: None,
    };
    if image.ecr.is_none() {
        return Some(match &image.wanted {
            Wanted::Digest(digest) => found(Some(digest)),
            Wanted::Tag(_) => found(None),
        });
    }
    match draft.input.observed.images.get(name) {
        Some(Known::Present(digest)) => Some(found(Some(digest))),
        Some(Known::Absent) => {
            missing(draft, name, image);
            None
        }
        Some(Known::Unknown(why)) => {
            let message = format!("image {name}: {why}");
            unknown(draft, name, image, &message);
            None
        }
        None => {
            let message = format!("image {name}: {} was not looked up", image.reference());
            unknown(draft, name, image, &message);
            None
        }
    }
}

/// What goes into a container definition.
fn pinned(image: &Image, digest: Option<&str>) -> String {
    match (image.pin, digest) {
        (Pin::Digest, Some(digest)) => format!("{}@{digest}", image.repository),
        _ => image.reference(),
    }
}

fn unknown(draft: &mut Draft<'_>, name: &str, image: &Image, message: &str) {
    draft.doubt(&format!("image/{name}"), message);
    let status = ImageStatus {
        state: PartState::Unknown,
        reference: image.reference(),
        // A look that failed does not start the wait anew.
        missing_since: missing_since(draft, name, image),
        message: Some(message.to_owned()),
        ..ImageStatus::default()
    };
    draft.status.images.insert(name.to_owned(), status);
}

/// A commit may overtake its push: waits, and stalls when that takes too long.
fn missing(draft: &mut Draft<'_>, name: &str, image: &Image) {
    let now = draft.input.now;
    let since = missing_since(draft, name, image).unwrap_or(now);
    let waited = now.duration_since(since);
    let limit = draft.input.desired.image_timeout;
    let resource = format!("image/{name}");
    let reference = image.reference();
    let (state, message) = if waited >= limit {
        let message = format!(
            "image {name}: {reference} is not in its registry, after waiting {limit:#}; push it (the release goes on by itself then) or set another tag"
        );
        draft.stall(&resource, "ImageNotFound", message.clone());
        (PartState::Failed, message)
    } else {
        let message = format!("image {name}: waiting for {reference} to be pushed");
        draft.progress(&resource, "ImagePending", message.clone());
        (PartState::Pending, message)
    };
    let status = ImageStatus {
        state,
        reference,
        missing_since: Some(since),
        message: Some(message),
        ..ImageStatus::default()
    };
    draft.status.images.insert(name.to_owned(), status);
}

/// Since when this image of this generation has been missing, as the status has it.
fn missing_since(draft: &Draft<'_>, name: &str, image: &Image) -> Option<Timestamp> {
    let before = draft.input.previous;
    let same = before.observed_generation == Some(draft.input.desired.generation);
    before
        .images
        .get(name)
        .filter(|status| same && status.reference == image.reference())?
        .missing_since
}

/// A tag that moved, or an image that is gone: told, never followed.
pub fn drift(draft: &mut Draft<'_>, revision: &Revision) {
    for (name, recorded) in &revision.images {
        let Some(digest) = &recorded.digest else {
            continue;
        };
        let observed = draft.input.observed;
        let resource = format!("image/{name}");
        let gone = "(gone from the registry)";
        let runs_by_tag = draft
            .input
            .desired
            .images
            .get(name)
            .is_some_and(|image| image.pin == Pin::Tag);
        let points_at = match observed.images.get(name) {
            Some(Known::Present(now)) => Some(now.as_str()),
            // New tasks pull the tag only where it is what is run.
            Some(Known::Absent) if runs_by_tag => Some(gone),
            Some(Known::Unknown(why)) => {
                draft.doubt(&resource, format!("{resource}: {why}"));
                None
            }
            Some(Known::Absent) | None => None,
        };
        if let Some(actual) = points_at.filter(|now| now != digest) {
            super::drift::differs(
                draft,
                &resource,
                "tag",
                format!("{} at {digest}", recorded.reference),
                actual.to_owned(),
                DifferenceAction::Reported,
            );
        }
        if let Some(Known::Absent) = observed.pinned.get(name) {
            super::drift::differs(
                draft,
                &resource,
                "digest",
                digest.clone(),
                gone.to_owned(),
                DifferenceAction::Reported,
            );
        }
    }
}
