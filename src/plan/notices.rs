//! What people are told of a Release: decided from how it stood, how it stands now, and what they
//! were told before.
//!
//! Only a change is told, and each once: of a revision that it begins, waits for an approval and is
//! Ready; of a Release that it is Stalled for a reason, until it is Ready again; of drift that it
//! was found, and that it is gone. What is told is kept with the status that it follows from, so
//! that neither a restart nor another replica tells it again.

mod text;

#[cfg(test)]
mod tests;

use globset::Glob;
use jiff::Timestamp;

use crate::model::hash;
use crate::model::ledger::{Ledger, RequestKind, Revision, RevisionOutcome};
use crate::model::notice::{Announced, Notice, Outgoing, StalledFor};
use crate::model::plan::{Action, Step};
use crate::resource::conditions::{Condition, ConditionStatus, ConditionType, find, is_true};
use crate::resource::meta::ReleaseKey;
use crate::resource::notification::{Notification, NotificationEvent};
use crate::resource::status::{DifferenceAction, ReleaseStatus};

pub use text::{render, subject};

/// The most characters of a message that are told: a status may hold a long one.
const MESSAGE: usize = 2000;

/// How a Release stood, how it stands now, and what of that people know.
#[derive(Clone, Copy)]
pub struct Change<'a> {
    /// Namespace and name.
    pub key: &'a ReleaseKey,
    /// Identity of the object.
    pub uid: &'a str,
    /// The status as it was written last.
    pub before: &'a ReleaseStatus,
    /// The status that is written now.
    pub after: &'a ReleaseStatus,
    /// The version that it gets.
    pub version: u64,
    /// What was told before.
    pub announced: &'a Announced,
    /// What is written down, where it was read.
    pub ledger: Option<&'a Ledger>,
    /// The steps that led here.
    pub actions: &'a [Action],
    /// Who applied the newest generation.
    pub applier: Option<&'a str>,
    /// The source revision that came with it.
    pub source: Option<&'a str>,
    /// The moment.
    pub now: Timestamp,
}

/// What is to be told now, and what has been told then.
pub fn notices(change: &Change<'_>) -> (Vec<Notice>, Announced) {
    let mut teller = Teller {
        change,
        announced: change.announced.clone(),
        told: Vec::new(),
    };
    if is_tried_again(change) {
        // Should it fail for the same reason again, somebody wants to know.
        if let Some(stalled) = &mut teller.announced.stalled {
            stalled.reasons.clear();
        }
    }
    teller.drift();
    teller.started();
    teller.waiting();
    teller.stalled();
    teller.ready();
    (teller.told, teller.announced)
}

/// Who is told of what: each notice to each of those who asked for it.
pub fn outgoing(notifications: &[Notification], notices: &[Notice]) -> Vec<Outgoing> {
    let to = |notice: &Notice| {
        let wanted = notifications.iter();
        let wanted = wanted.filter(|it| wants(it, notice));
        wanted
            .map(|it| Outgoing {
                notification: it.name.clone(),
                notice: notice.clone(),
            })
            .collect::<Vec<_>>()
    };
    notices.iter().flat_map(to).collect()
}

fn wants(notification: &Notification, notice: &Notice) -> bool {
    let event = (notification.on.as_ref()).is_none_or(|on| on.contains(&notice.event));
    let name = &notice.release.name;
    let matches =
        |glob: &String| Glob::new(glob).is_ok_and(|glob| glob.compile_matcher().is_match(name));
    let release = (notification.releases.as_ref()).is_none_or(|globs| globs.iter().any(matches));
    event && release
}

/// Whether a person asked for another try in this pass.
fn is_tried_again(change: &Change<'_>) -> bool {
    let Some(ledger) = change.ledger else {
        return false;
    };
    let asks = |id: &String| {
        let request = ledger.requests.iter().find(|request| request.id == *id);
        request.is_some_and(|request| {
            matches!(
                request.kind,
                RequestKind::Retry
                    | RequestKind::TryAgain { .. }
                    | RequestKind::RetryMigration { .. }
            )
        })
    };
    change.actions.iter().any(|action| match &action.step {
        Step::FinishRequest { id } => asks(id),
        _ => false,
    })
}

