//! The plan while it is being made: what was decided so far, and what stands in the way.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::base::registers;
use crate::model::desired::Desired;
use crate::model::known::Known;
use crate::model::ledger::{Explanation, Registration};
use crate::model::observed::Observed;
use crate::model::plan::{Action, Plan, Requeue, Step, Waiting};
use crate::resource::status::{Difference, ReleaseStatus};

/// How soon something under way is looked at again.
pub const SOON: SignedDuration = SignedDuration::from_secs(5);

/// How soon a rollout is looked at again that waits for a person: what is asked of us wakes us, what
/// is said to ECS may not.
const LATER: SignedDuration = SignedDuration::from_secs(30);
/// Why a rollout does not go on that waits for a person.
const FOR_PERSON: &str = "WaitingForApproval";

/// How long AWS may take to show what was written: reads are eventually consistent
/// (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html>).
pub const SETTLING: SignedDuration = SignedDuration::from_secs(30);

/// Everything that a plan is made of.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// What people want.
    pub desired: &'a Desired,
    /// What is there.
    pub observed: &'a Observed,
    /// The status as it was written last.
    pub previous: &'a ReleaseStatus,
    /// The moment of the pass.
    pub now: Timestamp,
}

/// A plan in the making.
pub struct Draft<'a> {
    /// What it is made of.
    pub input: Input<'a>,
    /// Decided steps.
    pub actions: Vec<Action>,
    /// What is not done, and why.
    pub waiting: Vec<Waiting>,
    /// What a person must solve; the first is told.
    pub stalled: Vec<Explanation>,
    /// What is under way or waited for; the first is told.
    pub progressing: Vec<Explanation>,
    /// What holds a new revision back that nothing ails; the first is told.
    pub holds: Vec<Explanation>,
    /// What could not be found out; the first is told.
    pub unknown: Vec<Explanation>,
    /// Resources of which something could not be found out.
    pub doubted: Vec<String>,
    /// Differences from what was declared, after the release was Ready.
    pub differences: Vec<Difference>,
    /// Resources that this pass puts right.
    pub corrected: Vec<String>,
    /// Whether what there is was compared with what was declared.
    pub compared: bool,
    /// Whether a person asked for another try: what was put right before counts no more.
    pub forgiven: bool,
    /// Parts of the status.
    pub status: ReleaseStatus,
    /// The soonest moment to look again.
    pub wake: Option<SignedDuration>,
    /// Definition contents known to this pass, by hash.
    pub contents: BTreeMap<String, Arc<serde_json::Value>>,
}

impl<'a> Draft<'a> {
    /// Nothing decided yet.
    pub fn new(input: Input<'a>) -> Self {
        Self {
            input,
            actions: Vec::new(),
            waiting: Vec::new(),
            stalled: Vec::new(),
            progressing: Vec::new(),
            holds: Vec::new(),
            unknown: Vec::new(),
            doubted: Vec::new(),
            differences: Vec::new(),
            corrected: Vec::new(),
            compared: false,
            forgiven: false,
            status: ReleaseStatus {
                observed_generation: Some(input.desired.generation),
                ready_revision: input.previous.ready_revision,
                rejections: super::pins::rejections(&input.observed.ledger, input.desired),
                ..ReleaseStatus::default()
            },
            wake: None,
            contents: input.observed.contents.clone(),
        }
    }

    /// Decides a step.
    pub fn act(&mut self, resource: impl Into<String>, reason: impl Into<String>, step: Step) {
        self.actions.push(Action {
            resource: resource.into(),
            reason: reason.into(),
            step,
        });
    }

    /// Something waits for something else of this release.
    pub fn wait(&mut self, resource: impl Into<String>, reason: impl Into<String>) {
        self.waiting.push(Waiting {
            resource: resource.into(),
            reason: reason.into(),
        });
    }

    /// What was said last of a resource that waits.
    pub fn said_of(&self, resource: &str) -> Option<String> {
        let mut waiting = self.waiting.iter().rev();
        let last = waiting.find(|waiting| waiting.resource == resource);
        last.map(|waiting| waiting.reason.clone())
    }

    /// Something is under way: tells it and looks again soon.
    pub fn progress(&mut self, resource: &str, reason: &str, message: impl Into<String>) {
        let message = message.into();
        self.wait(resource, message.clone());
        self.progressing.push(Explanation {
            reason: reason.to_owned(),
            message,
        });
        self.wake_after(SOON);
    }

    /// A rollout waits for a person to say whether it goes on: tells it.
    pub fn wait_for_person(&mut self, resource: &str, message: impl Into<String>) {
        let message = message.into();
        self.wait(resource, message.clone());
        self.progressing.push(Explanation {
            reason: FOR_PERSON.to_owned(),
            message,
        });
        self.wake_after(LATER);
    }

