//! Passes that find nothing to do: of a sweep, and whether any pass was the last that is needed.

use tokio::time::Instant;

use super::reads::Began;
use super::{Looked, Pass, Ready, Reconciler};
use crate::model::plan::{Plan, Requeue};
use crate::resource::meta::ReleaseKey;

impl Reconciler {
    /// The pass over a Release that stands as was told of it, by what was read since then: nothing
    /// is to be done or written. None where anything differs or could not be read; that is looked at
    /// afresh.
    pub(super) async fn settled(
        &self,
        key: &ReleaseKey,
        since: Instant,
        began: Began,
    ) -> Option<Pass> {
        let Ok(looked) = self.prepare(key, Some(since)).await else {
            return None;
        };
        let (told, plan, ready) = match looked {
            Looked::Gone => return None,
            Looked::Stalled(told, _) if told.is_left() => return None,
            Looked::Stalled(told, why) => {
                let status = told.stalled(&why, self.now());
                let plan = Plan {
                    status,
                    ..Plan::default()
                };
                (told, plan, None)
            }
            Looked::Ready(told, ready) => {
                let plan = self.plan(&told.status, &ready);
                (told, plan, Some(ready))
            }
        };
        let quiet = plan.actions.is_empty() && plan.status == told.status;
        let rests = ready.as_ref().is_some_and(|it| self.rests(&plan, it));
        quiet.then(|| Pass {
            settled: ready
                .as_ref()
                .filter(|_| rests)
                .and_then(|it| self.reads.settled(&it.interest, &it.observed, since, began)),
            plan,
            failed: None,
            over_budget: None,
            gone: false,
            told_anew: false,
            applied_at: told.applied_at,
            version: ready.as_ref().and_then(|it| it.version(&told)),
            unread: ready.as_ref().is_some_and(|it| it.observed.unread),
            whole: ready.as_ref().is_some_and(|it| it.observed.is_whole()),
            interest: ready.map(|it| it.interest),
        })
    }

    /// Whether nothing was to be done and nothing is waited for, by reads that all were answered and
    /// that sweeps share.
    pub(super) fn rests(&self, plan: &Plan, ready: &Ready) -> bool {
        let Ready {
            observed, interest, ..
        } = ready;
        let shared = !interest.more && interest.tasks.is_empty() && interest.releases.is_empty();
        plan.actions.is_empty()
            && plan.requeue == Requeue::Resync
            && observed.is_whole()
            && !observed.unread
            && shared
    }

    /// Whether what a plan leads to a Release's status being is the end of it.
    pub(super) fn has_told_all(&self, told: &Plan, ready: &Ready) -> bool {
        let next = self.plan(&told.status, ready);
        self.rests(&next, ready) && next.status == told.status
    }
}