/// Decides what is told, one kind of event after the other.
struct Teller<'a> {
    change: &'a Change<'a>,
    announced: Announced,
    told: Vec<Notice>,
}

impl<'a> Teller<'a> {
    /// Found, and gone again, by whosever doing.
    fn drift(&mut self) {
        let Change { before, after, .. } = self.change;
        let status = |of: &ReleaseStatus| {
            find(&of.conditions, ConditionType::Drifted).map(|condition| condition.status)
        };
        let Some(drifted) = find(&after.conditions, ConditionType::Drifted) else {
            return;
        };
        match drifted.status {
            ConditionStatus::True => {
                if !self.announced.drift && status(before) != Some(ConditionStatus::True) {
                    self.announced.drift = true;
                    self.tell(NotificationEvent::DriftFound, drifted);
                }
            }
            ConditionStatus::False => {
                if std::mem::take(&mut self.announced.drift) {
                    let gone = Condition {
                        message: gone(before, &drifted.message),
                        ..drifted.clone()
                    };
                    self.tell(NotificationEvent::DriftCorrected, &gone);
                }
            }
            // Nobody knows: what was told stands.
            ConditionStatus::Unknown => {}
        }
    }

    /// A revision that is recorded, and under way.
    fn started(&mut self) {
        let Change { after, ledger, .. } = self.change;
        let (Some(ready), Some(ledger)) = (self.ready_condition(), ledger) else {
            return;
        };
        let moves = is_true(&after.conditions, ConditionType::Reconciling)
            && ready.status == ConditionStatus::False;
        let current = after.revision.and_then(|it| ledger.revisions.get(&it));
        let Some(revision) = current.filter(|it| it.outcome == RevisionOutcome::Pending) else {
            return;
        };
        let number = revision.number;
        if !moves
            || number <= self.announced.started.unwrap_or(0)
            || after.ready_revision == Some(number)
        {
            return;
        }
        self.announced.started = Some(number);
        if !self.brings_nothing(number) {
            self.tell(NotificationEvent::Started, ready);
        }
    }

    fn waiting(&mut self) {
        let Change { before, after, .. } = self.change;
        let pending = |of: &ReleaseStatus| {
            let ready = find(&of.conditions, ConditionType::Ready);
            ready.is_some_and(|it| it.reason == "ApprovalPending")
        };
        let was = pending(before) && before.revision == after.revision;
        let (Some(ready), Some(revision)) = (self.ready_condition(), after.revision) else {
            return;
        };
        if pending(after) && !was && self.announced.waiting != Some(revision) {
            self.announced.waiting = Some(revision);
            self.tell(NotificationEvent::WaitingForApproval, ready);
        }
    }

    /// Each reason once for a generation and revision, until it is Ready.
    fn stalled(&mut self) {
        let Change { before, after, .. } = self.change;
        let Some(stalled) = stalled(after) else {
            return;
        };
        let of = |status: &ReleaseStatus| (status.observed_generation, status.revision);
        let same = |before: &Condition| before.reason == stalled.reason;
        if of(before) == of(after) && self::stalled(before).is_some_and(same) {
            return;
        }
        let generation = after.observed_generation.unwrap_or_default();
        let known = self.announced.stalled.take();
        let known = known.filter(|it| (it.generation, it.revision) == (generation, after.revision));
        let mut known = known.unwrap_or(StalledFor {
            generation,
            revision: after.revision,
            reasons: Vec::new(),
        });
        let news = !known.reasons.contains(&stalled.reason);
        if news {
            known.reasons.push(stalled.reason.clone());
        }
        self.announced.stalled = Some(known);
        if news {
            let event = match stalled.reason.as_str() {
                "RolledBack" => NotificationEvent::RolledBack,
                _ => NotificationEvent::Stalled,
            };
            self.tell(event, stalled);
        }
    }