    /// Only a person can go on from here.
    pub fn stall(&mut self, resource: &str, reason: &str, message: impl Into<String>) {
        let why = Explanation {
            reason: reason.to_owned(),
            message: message.into(),
        };
        if self.stalled.contains(&why) {
            return;
        }
        self.wait(resource, why.message.clone());
        self.stalled.push(why);
    }

    /// Nothing of a new revision is begun for now, and that is as it should be.
    pub fn hold(&mut self, resource: &str, reason: &str, message: String) {
        self.wait(resource, message.clone());
        self.holds.push(Explanation {
            reason: reason.to_owned(),
            message,
        });
    }

    /// Nobody knows: nothing is written on account of it, and it is looked at again.
    pub fn doubt(&mut self, resource: &str, message: impl Into<String>) {
        let message = message.into();
        self.wait(resource, message.clone());
        self.doubted.push(resource.to_owned());
        self.unknown.push(Explanation {
            reason: "ObservationFailed".to_owned(),
            message,
        });
        // What was refused to us is for a person: it waits for the next sweep.
        let observed = self.input.observed;
        if observed.unread || observed.problems.is_empty() {
            self.wake_after(SignedDuration::from_secs(15));
        }
    }

    /// What a look found: `Some(None)` is certainly absent, `None` not known, which is told.
    #[expect(
        clippy::option_option,
        reason = "the outer one says whether to go on at all"
    )]
    pub fn seen<'k, T>(
        &mut self,
        resource: &str,
        known: Option<&'k Known<T>>,
    ) -> Option<Option<&'k T>> {
        match known {
            Some(Known::Present(found)) => Some(Some(found)),
            Some(Known::Absent) => Some(None),
            Some(Known::Unknown(why)) => {
                self.doubt(resource, format!("{resource}: {why}"));
                None
            }
            None => {
                self.doubt(resource, format!("{resource} was not looked at"));
                None
            }
        }
    }

    /// Looks again after this long, or sooner if something else asks for it.
    pub fn wake_after(&mut self, delay: SignedDuration) {
        self.wake = Some(self.wake.map_or(delay, |wake| wake.min(delay)));
    }

    /// Takes over what was decided in a plan of its own, but for the status.
    pub fn absorb(&mut self, own: Draft<'_>) {
        // Two plans may need the same definition: it is registered once.
        let registered: Vec<Registration> = self
            .actions
            .iter()
            .filter_map(|it| registers(&it.step).cloned())
            .collect();
        let is_new = |action: &Action| {
            let one = registers(&action.step);
            let same = |it: &Registration| {
                one.is_some_and(|one| {
                    (&one.family, &one.definition) == (&it.family, &it.definition)
                })
            };
            !registered.iter().any(same)
        };
        self.actions.extend(own.actions.into_iter().filter(is_new));
        self.waiting.extend(own.waiting);
        self.stalled.extend(own.stalled);
        self.progressing.extend(own.progressing);
        self.unknown.extend(own.unknown);
        self.doubted.extend(own.doubted);
        self.differences.extend(own.differences);
        self.corrected.extend(own.corrected);
        if let Some(wake) = own.wake {
            self.wake_after(wake);
        }
    }

    /// Whether something stands in the way of going on.
    pub fn is_held(&self) -> bool {
        !(self.stalled.is_empty() && self.progressing.is_empty() && self.unknown.is_empty())
    }

    /// The finished plan.
    pub fn finish(mut self) -> Plan {
        super::conditions::write(&mut self);
        let requeue = if self.actions.is_empty() && !self.stalled.is_empty() && self.wake.is_none()
        {
            Requeue::Resync
        } else if self.actions.iter().any(|action| action.step.is_not_noted()) {
            // Nothing is written down of rules, and of what services are given, but what AWS shows,
            // which takes its time: looked at at once, they would be written again and again
            // meanwhile.
            Requeue::After(SOON)
        } else if !self.actions.is_empty() {
            Requeue::After(SignedDuration::ZERO)
        } else {
            self.wake.map_or(Requeue::Resync, Requeue::After)
        };
        let by_itself = |it: &Explanation| it.reason != FOR_PERSON;
        let following = self.progressing.iter().any(by_itself);
        let waits = !self.holds.is_empty() || !following && !self.progressing.is_empty();
        Plan {
            following,
            held: self.stalled.is_empty() && self.unknown.is_empty() && waits,
            actions: self.actions,
            waiting: self.waiting,
            status: self.status,
            requeue,
        }
    }
}
