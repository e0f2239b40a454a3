//! Images: a tag becomes a digest before anything else happens, and stays that one unless it is
//! followed.

mod follow;
mod newest;

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::draft::Draft;
use crate::model::desired::{Image, Pick, TagPattern, Wanted};
use crate::model::known::Known;
use crate::model::ledger::{ResolvedImage, Revision};
use crate::model::observed::TaggedImage;
use crate::resource::release::{Pin, TagOrder};
use crate::resource::status::{DifferenceAction, ImageStatus, PartState};

pub use follow::{in_the_way, moved, what_moved, witnesses};

/// Digests of every image; `None` while one is missing or unknown, which is told in the draft.
/// Those of the newest revision of this generation are kept, but for what is followed and moved.
pub fn resolve(
    draft: &mut Draft<'_>,
    recorded: Option<&Revision>,
) -> Option<BTreeMap<String, ResolvedImage>> {
    let desired = draft.input.desired;
    if let Some(revision) = recorded {
        let moved = moved(desired, draft.input.observed, revision);
        let images = moved.unwrap_or_else(|| revision.images.clone());
        for (name, image) in &images {
            let message = passed_over(draft, revision, name, image);
            draft
                .status
                .images
                .insert(name.clone(), done(image, message));
        }
        return Some(images);
    }
    let mut resolved = BTreeMap::new();
    for (name, image) in &desired.images {
        let resolution = match &image.pick {
            Pick::One(wanted) => resolve_one(draft, name, image, wanted).map(|it| (it, None)),
            Pick::Newest(pattern) => resolve_newest(draft, name, image, pattern),
        };
        if let Some((found, message)) = resolution {
            draft
                .status
                .images
                .insert(name.clone(), done(&found, message));
            resolved.insert(name.clone(), found);
        }
    }
    (resolved.len() == desired.images.len()).then_some(resolved)
}

fn done(image: &ResolvedImage, message: Option<String>) -> ImageStatus {
    ImageStatus {
        state: PartState::Done,
        reference: image.reference.clone(),
        digest: image.digest.clone(),
        message,
        ..ImageStatus::default()
    }
}

/// An image that was asked for by its tag or digest.
fn found(image: &Image, digest: Option<&str>) -> ResolvedImage {
    ResolvedImage {
        reference: image.reference(),
        image: pinned(image, &image.reference(), digest),
        digest: digest.map(str::to_owned),
        tag: None,
    }
}

/// An image that was chosen by its tag.
fn reference_of(image: &Image, tag: &str, digest: &str) -> ResolvedImage {
    let reference = format!("{}:{tag}", image.repository);
    ResolvedImage {
        image: pinned(image, &reference, Some(digest)),
        reference,
        digest: Some(digest.to_owned()),
        tag: Some(tag.to_owned()),
    }
}