    /// A revision that is Ready for the first time, or a Release that was told to be Stalled.
    fn ready(&mut self) {
        let Change { before, after, .. } = self.change;
        let ready = self.ready_condition();
        let Some(ready) = ready.filter(|it| it.status == ConditionStatus::True) else {
            return;
        };
        let revision = after.revision;
        let arrived = before.ready_revision != after.ready_revision
            || (revision.is_some() && self.announced.started == revision);
        let is_new = arrived && self.announced.ready != revision;
        let first = is_new && revision.is_some_and(|number| !self.brings_nothing(number));
        let recovered = self.announced.stalled.take().is_some();
        if is_new {
            self.announced.ready = revision;
        }
        if first || recovered {
            self.tell(NotificationEvent::Ready, ready);
            if let Some(notice) = self.told.last_mut() {
                notice.again = recovered;
            }
        }
    }

    /// Whether a revision is, by its content, what was Ready before: nothing of it begins.
    fn brings_nothing(&self, number: u64) -> bool {
        let Some(ledger) = self.change.ledger else {
            return false;
        };
        let content = |number: u64| Some(&ledger.revisions.get(&number)?.content);
        let before = self.change.before.ready_revision;
        let before = before.filter(|before| *before != number);
        before
            .and_then(content)
            .is_some_and(|ready| content(number) == Some(ready))
    }

    fn ready_condition(&self) -> Option<&'a Condition> {
        find(&self.change.after.conditions, ConditionType::Ready)
    }

    fn tell(&mut self, event: NotificationEvent, why: &Condition) {
        let notice = notice(self.change, event, why);
        self.told.push(notice);
    }
}

fn notice(change: &Change<'_>, event: NotificationEvent, why: &Condition) -> Notice {
    let after = change.after;
    let number = after.revision;
    let revision = number.and_then(|number| revision(change, number));
    let generation = after.observed_generation.unwrap_or_default();
    // What a revision was made of is its own; the newest spec may be another's by now.
    let (source, applier) = match revision {
        Some(revision) => (revision.source.as_deref(), revision.applier.as_deref()),
        None => (change.source, change.applier),
    };
    let images = revision.map(|revision| &revision.images);
    let images = images.into_iter().flatten();
    Notice {
        id: hash::of(&(change.uid, change.version, event))
            .chars()
            .take(32)
            .collect(),
        release: change.key.clone(),
        event,
        reason: why.reason.clone(),
        message: why.message.chars().take(MESSAGE).collect(),
        generation,
        revision: number,
        images: images
            .map(|(name, found)| (name.clone(), found.reference.clone()))
            .collect(),
        source: source.map(str::to_owned),
        applier: applier.map(str::to_owned),
        again: false,
        at: change.now,
    }
}

/// A revision as it is recorded, or is being so in this pass.
fn revision<'a>(change: &Change<'a>, number: u64) -> Option<&'a Revision> {
    let recorded = change.actions.iter().find_map(|action| match &action.step {
        Step::RecordRevision { revision, .. } if revision.number == number => Some(&**revision),
        _ => None,
    });
    recorded.or_else(|| change.ledger?.revisions.get(&number))
}

fn stalled(status: &ReleaseStatus) -> Option<&Condition> {
    find(&status.conditions, ConditionType::Stalled)
        .filter(|condition| condition.status == ConditionStatus::True)
}

/// What had differed, and that it does not any more.
fn gone(before: &ReleaseStatus, message: &str) -> String {
    let mut resources: Vec<&str> = Vec::new();
    for difference in &before.drift.differences {
        if !resources.contains(&difference.resource.as_str()) {
            resources.push(&difference.resource);
        }
    }
    if resources.is_empty() {
        return message.to_owned();
    }
    let all = before.drift.differences.iter();
    let corrected = all
        .into_iter()
        .all(|it| it.action == DifferenceAction::Corrected);
    let how = match corrected {
        true => "put right",
        false => "no longer different",
    };
    format!("{}: {how}; {message}", resources.join(", "))
}
