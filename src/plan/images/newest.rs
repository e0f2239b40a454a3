//! The newest of a repository's tags: by what makes it newer, never back, and past what was
//! rejected.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use semver::Version;

use crate::model::desired::TagPattern;
use crate::model::ledger::{ResolvedImage, Revision, RevisionOutcome};
use crate::model::observed::TaggedImage;
use crate::resource::release::TagOrder;

/// What makes one tag newer than another. Those of one pattern are all of one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Version(Version),
    Text(String),
    Pushed(Option<Timestamp>),
}

/// `None`: the tag does not count in this order.
fn rank(order: TagOrder, tag: &str, pushed_at: Option<Timestamp>) -> Option<Rank> {
    match order {
        TagOrder::Semver => version(tag).map(Rank::Version),
        TagOrder::Alphabetical => Some(Rank::Text(tag.to_owned())),
        TagOrder::PushedAt => Some(Rank::Pushed(pushed_at)),
    }
}

/// A whole semantic version: `1.2` is a tag that moves with `1.2.3`, not a version of its own.
fn version(tag: &str) -> Option<Version> {
    Version::parse(tag.strip_prefix('v').unwrap_or(tag)).ok()
}

/// A tag that counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate<'a> {
    rank: Rank,
    // Two tags of one version: whichever, but always the same.
    tag: &'a str,
    digest: &'a str,
}

/// The tags that match, in no order.
fn candidates<'a>(pattern: &TagPattern, tags: &'a [TaggedImage]) -> Vec<Candidate<'a>> {
    let matching = tags.iter().filter(|it| pattern.pattern.is_match(&it.tag));
    let ranked = matching.filter_map(|it| {
        Some(Candidate {
            rank: rank(pattern.order, &it.tag, it.pushed_at)?,
            tag: &it.tag,
            digest: &it.digest,
        })
    });
    let mut found: Vec<_> = ranked.collect();
    let is_stable = |it: &Candidate<'_>| match &it.rank {
        Rank::Version(version) => version.pre.is_empty(),
        Rank::Text(_) | Rank::Pushed(_) => true,
    };
    if !names_prereleases(&pattern.text) && found.iter().any(is_stable) {
        found.retain(is_stable);
    }
    found
}

/// Whether a pattern spells out the hyphen that begins a pre-release. One that matches anything
/// there does not ask for them.
fn names_prereleases(pattern: &str) -> bool {
    let (mut class, mut escaped) = (false, false);
    for c in pattern.chars() {
        match c {
            '-' if !class => return true,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => class = true,
            ']' => class = false,
            _ => {}
        }
    }
    false
}

/// An image by reference and digest.
pub type ImageId = (String, String);

/// Images by reference and digest.
pub type Images = BTreeSet<ImageId>;

/// Images that are not taken by themselves.
pub fn rejected(revisions: &BTreeMap<u64, Revision>) -> Images {
    blamed(revisions).into_keys().collect()
}

/// Images that are not taken by themselves, each with the revisions that it is out for, oldest
/// first: those were rejected, or a person went back from them. What another revision had that was
/// Ready is not to blame; neither is what a person has tried again since.
pub fn blamed(revisions: &BTreeMap<u64, Revision>) -> BTreeMap<ImageId, Vec<u64>> {
    let mut good = Images::new();
    let mut out: BTreeMap<ImageId, Vec<u64>> = BTreeMap::new();
    for revision in revisions.values().filter(|it| it.number > 0) {
        let own = images(revision);
        if let Some(left) = gone_back_from(revisions, revision) {
            blame(&mut out, left.number, images(left).difference(&own));
        }
        match revision.outcome {
            RevisionOutcome::Rejected if !revision.lifted => {
                blame(&mut out, revision.number, own.difference(&good));
            }
            RevisionOutcome::Ready => {
                out.retain(|it, _| !own.contains(it));
                good.extend(own);
            }
            RevisionOutcome::Pending => out.retain(|it, _| !own.contains(it)),
            RevisionOutcome::Rejected | RevisionOutcome::Superseded => {}
        }
    }
    out
}

