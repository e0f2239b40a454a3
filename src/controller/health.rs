//! Whether the loop is alive and has read its list: for `/healthz` and `/readyz`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::resource::meta::ReleaseKey;

/// Longest that the loop may not turn.
const TURN: Duration = Duration::from_secs(60);

/// Shared between the loop and whoever asks. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Health {
    /// Longest that one pass may take.
    bound: Duration,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    turned: Instant,
    listed: bool,
    /// Why the table could not be reached at the last try.
    table: Option<String>,
    passes: BTreeMap<ReleaseKey, Instant>,
}

impl Health {
    /// Of a loop that begins now. A pass that takes longer than `bound` counts as stuck.
    pub fn new(bound: Duration) -> Self {
        Self {
            bound,
            state: Arc::new(Mutex::new(State {
                turned: Instant::now(),
                listed: false,
                table: None,
                passes: BTreeMap::new(),
            })),
        }
    }

    /// The loop turns.
    pub fn turn(&self) {
        self.with(|state| state.turned = Instant::now());
    }

    /// A pass begins.
    pub fn begin(&self, key: &ReleaseKey) {
        self.with(|state| state.passes.insert(key.clone(), Instant::now()));
    }

    /// A pass has ended.
    pub fn end(&self, key: &ReleaseKey) {
        self.with(|state| state.passes.remove(key));
    }

    /// What came of reading the list.
    pub fn listed(&self, result: Result<(), String>) {
        self.with(|state| {
            state.listed |= result.is_ok();
            state.table = result.err();
        });
    }

    /// # Errors
    /// What is stuck, and since when.
    pub fn alive(&self) -> Result<(), String> {
        self.with(|state| {
            let still = state.turned.elapsed();
            if still > TURN {
                return Err(format!("the loop has not turned for {} s", still.as_secs()));
            }
            let stuck: Vec<String> = state
                .passes
                .iter()
                .filter(|(_, since)| since.elapsed() > self.bound)
                .map(|(key, since)| format!("{key} for {} s", since.elapsed().as_secs()))
                .collect();
            match stuck.as_slice() {
                [] => Ok(()),
                stuck => Err(format!("passes are stuck: {}", stuck.join(", "))),
            }
        })
    }

    /// # Errors
    /// What is missing.
    pub fn ready(&self) -> Result<(), String> {
        self.with(|state| match (&state.table, state.listed) {
            (Some(why), _) => Err(format!("the table cannot be read: {why}")),
            (None, false) => Err("the releases have not been listed yet".to_owned()),
            (None, true) => Ok(()),
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
