//! What is followed: a new image behind a tag, or a newer tag, makes a new revision of the same
//! generation.

use std::collections::BTreeMap;

use super::newest::{self, Choice, Images, Tags};
use super::{found, reference_of};
use crate::model::desired::{Desired, Image, Pick, TagPattern, Wanted};
use crate::model::known::Known;
use crate::model::ledger::{ResolvedImage, Revision, RevisionOutcome};
use crate::model::observed::{Observed, TaggedImage};

/// The images of the newest revision of this generation with those put in that have moved since;
/// none where none did. What is absent or unknown has not moved.
pub fn moved(
    desired: &Desired,
    observed: &Observed,
    current: &Revision,
) -> Option<BTreeMap<String, ResolvedImage>> {
    // What a person went back to stands still until the next apply.
    if current.pinned.is_some() {
        return None;
    }
    let rejected = newest::rejected(&observed.ledger.revisions);
    let mut images = current.images.clone();
    for (name, image) in &desired.images {
        let now = now(desired, observed, &rejected, name, image);
        if let Some(recorded) = images.get_mut(name)
            && let Some(now) = now
            && now.image != recorded.image
        {
            *recorded = now;
        }
    }
    if images == current.images {
        return None;
    }
    if current.outcome == RevisionOutcome::Rejected {
        leave_behind(desired, observed, &rejected, current, &mut images);
    }
    Some(images)
}

/// What an image that is followed is now.
fn now(
    desired: &Desired,
    observed: &Observed,
    rejected: &Images,
    name: &str,
    image: &Image,
) -> Option<ResolvedImage> {
    match &image.pick {
        Pick::One(Wanted::Tag(_)) if image.follow => {
            let digest = observed.images.get(name)?.present()?;
            Some(found(image, Some(digest)))
        }
        Pick::One(_) => None,
        Pick::Newest(pattern) => {
            let (tag, digest) = newer(desired, observed, rejected, name, image, pattern)?.taken?;
            Some(reference_of(image, tag, digest))
        }
    }
}

/// What is newer among the tags than what this generation has.
pub fn newer<'a>(
    desired: &Desired,
    observed: &'a Observed,
    rejected: &'a Images,
    name: &str,
    image: &'a Image,
    pattern: &TagPattern,
) -> Option<Choice<'a>> {
    let taken = newest::taken(&observed.ledger.revisions, desired.generation, name);
    let tags = tags(image, observed.tags.get(name)?.present()?, rejected);
    Some(newest::choose_newer(pattern, tags, &taken))
}

/// The tags of an image's repository.
pub fn tags<'a>(image: &'a Image, all: &'a [TaggedImage], rejected: &'a Images) -> Tags<'a> {
    Tags {
        repository: &image.repository,
        all,
        rejected,
    }
}

/// A revision that comes after one that was rejected does not try its images again, where there
/// are others to take: those that stood before.
fn leave_behind(
    desired: &Desired,
    observed: &Observed,
    rejected: &Images,
    current: &Revision,
    images: &mut BTreeMap<String, ResolvedImage>,
) {
    let revisions = &observed.ledger.revisions;
    for (name, image) in &desired.images {
        let Pick::Newest(pattern) = &image.pick else {
            continue;
        };
        let Some(recorded) = images.get_mut(name) else {
            continue;
        };
        let digest = recorded.digest.clone().unwrap_or_default();
        let is_out = rejected.contains(&(recorded.reference.clone(), digest));
        if !is_out || current.images.get(name) != Some(recorded) {
            continue;
        }
        let listed = observed.tags.get(name).and_then(Known::present);
        let all = listed.map(|all| all.as_slice()).unwrap_or_default();
        let taken = newest::taken(revisions, desired.generation, name);
        if let Some(before) = newest::stood(pattern, all, &taken) {
            *recorded = before.image.clone();
        }
    }
}

/// Says which images a revision has that the one before it had not.
pub fn what_moved(before: &Revision, after: &Revision) -> String {
    let others = after.images.iter().filter_map(|(name, image)| {
        let was = before.images.get(name)?;
        if was.image == image.image {
            return None;
        }
        let digest = image.digest.as_deref().unwrap_or_default();
        let (tag, old) = (tag_of(image), tag_of(was));
        Some(match old == tag {
            true => format!("image {name}: {tag} moved to {digest}"),
            false => format!("image {name}: {tag} ({digest}) takes the place of {old}"),
        })
    });
    others.collect::<Vec<_>>().join(", ")
}

/// What stands behind the last colon: repositories that are followed have no digest there.
fn tag_of(image: &ResolvedImage) -> &str {
    image.reference.rsplit(':').next().unwrap_or_default()
}