/// The revision that a person went back from to a pinned one, and did not have tried again.
fn gone_back_from<'a>(
    revisions: &'a BTreeMap<u64, Revision>,
    pinned: &Revision,
) -> Option<&'a Revision> {
    pinned.pinned?;
    let left = revisions.get(&pinned.number.checked_sub(1)?)?;
    Some(left).filter(|left| !left.lifted)
}

fn blame<'a>(
    out: &mut BTreeMap<ImageId, Vec<u64>>,
    number: u64,
    images: impl Iterator<Item = &'a ImageId>,
) {
    for image in images {
        out.entry(image.clone()).or_default().push(number);
    }
}

/// The revisions that tell that images are out: of each the newest, and what tells of its other
/// images that they are not to blame.
pub fn witnesses(revisions: &BTreeMap<u64, Revision>, out: &Images) -> BTreeSet<u64> {
    let blamed = blamed(revisions);
    let newest = out.iter().filter_map(|image| blamed.get(image)?.last());
    newest
        .flat_map(|number| {
            let mut before = revisions.range(1..*number).rev();
            let ready = before.find(|(_, it)| it.outcome == RevisionOutcome::Ready);
            let after = revisions.get(&(number + 1));
            let pinned = after.filter(|it| it.pinned.is_some());
            let beside = ready.map(|(number, _)| *number);
            [*number]
                .into_iter()
                .chain(beside)
                .chain(pinned.map(|it| it.number))
        })
        .collect()
}

/// Whether an image is among those that are out.
pub fn is_out(rejected: &Images, image: &ResolvedImage) -> bool {
    id(image).is_some_and(|id| rejected.contains(&id))
}

fn images(revision: &Revision) -> Images {
    revision.images.values().filter_map(id).collect()
}

fn id(image: &ResolvedImage) -> Option<ImageId> {
    Some((image.reference.clone(), image.digest.clone()?))
}

/// The image of the newest revision that was Ready with this tag, and is not out: what a tag that
/// is followed stays at while what it points at is out.
pub fn ran<'a>(
    revisions: &'a BTreeMap<u64, Revision>,
    rejected: &Images,
    name: &str,
    reference: &str,
) -> Option<&'a ResolvedImage> {
    let ready = revisions
        .values()
        .rev()
        .filter(|it| it.number > 0 && it.outcome == RevisionOutcome::Ready);
    ready
        .filter_map(|it| it.images.get(name))
        .find(|it| it.reference == reference && !is_out(rejected, it))
}

/// What is chosen of a repository's tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice<'a> {
    /// Tag and digest to take; none where nothing counts, or nothing newer than what was recorded.
    pub taken: Option<(&'a str, &'a str)>,
    /// A newer tag that is passed over.
    pub passed_over: Option<&'a str>,
    /// Tag and digest of every newer one that is.
    pub out: Vec<(&'a str, &'a str)>,
    /// How many tags count.
    pub matching: usize,
}

/// The tags of one repository, and what was said of them before.
#[derive(Clone, Copy, Debug)]
pub struct Tags<'a> {
    /// Repository with its host.
    pub repository: &'a str,
    /// All of them.
    pub all: &'a [TaggedImage],
    /// Images that are passed over.
    pub rejected: &'a Images,
}

/// Chooses the newest, where nothing was taken yet.
pub fn choose<'a>(pattern: &TagPattern, tags: Tags<'a>) -> Choice<'a> {
    pick(pattern, tags, |_| true)
}

/// What was taken.
#[derive(Clone, Copy, Debug)]
pub struct Taken<'a> {
    /// The revision.
    revision: &'a Revision,
    /// What it holds.
    pub image: &'a ResolvedImage,
}

