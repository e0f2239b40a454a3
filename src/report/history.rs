//! The revisions of a release, newest first.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::paint::{Paint, Tone};
use super::table::{Cell, Table};
use super::time::{age, short};
use crate::model::ledger::{
    Ledger, PartTarget, ResolvedImage, Revision, RevisionOutcome, RollbackState, Rollout,
};
use crate::resource::meta::Release;

/// What `history` shows; its JSON is a stable contract.
#[derive(Clone, Debug, Serialize)]
pub struct History {
    namespace: String,
    release: String,
    items: Vec<Entry>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    number: u64,
    generation: u64,
    /// Whether it is the one that is worked toward or kept to.
    current: bool,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    applier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<Timestamp>,
    images: BTreeMap<String, Image>,
    /// Parts that ran, or shall.
    parts: Vec<String>,
    /// The revision that it is a copy of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pinned: Option<u64>,
    /// Where it led back to, once everything was back there.
    #[serde(skip_serializing_if = "Option::is_none")]
    rolled_back_to: Option<u64>,
    /// The way back from it, once it was rejected, and how far that came.
    #[serde(skip_serializing_if = "Option::is_none")]
    rollback: Option<WayBack>,
    /// Where a person went back to from it, and who.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_for: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_by: Option<String>,
    /// Who agreed to it, and when.
    #[serde(skip_serializing_if = "Option::is_none")]
    approved_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approved_at: Option<Timestamp>,
    /// What people said at pause hooks of its deployments, of each service's newest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    answers: Vec<Said>,
    /// What is worth knowing of it in a table.
    #[serde(skip)]
    note: String,
}

#[derive(Clone, Debug, Serialize)]
struct Said {
    service: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<String>,
    rejected: bool,
    by: String,
    at: Timestamp,
}

#[derive(Clone, Debug, Serialize)]
struct WayBack {
    to: u64,
    state: RollbackState,
}

#[derive(Clone, Debug, Serialize)]
struct Image {
    reference: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
}

impl History {
    /// Of what was written down about a release.
    pub fn new(release: &Release, ledger: &Ledger) -> Self {
        let key = release.release_key();
        let status = release.status.as_ref();
        let current = status.and_then(|status| status.revision);
        let newest_first = ledger.revisions.values().rev();
        Self {
            namespace: key.namespace,
            release: key.name,
            items: newest_first
                .map(|revision| Entry {
                    answers: said(ledger, revision),
                    ..Entry::new(revision, current == Some(revision.number))
                })
                .collect(),
        }
    }

    /// For people.
    pub fn table(&self, now: Timestamp, paint: Paint) -> String {
        if self.items.is_empty() {
            return "No revision is recorded yet.\n".to_owned();
        }
        let titles = [
            "REVISION",
            "GENERATION",
            "OUTCOME",
            "BY",
            "SOURCE",
            "CREATED",
            "TOOK",
            "IMAGES",
            "NOTE",
        ];
        let mut table = Table::new(titles, paint);
        for entry in &self.items {
            table.row(entry.cells(now));
        }
        table.render()
    }
}

impl Entry {
    fn new(revision: &Revision, current: bool) -> Self {
        let (reason, message) = match revision.reason.clone() {
            Some(why) => (Some(why.reason), Some(why.message)),
            None => (None, None),
        };
        let left = revision.left.as_ref();
        let approved = revision.approved.as_ref();
        let back = revision.rollback.as_ref();
        let done = back.filter(|back| back.state == RollbackState::Done);
        Self {
            number: revision.number,
            generation: revision.generation,
            current,
            outcome: outcome(revision),
            reason,
            message,
            applier: revision.applier.clone(),
            source: revision.source.clone(),
            created_at: revision.created_at,
            finished_at: revision.finished_at,
            images: revision.images.iter().map(Image::of).collect(),
            parts: revision.parts.keys().cloned().collect(),
            pinned: revision.pinned,
            rolled_back_to: done.map(|back| back.to),
            rollback: back.map(|back| WayBack {
                to: back.to,
                state: back.state,
            }),
            left_for: left.map(|left| left.to),
            left_by: left.map(|left| left.by.clone()),
            approved_by: approved.map(|approved| approved.by.clone()),
            approved_at: approved.map(|approved| approved.at),
            answers: Vec::new(),
            note: note(revision, current),
        }
    }

