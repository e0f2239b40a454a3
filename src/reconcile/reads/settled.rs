//! Whether everything that a pass looked at stands as it did.
//!
//! A plan follows from what it is made of. Where nothing was to be done, and all of that is as it
//! was, nothing is to be done now: a sweep over what does not change costs what AWS takes to tell so.

use tokio::time::Instant;

use super::shared::{Fresh, Moment};
use super::{Place, Reads, STOCK, older_tags};
use crate::model::interest::Interest;

/// Nothing was to be done and nothing waited for, by what was read up to then.
#[derive(Clone, Copy, Debug)]
pub struct Settled {
    before: Moment,
    at: Instant,
}

impl Reads {
    /// Begins a pass that may find out so.
    pub(in crate::reconcile) fn settling(&self) -> Settled {
        Settled {
            before: self.order.now(),
            at: Instant::now(),
        }
    }

    /// Whether what was read since then, of all that such a pass looked at, is what it read.
    pub(in crate::reconcile) fn is_same(
        &self,
        interest: &Interest,
        since: Instant,
        settled: Settled,
    ) -> bool {
        // What needs no other pass is looked for once in a while all the same.
        settled.at.elapsed() < STOCK
            && self.ecs_is_same(interest, since, settled.before)
            && self.ecr_is_same(interest, since, settled.before)
            && self.events_are_same(interest, since, settled.before)
    }

    fn ecs_is_same(&self, interest: &Interest, since: Instant, before: Moment) -> bool {
        let fresh = Fresh::Since(since);
        let place = Place::new(&interest.access, &interest.region);
        let cluster = (place.clone(), interest.cluster.clone());
        let (services, families) = (&interest.services, &interest.families);
        self.services.are_same(&cluster, services, fresh, before)
            && self.families.are_same(&place, families, fresh, before)
    }

    fn ecr_is_same(&self, interest: &Interest, since: Instant, before: Moment) -> bool {
        let fresh = Fresh::Since(since);
        let images = interest.images.iter().all(|(repository, wanted)| {
            let group = (interest.access.clone(), repository.clone());
            self.images.are_same(&group, wanted, fresh, before)
        });
        let mut repositories = interest.repositories.iter();
        images
            && repositories.all(|repository| {
                let group = (interest.access.clone(), repository.clone());
                self.tag_lists.are_same(&group, [&()], fresh, before)
            })
    }

    fn events_are_same(&self, interest: &Interest, since: Instant, before: Moment) -> bool {
        if interest.rules.is_empty() {
            return true;
        }
        let fresh = Fresh::Since(since);
        let place = Place::new(&interest.access, &interest.region);
        let Some(Ok(listed)) = self.rules.known(&place, &(), fresh) else {
            return false;
        };
        let listed = interest.rules.iter().filter_map(|name| listed.get(name));
        let text = |rule: &serde_json::Map<_, serde_json::Value>, member: &str| {
            let text = rule.get(member).and_then(serde_json::Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let (names, arns): (Vec<String>, Vec<String>) = listed
            .map(|rule| (text(rule, "Name"), text(rule, "Arn")))
            .unzip();
        self.rules.are_same(&place, [&()], fresh, before)
            && self.targets.are_same(&place, &names, fresh, before)
            && self.tags.are_same(&place, &arns, older_tags(since), before)
    }
}
