//! Whether the stream is read, told in the log when that changes.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Shared by all who read the stream.
#[derive(Debug, Default)]
pub(super) struct Standing {
    state: Mutex<State>,
    broke: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the stream was opened.
    open: bool,
    /// What of it cannot be read.
    broken: BTreeSet<String>,
    /// Whether the log has it that the table is polled.
    told: bool,
}

impl Standing {
    /// The stream is read from now on.
    pub fn open(&self) {
        let mut state = self.state();
        state.open = true;
        state.broken.clear();
        state.tell();
    }

    /// The stream is not read any more. Nothing is logged: it may be opened again at once.
    pub fn shut(&self) {
        self.state().open = false;
    }

    /// A part of it cannot be read.
    pub fn breaks(&self, part: &str, why: &str) {
        let mut state = self.state();
        state.broken.insert(part.to_owned());
        if !state.told {
            state.told = true;
            tracing::warn!(why, "the stream cannot be read: the table is polled");
            self.broke.notify_one();
        }
    }

    /// A part of it can be read.
    pub fn works(&self, part: &str) {
        let mut state = self.state();
        if state.broken.remove(part) {
            state.tell();
        }
    }

    /// Whether all of it is read.
    pub fn is_whole(&self) -> bool {
        self.state().is_whole()
    }

    /// Waits until something breaks.
    pub async fn broke(&self) {
        self.broke.notified().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_whole(&self) -> bool {
        self.open && self.broken.is_empty()
    }

    fn tell(&mut self) {
        if self.told && self.is_whole() {
            self.told = false;
            tracing::info!("the stream is read again: the table is not polled any more");
        }
    }
}