    fn cells(&self, now: Timestamp) -> [Cell; 9] {
        let number = match self.current {
            true => format!("{} (current)", self.number),
            false => self.number.to_string(),
        };
        let took = self
            .finished_at
            .map(|at| short(at.duration_since(self.created_at)));
        let images: Vec<String> = self
            .images
            .iter()
            .map(|(name, image)| format!("{name}={}", image.short()))
            .collect();
        let generation = match self.number {
            0 => String::new(),
            _ => self.generation.to_string(),
        };
        [
            Cell::new(number, Tone::Strong),
            generation.into(),
            Cell::new(self.outcome, tone(self.outcome)),
            self.applier.clone().unwrap_or_default().into(),
            brief_source(self.source.as_deref()).into(),
            format!("{} ago", age(self.created_at, now)).into(),
            took.unwrap_or_default().into(),
            images.join(" ").into(),
            self.note.clone().into(),
        ]
    }
}

/// What people said at pause hooks while a revision was rolled out.
fn said(ledger: &Ledger, revision: &Revision) -> Vec<Said> {
    let is_of = |it: &&Rollout| {
        it.revision == revision.number && it.requested_at >= revision.created_at && !it.back
    };
    let rollouts = ledger.rollouts.values().filter(is_of);
    let answers = rollouts.flat_map(|it| it.answers.iter().map(|said| (&it.service, said)));
    answers
        .map(|(service, said)| Said {
            service: service.clone(),
            stage: said.stage.clone(),
            rejected: said.rejected,
            by: said.by.clone(),
            at: said.at,
        })
        .collect()
}

impl Image {
    fn of((name, image): (&String, &ResolvedImage)) -> (String, Self) {
        let found = Self {
            reference: image.reference.clone(),
            digest: image.digest.clone(),
            tag: image.tag.clone(),
        };
        (name.clone(), found)
    }

    /// The tag, or the digest where there is none.
    fn short(&self) -> String {
        if let Some(tag) = &self.tag {
            return tag.clone();
        }
        match self.reference.rsplit_once('@') {
            Some((_, digest)) => digest.to_owned(),
            None => {
                let name = self.reference.rsplit('/').next().unwrap_or_default();
                name.rsplit_once(':')
                    .map_or(name, |(_, tag)| tag)
                    .to_owned()
            }
        }
    }
}

/// How a revision ended, in a word.
fn outcome(revision: &Revision) -> &'static str {
    if revision.number == 0 {
        return "Before";
    }
    match revision.outcome {
        RevisionOutcome::Pending => "Pending",
        RevisionOutcome::Ready => "Ready",
        RevisionOutcome::Rejected => "Rejected",
        RevisionOutcome::Superseded => "Superseded",
    }
}

fn tone(outcome: &str) -> Tone {
    match outcome {
        "Ready" => Tone::Good,
        "Rejected" => Tone::Bad,
        "Pending" => Tone::Fair,
        _ => Tone::Dim,
    }
}

/// A commit's first twelve digits; other names are shown whole.
fn brief_source(source: Option<&str>) -> String {
    let source = source.unwrap_or_default();
    let is_commit = source.len() >= 40 && source.bytes().all(|byte| byte.is_ascii_hexdigit());
    match is_commit {
        true => source.chars().take(12).collect(),
        false => source.to_owned(),
    }
}

fn note(revision: &Revision, current: bool) -> String {
    let mut notes = Vec::new();
    if revision.number == 0 {
        notes.push(before(&revision.parts));
    }
    if let Some(pinned) = revision.pinned {
        notes.push(format!("revision {pinned} again"));
    }
    if let Some(approved) = &revision.approved {
        notes.push(format!("approved by {}", approved.by));
    }
    if let Some(left) = &revision.left {
        notes.push(format!("{} went back to revision {}", left.by, left.to));
    }
    if let Some(back) = &revision.rollback {
        let how = match back.state {
            RollbackState::Underway if current => "going back to",
            // Something newer took its place.
            RollbackState::Underway => "was going back to",
            RollbackState::Done => "went back to",
            RollbackState::Failed => "could not go back to",
        };
        notes.push(format!("{how} revision {}", back.to));
    }
    if let Some(why) = &revision.reason {
        notes.push(format!("{}: {}", why.reason, why.message));
    }
    notes.join("; ")
}

/// What is said of revision 0.
fn before(parts: &BTreeMap<String, PartTarget>) -> String {
    let ailing: Vec<&str> = parts
        .iter()
        .filter(|(_, part)| part.healthy == Some(false))
        .map(|(name, _)| name.as_str())
        .collect();
    let what = "what ran before evenkeel";
    match ailing.is_empty() {
        true => what.to_owned(),
        false => format!("{what}; not healthy then: {}", ailing.join(", ")),
    }
}

#[cfg(test)]
mod tests;
