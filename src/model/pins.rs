//! Which revision is kept to: the newest of the generation, and one that a person went back to.

use super::desired::Desired;
use super::hash;
use super::ledger::{Ledger, Revision};

impl Ledger {
    /// The newest revision, if any but revision 0.
    pub fn newest(&self) -> Option<&Revision> {
        self.revisions
            .values()
            .next_back()
            .filter(|found| found.number > 0)
    }

    /// The newest revision, if it makes this generation definite.
    pub fn current(&self, generation: u64) -> Option<&Revision> {
        self.newest()
            .filter(|found| found.generation == generation && !found.is_released())
    }

    /// The newest revision, if it makes definite what is declared: it is of this generation, or of one
    /// that declared the same. Suspending and resuming make generations of their own, and nothing is
    /// looked up anew for that.
    pub fn standing(&self, desired: &Desired) -> Option<&Revision> {
        let declared_so = |found: &Revision| {
            let spec = found.spec.as_ref().filter(|_| found.pinned.is_none());
            spec.is_some_and(|spec| hash::of_spec(spec) == desired.declared)
        };
        self.newest().filter(|found| {
            !found.is_released() && (found.generation == desired.generation || declared_so(found))
        })
    }

    /// The copy of an earlier revision that is kept to, because a person went back to that and
    /// nothing else was declared since.
    pub fn pin(&self, desired: &Desired) -> Option<&Revision> {
        let is_declared = |found: &Revision| {
            found.generation == desired.generation
                || found.declared.as_ref() == Some(&desired.declared)
        };
        self.newest()
            .filter(|found| found.pinned.is_some() && !found.is_released() && is_declared(found))
    }
}

impl Revision {
    /// Whether it is a copy of an earlier one that is not kept to any more.
    pub fn is_released(&self) -> bool {
        self.pinned.is_some() && self.lifted
    }
}

impl Desired {
    /// What is wanted with what was written down: where a person went back to a revision, what that
    /// one declared.
    #[must_use]
    pub fn in_effect(self, ledger: &Ledger) -> Desired {
        match ledger.pin(&self) {
            Some(pin) if self.deleting.is_none() => self.at_revision(pin),
            _ => self,
        }
    }
}
