//! Eventual consistency: a value whose readers see what it was a little while ago.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::cx::Cx;

/// A value with as much of its past as readers may still see. Writers see it as it is.
#[derive(Debug, Clone)]
pub(crate) struct Delayed<T> {
    /// Oldest first; `None` says that it was absent (not made yet, or deleted).
    versions: Vec<(Timestamp, Option<T>)>,
}

impl<T> Default for Delayed<T> {
    fn default() -> Self {
        Self {
            versions: Vec::new(),
        }
    }
}

impl<T: Clone> Delayed<T> {
    /// The value as it is.
    pub fn latest(&self) -> Option<&T> {
        self.versions.last().and_then(|(_, value)| value.as_ref())
    }

    /// The value as a read shows it.
    pub fn visible(&self, cx: &Cx<'_>) -> Option<&T> {
        let at = before(cx.now, cx.settings.read_delay);
        self.versions
            .iter()
            .rev()
            .find(|(since, _)| *since <= at)
            .and_then(|(_, value)| value.as_ref())
    }

    /// Replaces the value.
    pub fn set(&mut self, cx: &Cx<'_>, value: T) {
        self.push(cx, Some(value));
    }

    /// Changes the value in place; nothing happens where there is none.
    pub fn edit(&mut self, cx: &Cx<'_>, change: impl FnOnce(&mut T)) {
        if let Some(mut value) = self.latest().cloned() {
            change(&mut value);
            self.push(cx, Some(value));
        }
    }

    /// Takes the value away.
    pub fn remove(&mut self, cx: &Cx<'_>) {
        self.push(cx, None);
    }

    /// Whether nothing of it can be read any more.
    pub fn is_gone(&self, cx: &Cx<'_>) -> bool {
        self.latest().is_none() && self.visible(cx).is_none()
    }

    fn push(&mut self, cx: &Cx<'_>, value: Option<T>) {
        match self.versions.last_mut() {
            Some(last) if last.0 == cx.now => last.1 = value,
            _ => self.versions.push((cx.now, value)),
        }
        let at = before(cx.now, cx.settings.read_delay);
        if let Some(oldest) = self.versions.iter().rposition(|(since, _)| *since <= at) {
            self.versions.drain(..oldest);
        }
    }
}

fn before(now: Timestamp, delay: Duration) -> Timestamp {
    SignedDuration::try_from(delay)
        .ok()
        .and_then(|delay| now.checked_sub(delay).ok())
        .unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests;
