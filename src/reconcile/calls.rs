//! Calls of hooks that take longer than a pass. This process alone knows of them: who ends loses
//! their answers, and what that means the plan of the next one decides.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::model::hook::{Call, CallEnd};

/// How long an answer is kept that nobody asks for.
const KEPT: Duration = Duration::from_secs(3600);

/// Calls that were begun here. Clones are the same; with the last of them they are given up.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    known: Arc<Mutex<Known>>,
    tasks: Mutex<JoinSet<()>>,
}

type Known = BTreeMap<String, (Instant, Call)>;

impl Calls {
    /// Begins a call under a key, once.
    pub(super) fn begin(&self, key: &str, call: impl Future<Output = CallEnd> + Send + 'static) {
        let known = self.0.known.clone();
        let mut all = lock(&known);
        all.retain(|_, (since, call)| *call == Call::Underway || since.elapsed() < KEPT);
        if all.contains_key(key) {
            return;
        }
        all.insert(key.to_owned(), (Instant::now(), Call::Underway));
        drop(all);
        let key = key.to_owned();
        let mut tasks = lock(&self.0.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            let mut guard = Lost {
                known,
                key,
                end: CallEnd::Lost("the call broke off".to_owned()),
            };
            guard.end = call.await;
        });
    }

    /// What is known of these.
    pub(super) fn of(&self, keys: &[String]) -> BTreeMap<String, Call> {
        let all = lock(&self.0.known);
        keys.iter()
            .filter_map(|key| Some((key.clone(), all.get(key)?.1.clone())))
            .collect()
    }
}

/// Tells how a call ended, also where it panicked.
struct Lost {
    known: Arc<Mutex<Known>>,
    key: String,
    end: CallEnd,
}

impl Drop for Lost {
    fn drop(&mut self) {
        let ended = (Instant::now(), Call::Ended(self.end.clone()));
        lock(&self.known).insert(self.key.clone(), ended);
    }
}

/// A panic elsewhere must not hide an answer.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_call_is_made_once_and_its_answer_kept() {
        let calls = Calls::default();
        let keys = ["warm".to_owned()];
        let call = |end| async move {
            tokio::time::sleep(Duration::from_secs(60)).await;
            end
        };
        calls.begin("warm", call(CallEnd::Succeeded));
        // Begun twice, it is the same.
        calls.begin("warm", call(CallEnd::Failed("twice".to_owned())));
        assert_eq!(calls.of(&keys)["warm"], Call::Underway);
        tokio::time::sleep(Duration::from_secs(61)).await;
        let succeeded = Call::Ended(CallEnd::Succeeded);
        assert_eq!(calls.of(&keys)["warm"], succeeded);
        calls.begin("warm", call(CallEnd::Failed("again".to_owned())));
        assert_eq!(calls.of(&keys)["warm"], succeeded);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_panics_is_lost_and_not_waited_for_for_ever() {
        let calls = Calls::default();
        calls.begin("warm", async { panic!("what now") });
        tokio::time::sleep(Duration::from_secs(1)).await;
        let known = calls.of(&["warm".to_owned()]);
        assert!(matches!(&known["warm"], Call::Ended(CallEnd::Lost(_))));
    }
}