fn resolve_one(
    draft: &mut Draft<'_>,
    name: &str,
    image: &Image,
    wanted: &Wanted,
) -> Option<ResolvedImage> {
    if image.ecr.is_none() {
        return Some(match wanted {
            Wanted::Digest(digest) => found(image, Some(digest)),
            Wanted::Tag(_) => found(image, None),
        });
    }
    match draft.input.observed.images.get(name) {
        Some(Known::Present(digest)) => Some(found(image, Some(digest))),
        Some(Known::Absent) => {
            let reference = image.reference();
            let sentences = Sentences {
                waits: format!("image {name}: waiting for {reference} to be pushed"),
                gone: format!("image {name}: {reference} is not in its registry"),
                way_out: "push it (the release goes on by itself then) or set another tag",
            };
            missing(draft, name, image, sentences);
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

/// The newest tag that matches, with what is to be said of it.
fn resolve_newest(
    draft: &mut Draft<'_>,
    name: &str,
    image: &Image,
    pattern: &TagPattern,
) -> Option<(ResolvedImage, Option<String>)> {
    let observed = draft.input.observed;
    let all: &[TaggedImage] = match observed.tags.get(name) {
        Some(Known::Present(all)) => all,
        Some(Known::Absent) => &[],
        Some(Known::Unknown(why)) => {
            let message = format!("image {name}: {why}");
            unknown(draft, name, image, &message);
            return None;
        }
        None => {
            let message = format!(
                "image {name}: the tags of {} were not listed",
                image.repository
            );
            unknown(draft, name, image, &message);
            return None;
        }
    };
    let rejected = newest::rejected(&observed.ledger.revisions);
    let (tags, taken) = (
        follow::tags(image, all, &rejected),
        follow::taken(draft.input.desired, observed, name),
    );
    let stood = newest::stood(pattern, tags, &taken);
    let choice = match stood {
        Some(_) => newest::choose_newer(pattern, tags, &taken),
        None => newest::choose(pattern, tags),
    };
    // Where nothing is newer what stood stays, also once its tag is gone.
    let stood = stood.and_then(|it| it.image.tag.as_deref().zip(it.image.digest.as_deref()));
    if let Some((tag, digest)) = choice.taken.or(stood) {
        let message = choice.passed_over.map(out);
        return Some((reference_of(image, tag, digest), message));
    }
    let none = format!(
        "no tag of {} matches `{}` in the order {} ({} tags were looked at{})",
        image.repository,
        pattern.text,
        order(pattern),
        all.len(),
        match choice.matching {
            0 => "",
            _ => ", and revisions with those that match were rejected",
        }
    );
    let way_out = match choice.matching {
        0 => "push one (the release goes on by itself then) or set another tagPattern",
        _ => {
            "push another one (the release goes on by itself then), or have those tried again with `evenkeel apply --force`"
        }
    };
    let sentences = Sentences {
        waits: format!("image {name}: waiting for a tag to be pushed: {none}"),
        gone: format!("image {name}: {none}"),
        way_out,
    };
    missing(draft, name, image, sentences);
    None
}

fn order(pattern: &TagPattern) -> &'static str {
    match pattern.order {
        TagOrder::Semver => "semver",
        TagOrder::Alphabetical => "alphabetical",
        TagOrder::PushedAt => "pushedAt",
    }
}

fn out(tag: &str) -> String {
    format!(
        "{tag} is passed over: a revision with it was rejected or gone back from; `evenkeel apply --force` has it tried again"
    )
}

/// Says that there is a newer image than that of a revision, which is not taken.
fn passed_over(
    draft: &Draft<'_>,
    revision: &Revision,
    name: &str,
    recorded: &ResolvedImage,
) -> Option<String> {
    let (desired, observed) = (draft.input.desired, draft.input.observed);
    let image = desired.images.get(name).filter(|it| it.is_followed())?;
    if revision.pinned.is_some() {
        return None;
    }
    let rejected = newest::rejected(&observed.ledger.revisions);
    if let Pick::Newest(pattern) = &image.pick {
        let choice = follow::newer(desired, observed, &rejected, name, image, pattern)?;
        let tag = choice.passed_over?;
        return (recorded.tag.as_deref() != Some(tag)).then(|| out(tag));
    }
    let now = follow::now(desired, observed, &rejected, name, image)?;
    let is_told = now.digest == recorded.digest || !newest::is_out(&rejected, &now);
    (!is_told).then(|| {
        let tag = now.reference.rsplit(':').next().unwrap_or_default();
        out(&format!(
            "{tag} at {}",
            now.digest.as_deref().unwrap_or_default()
        ))
    })
}

/// What goes into a container definition.
fn pinned(image: &Image, reference: &str, digest: Option<&str>) -> String {
    match (image.pin, digest) {
        (Pin::Digest, Some(digest)) => format!("{}@{digest}", image.repository),
        _ => reference.to_owned(),
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

/// What is said of an image that is not there.
struct Sentences {
    /// While it is waited for.
    waits: String,
    /// After that.
    gone: String,
    /// What to do then.
    way_out: &'static str,
}

/// A commit may overtake its push: waits, and stalls when that takes too long.
fn missing(draft: &mut Draft<'_>, name: &str, image: &Image, sentences: Sentences) {
    let now = draft.input.now;
    let since = missing_since(draft, name, image).unwrap_or(now);
    let waited = now.duration_since(since);
    let limit = draft.input.desired.image_timeout;
    let resource = format!("image/{name}");
    let reference = image.reference();
    let Sentences {
        waits,
        gone,
        way_out,
    } = sentences;
    let (state, message) = if waited >= limit {
        let message = format!("{gone}, after waiting {limit:#}; {way_out}");
        draft.stall(&resource, "ImageNotFound", message.clone());
        (PartState::Failed, message)
    } else {
        draft.progress(&resource, "ImagePending", waits.clone());
        (PartState::Pending, waits)
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

/// A tag that moved although it is not followed, or an image that is gone: told.
pub fn drift(draft: &mut Draft<'_>, revision: &Revision) {
    for (name, recorded) in &revision.images {
        let Some(digest) = &recorded.digest else {
            continue;
        };
        let observed = draft.input.observed;
        let resource = format!("image/{name}");
        let gone = "(gone from the registry)";
        let image = draft.input.desired.images.get(name);
        let runs_by_tag = image.is_some_and(|image| image.pin == Pin::Tag);
        let is_followed = image.is_some_and(Image::is_followed);
        let points_at = match points_at(draft, name, recorded) {
            // Where it points is what is wanted, or will be with the next revision.
            Some(Known::Present(_)) if is_followed && !runs_by_tag => None,
            Some(Known::Present(now)) => Some(now),
            // New tasks pull the tag only where it is what is run.
            Some(Known::Absent) if runs_by_tag => Some(gone.to_owned()),
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
                actual,
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

/// The digest behind the tag that was recorded.
fn points_at(draft: &Draft<'_>, name: &str, recorded: &ResolvedImage) -> Option<Known<String>> {
    let observed = draft.input.observed;
    let Some(tag) = &recorded.tag else {
        return observed.images.get(name).cloned();
    };
    let behind = |all: &[TaggedImage]| {
        let found = all.iter().find(|it| it.tag == *tag);
        found.map_or(Known::Absent, |it| Known::Present(it.digest.clone()))
    };
    Some(match observed.tags.get(name)? {
        Known::Present(all) => behind(all),
        Known::Absent => Known::Absent,
        Known::Unknown(why) => Known::Unknown(why.clone()),
    })
}
