//! Sweeps: everything is looked at again now and then, read account by account for many at once.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{Message, Service};
use crate::controller::queue::Look;
use crate::controller::std_duration;
use crate::model::desired::Access;
use crate::model::interest::Interest;
use crate::resource::meta::ReleaseKey;

/// How far apart the passes of a sweep begin at most.
const APART: Duration = Duration::from_millis(20);

impl Service<'_> {
    /// Looks at everything again, whether anything was heard of it or not.
    pub(super) fn sweep(&mut self) {
        self.next_sweep = Instant::now() + self.pause();
        // One that stands by looks at nothing, and finds out so that the table lets it in.
        self.list(true);
    }

    /// Reads what all Releases look at, account by account, and adds their keys as it is there.
    pub(super) fn read_ahead(&mut self) {
        let mut groups: HashMap<(&_, &str), (Vec<ReleaseKey>, Vec<Interest>)> = HashMap::new();
        let mut unread = Vec::new();
        for key in self.known.keys() {
            match self.index.interest(key) {
                Some(interest) => {
                    let place = (&interest.access, interest.region.as_str());
                    let (keys, interests) = groups.entry(place).or_default();
                    keys.push(key.clone());
                    interests.push(interest.clone());
                }
                None => unread.push(key.clone()),
            }
        }
        let since = Instant::now();
        for ((access, region), (keys, interests)) in groups {
            let place = (access.clone(), region.to_owned());
            // An account that takes longer than the time between two sweeps keeps no other waiting.
            if !self.sweeping.insert(place.clone()) {
                continue;
            }
            let sender = self.sender.clone();
            let reconciler = self.controller.worker.reconciler().clone();
            self.tasks.spawn(async move {
                reconciler.read_ahead(&interests).await;
                let swept = Message::Swept { place, keys, since };
                let _ = sender.send(swept);
            });
        }
        for key in unread {
            self.engine.add(key, since, Look::Afresh);
        }
    }

    /// Gives the workers what a sweep has read for, save what stands as it did.
    pub(super) fn swept(
        &mut self,
        place: &(Access, String),
        keys: Vec<ReleaseKey>,
        since: Instant,
    ) {
        self.sweeping.remove(place);
        let (same, keys): (Vec<_>, Vec<_>) =
            keys.into_iter().partition(|key| self.is_same(key, since));
        for key in &same {
            self.controller.worker.same(key);
        }
        let apart = self.apart(keys.len());
        let mut due = Instant::now();
        for key in keys {
            self.engine.add(key, due, Look::Since(since));
            due += apart;
        }
    }

    /// Whether the last pass over a Release found nothing to do, and everything stands as it did.
    fn is_same(&self, key: &ReleaseKey, since: Instant) -> bool {
        let settled = self.settled.get(key).zip(self.index.interest(key));
        let reconciler = self.controller.worker.reconciler();
        settled.is_some_and(|(settled, interest)| reconciler.is_same(interest, since, settled))
    }

    /// How far apart the passes of a sweep begin, so that what changes meanwhile need not wait
    /// behind all of them.
    fn apart(&self, keys: usize) -> Duration {
        let resync = std_duration(self.controller.options.resync);
        let keys = u32::try_from(keys).unwrap_or(u32::MAX).max(1);
        APART.min(resync / 2 / keys)
    }

    /// Until the next sweep, with jitter, so that replicas and installations do not sweep at the
    /// same moment for ever.
    pub(super) fn pause(&self) -> Duration {
        let resync = std_duration(self.controller.options.resync);
        let jitter = f64::from(uuid::Uuid::new_v4().as_bytes()[0]) / 255.0;
        resync.mul_f64(0.9 + 0.2 * jitter)
    }
}
