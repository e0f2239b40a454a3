//! What happens later: one appointment per task and per service, in order of time.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Key;

/// What is to happen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// The task takes the next step of its life.
    Task(Key),
    /// The scheduler looks at the service.
    Service(Key),
}

/// Appointments by time; those of the same instant in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    by_time: BTreeMap<(Timestamp, u64), Due>,
    by_due: BTreeMap<Due, (Timestamp, u64)>,
    made: u64,
}

impl Agenda {
    /// Makes the appointment, in place of an earlier one of the same thing.
    pub fn set(&mut self, due: Due, at: Timestamp) {
        self.cancel(&due);
        self.made += 1;
        let slot = (at, self.made);
        self.by_due.insert(due.clone(), slot);
        self.by_time.insert(slot, due);
    }

    /// Makes the appointment unless there is one as early as that.
    pub fn bring_forward(&mut self, due: Due, at: Timestamp) {
        if self.by_due.get(&due).is_none_or(|(have, _)| *have > at) {
            self.set(due, at);
        }
    }

    /// Takes the appointment back.
    pub fn cancel(&mut self, due: &Due) {
        if let Some(slot) = self.by_due.remove(due) {
            self.by_time.remove(&slot);
        }
    }

    /// The time of the first appointment.
    pub fn next(&self) -> Option<Timestamp> {
        self.by_time.keys().next().map(|(at, _)| *at)
    }

    /// Takes the first appointment that is due at `now`.
    pub fn pop(&mut self, now: Timestamp) -> Option<(Timestamp, Due)> {
        let first = self.by_time.first_entry()?;
        let at = first.key().0;
        if at > now {
            return None;
        }
        let due = first.remove();
        self.by_due.remove(&due);
        Some((at, due))
    }
}
