//! What is followed: a new image behind a tag, or a newer tag, makes a new revision of the same
//! generation.

use std::collections::{BTreeMap, BTreeSet};

use super::newest::{self, Choice, Images, Tags, Taken};
use super::{found, reference_of};
use crate::model::desired::{Desired, Image, Pick, TagPattern, Wanted};
use crate::model::known::Known;
use crate::model::ledger::{Ledger, ResolvedImage, Revision, RevisionOutcome};
use crate::model::observed::{Observed, TaggedImage};
use crate::resource::release::ReleaseSpec;

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
            // What ran stays: one bad push keeps no other image from being taken.
            && !newest::is_out(&rejected, &now)
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

/// What an image that is followed is now; of a tag also where that is passed over.
pub fn now(
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

/// What is newer among the tags than what was taken.
pub fn newer<'a>(
    desired: &Desired,
    observed: &'a Observed,
    rejected: &'a Images,
    name: &str,
    image: &'a Image,
    pattern: &TagPattern,
) -> Option<Choice<'a>> {
    let taken = taken(desired, observed, name);
    let tags = tags(image, observed.tags.get(name)?.present()?, rejected);
    Some(newest::choose_newer(pattern, tags, &taken))
}

/// What was taken since the pattern of an image was declared as it is: another generation that
/// leaves it alone takes nothing older either.
pub fn taken<'a>(desired: &Desired, observed: &'a Observed, name: &str) -> Vec<Taken<'a>> {
    let choice = |spec: &ReleaseSpec| {
        let image = spec.images.get(name)?;
        let order = image.order.unwrap_or_default();
        Some((image.repository.clone(), image.tag_pattern.clone(), order))
    };
    let declared = choice(&desired.spec);
    newest::taken(&observed.ledger.revisions, name, |it| {
        it.spec.as_ref().and_then(choice) == declared
    })
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
    let followed = desired.images.iter().filter(|(_, it)| it.is_followed());
    for (name, image) in followed {
        let Some(recorded) = images.get_mut(name) else {
            continue;
        };
        if !newest::is_out(rejected, recorded) || current.images.get(name) != Some(recorded) {
            continue;
        }
        let before = match &image.pick {
            Pick::Newest(pattern) => {
                let listed = observed.tags.get(name).and_then(Known::present);
                let all = listed.map(|all| all.as_slice()).unwrap_or_default();
                let taken = taken(desired, observed, name);
                let stood = newest::stood(pattern, tags(image, all, rejected), &taken);
                stood.map(|it| it.image)
            }
            Pick::One(_) => {
                let revisions = &observed.ledger.revisions;
                newest::ran(revisions, rejected, name, &recorded.reference)
            }
        };
        if let Some(before) = before {
            *recorded = before.clone();
        }
    }
}

/// The revisions that tell which images are passed over that would be taken now. `None`: it is not
/// known which would.
pub fn witnesses(desired: &Desired, observed: &Observed) -> Option<BTreeSet<u64>> {
    let revisions = &observed.ledger.revisions;
    let pinned = observed.ledger.pin(desired).is_some();
    if !pinned && !desired.images.values().any(Image::is_followed) {
        return Some(BTreeSet::new());
    }
    let rejected = newest::rejected(revisions);
    // What is followed is not looked at while an earlier revision is kept to.
    if pinned {
        return Some(newest::witnesses(revisions, &rejected));
    }
    let mut out = Images::new();
    for (name, image) in desired.images.iter().filter(|(_, it)| it.is_followed()) {
        let Pick::Newest(pattern) = &image.pick else {
            if let Known::Present(digest) = known(observed.images.get(name)?)? {
                out.insert((image.reference(), digest.clone()));
            }
            continue;
        };
        if let Known::Present(all) = known(observed.tags.get(name)?)? {
            let taken = taken(desired, observed, name);
            let choice = newest::choose_newer(pattern, tags(image, all, &rejected), &taken);
            let reference = |tag: &str| format!("{}:{tag}", image.repository);
            let tags = choice.out.into_iter();
            out.extend(tags.map(|(tag, digest)| (reference(tag), digest.to_owned())));
        }
    }
    Some(newest::witnesses(revisions, &out))
}

fn known<T>(known: &Known<T>) -> Option<&Known<T>> {
    match known {
        Known::Present(_) | Known::Absent => Some(known),
        Known::Unknown(_) => None,
    }
}

/// The revisions on whose account something is passed over that these images may come to, whatever
/// the registry holds now.
pub fn in_the_way(ledger: &Ledger, images: &BTreeMap<String, Image>) -> BTreeSet<u64> {
    let followed: Vec<&Image> = images.values().filter(|it| it.is_followed()).collect();
    if followed.is_empty() {
        return BTreeSet::new();
    }
    let blamed = newest::blamed(&ledger.revisions).into_iter();
    blamed
        .filter(|((reference, _), _)| followed.iter().any(|it| may_take(it, reference)))
        .flat_map(|(_, revisions)| revisions)
        .collect()
}

fn may_take(image: &Image, reference: &str) -> bool {
    let Pick::Newest(pattern) = &image.pick else {
        return image.reference() == reference;
    };
    let tag = reference.strip_prefix(&image.repository);
    let tag = tag.and_then(|rest| rest.strip_prefix(':'));
    tag.is_some_and(|tag| pattern.pattern.is_match(tag))
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
