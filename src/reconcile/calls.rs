//! Calls of hooks that take longer than a pass. This process alone knows of them: who ends loses
//! their answers, and what that means the plan of the next one decides.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::model::hook::{Call, CallEnd};

/// How many answers are kept for which nobody comes: those of Releases that are gone.
const MOST: usize = 10_000;

/// Calls that were begun here. Clones are the same; with the last of them they are given up.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    known: Arc<Mutex<Known>>,
    tasks: Mutex<JoinSet<()>>,
}

/// Whose call it is, and its key.
type Key = (String, String);
type Known = BTreeMap<Key, (Instant, Call)>;

impl Calls {
    /// Begins a call for whoever that is under a key, once.
    pub(super) fn begin(
        &self,
        whose: &str,
        key: &str,
        call: impl Future<Output = CallEnd> + Send + 'static,
    ) {
        let known = self.0.known.clone();
        let key = (whose.to_owned(), key.to_owned());
        let mut all = lock(&known);
        if all.contains_key(&key) {
            return;
        }
        if all.len() >= MOST {
            forget_oldest(&mut all);
        }
        all.insert(key.clone(), (Instant::now(), Call::Underway));
        drop(all);
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

    /// What is known of those calls that are written down as open. Any other answer for the same is
    /// written down, and is not kept any longer.
    pub(super) fn of(&self, whose: &str, open: &[String]) -> BTreeMap<String, Call> {
        let mut all = lock(&self.0.known);
        all.retain(|(of, key), (_, call)| {
            of != whose || *call == Call::Underway || open.contains(key)
        });
        let own = all.iter().filter(|((of, _), _)| of == whose);
        own.filter(|((_, key), _)| open.contains(key))
            .map(|((_, key), (_, call))| (key.clone(), call.clone()))
            .collect()
    }
}

/// Makes room for another call. What goes on is kept.
fn forget_oldest(all: &mut Known) {
    let ended = all.iter().filter(|(_, (_, call))| *call != Call::Underway);
    let oldest = ended.min_by_key(|(_, (since, _))| *since);
    if let Some(key) = oldest.map(|(key, _)| key.clone()) {
        all.remove(&key);
    }
}

/// Tells how a call ended, also where it panicked.
struct Lost {
    known: Arc<Mutex<Known>>,
    key: Key,
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
    use std::time::Duration;

    use super::*;

    const WEB: &str = "uid of web";

    async fn pass(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_made_once_and_its_answer_kept_until_it_is_written_down() {
        let calls = Calls::default();
        let open = ["warm".to_owned()];
        let call = |end| async move {
            pass(60).await;
            end
        };
        calls.begin(WEB, "warm", call(CallEnd::Succeeded));
        // Begun twice, it is the same.
        calls.begin(WEB, "warm", call(CallEnd::Failed("twice".to_owned())));
        assert_eq!(calls.of(WEB, &open)["warm"], Call::Underway);
        // What goes on is not forgotten.
        assert_eq!(calls.of(WEB, &[]), BTreeMap::new());
        pass(61).await;
        let succeeded = Call::Ended(CallEnd::Succeeded);
        // However long nobody asks, and whoever else does.
        pass(7 * 24 * 3600).await;
        assert_eq!(calls.of("uid of api", &[]), BTreeMap::new());
        assert_eq!(calls.of(WEB, &open)["warm"], succeeded);
        assert_eq!(calls.of(WEB, &[]), BTreeMap::new());
        assert_eq!(calls.of(WEB, &open), BTreeMap::new());
    }

    #[tokio::test(start_paused = true)]
    async fn answers_for_which_nobody_comes_do_not_pile_up() {
        let calls = Calls::default();
        calls.begin(WEB, "slow", std::future::pending());
        for number in 0..MOST + 10 {
            calls.begin("gone", &number.to_string(), async { CallEnd::Succeeded });
            pass(1).await;
        }
        assert_eq!(lock(&calls.0.known).len(), MOST);
        let open = ["slow".to_owned()];
        assert_eq!(calls.of(WEB, &open)["slow"], Call::Underway);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_panics_is_lost_and_not_waited_for_for_ever() {
        let calls = Calls::default();
        calls.begin(WEB, "warm", async { panic!("what now") });
        pass(1).await;
        let known = calls.of(WEB, &["warm".to_owned()]);
        assert!(matches!(&known["warm"], Call::Ended(CallEnd::Lost(_))));
    }
}