/// The image of each revision since its pattern was declared, oldest first.
pub fn taken<'a>(
    revisions: &'a BTreeMap<u64, Revision>,
    image: &str,
    declares_it: impl Fn(&Revision) -> bool,
) -> Vec<Taken<'a>> {
    let since = revisions.values().rev();
    let since = since.take_while(|it| it.number > 0 && declares_it(it));
    let mut taken: Vec<Taken<'a>> = since
        .filter_map(|revision| {
            let image = revision.images.get(image).filter(|it| it.tag.is_some())?;
            Some(Taken { revision, image })
        })
        .collect();
    taken.reverse();
    taken
}

/// The newest that is not out: what stands while a newer one is.
pub fn stood<'a>(pattern: &TagPattern, tags: Tags<'_>, taken: &[Taken<'a>]) -> Option<Taken<'a>> {
    let kept = taken.iter().filter(|it| {
        it.revision.outcome != RevisionOutcome::Rejected && !is_out(tags.rejected, it.image)
    });
    let ranked = kept.filter_map(|it| Some((floor(pattern, tags.all, it)?, it)));
    let newest = ranked.max_by(|(one, _), (other, _)| one.cmp(other))?;
    Some(*newest.1)
}

/// Chooses a newer one than was taken; or the same tag, where that has moved.
pub fn choose_newer<'a>(pattern: &TagPattern, tags: Tags<'a>, taken: &[Taken<'_>]) -> Choice<'a> {
    // Older than what was rejected may still be newer than what runs: a fix of that is taken.
    let Some(before) = stood(pattern, tags, taken).or(taken.last().copied()) else {
        return Choice::default();
    };
    let Some(floor) = floor(pattern, tags.all, &before) else {
        return Choice::default();
    };
    let recorded = before
        .image
        .tag
        .as_deref()
        .zip(before.image.digest.as_deref());
    // An older image under the same tag is newer than itself by its name only.
    let by_name = pattern.order != TagOrder::PushedAt;
    let mut choice = pick(pattern, tags, |it| {
        let same_tag = recorded.is_some_and(|(tag, _)| tag == it.tag);
        it.rank > floor || (same_tag && by_name) || recorded == Some((it.tag, it.digest))
    });
    // What stood before a revision that was rejected is gone back to by its own way.
    let is_current = taken
        .last()
        .is_some_and(|it| it.revision.number == before.revision.number);
    if !is_current && choice.taken == recorded {
        choice.taken = None;
    }
    choice
}

/// How new the image of a revision is.
fn floor(pattern: &TagPattern, tags: &[TaggedImage], taken: &Taken<'_>) -> Option<Rank> {
    let image = taken.image;
    let is_it = |it: &&TaggedImage| Some(&it.digest) == image.digest.as_ref();
    let pushed_at = tags.iter().find(is_it).and_then(|it| it.pushed_at);
    // Whatever is pushed after it was recorded is newer, also once it is gone itself.
    let pushed_at = pushed_at.unwrap_or(taken.revision.created_at);
    rank(pattern.order, image.tag.as_deref()?, Some(pushed_at))
}

fn pick<'a>(
    pattern: &TagPattern,
    tags: Tags<'a>,
    counts: impl Fn(&Candidate<'_>) -> bool,
) -> Choice<'a> {
    let found = candidates(pattern, tags.all);
    let matching = found.len();
    let is_out = |it: &Candidate<'_>| {
        let reference = format!("{}:{}", tags.repository, it.tag);
        tags.rejected.contains(&(reference, it.digest.to_owned()))
    };
    let counting = found.into_iter().filter(|it| counts(it));
    let (out, open): (Vec<_>, Vec<_>) = counting.partition(is_out);
    let taken = open.into_iter().max();
    let is_newer = |out: &Candidate<'_>| taken.as_ref().is_none_or(|it| it < out);
    let mut out: Vec<Candidate<'a>> = out.into_iter().filter(is_newer).collect();
    out.sort();
    Choice {
        passed_over: out.last().map(|it| it.tag),
        out: out.iter().map(|it| (it.tag, it.digest)).collect(),
        taken: taken.map(|it| (it.tag, it.digest)),
        matching,
    }
}

#[cfg(test)]
mod tests;
