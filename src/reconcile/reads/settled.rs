//! Whether everything that a pass looked at stands as it did.
//!
//! A plan follows from what it is made of. Where nothing was to be done, and all of that is as it
//! was, nothing is to be done now: a sweep over what does not change costs what AWS takes to tell so.

use tokio::time::Instant;

use super::shared::{Fresh, Moment, Same};
use super::{Place, Reads, STOCK, older_tags};
use crate::model::interest::Interest;

/// When a pass began.
#[derive(Clone, Copy, Debug)]
pub(in crate::reconcile) struct Began(Moment);

/// Nothing was to be done and nothing waited for, by what was known then.
#[derive(Clone, Copy, Debug)]
pub struct Settled {
    then: Moment,
    at: Instant,
}

impl Reads {
    /// Begins a pass that may find nothing to do.
    pub(in crate::reconcile) fn begin(&self) -> Began {
        Began(self.order.now())
    }

    /// A pass found nothing to do by what had been read when it began.
    pub(in crate::reconcile) fn settled(
        &self,
        interest: &Interest,
        since: Instant,
        began: Began,
    ) -> Option<Settled> {
        let Began(then) = began;
        let (at, same) = (then.at(), Same::Only(since));
        self.all_same(interest, same, same)
            .then_some(Settled { then, at })
    }

    /// The same for one that looked afresh. None where AWS told others otherwise meanwhile: what it
    /// told to this one is not known any more.
    pub(in crate::reconcile) fn settled_afresh(
        &self,
        interest: &Interest,
        began: Began,
    ) -> Option<Settled> {
        let then = self.order.now();
        let same = Same::SinceThen(began.0);
        let at = began.0.at();
        self.all_same(interest, same, same)
            .then_some(Settled { then, at })
    }

    /// Whether what was read since then, of all that such a pass looked at, is what it read.
    pub(in crate::reconcile) fn is_same(
        &self,
        interest: &Interest,
        since: Instant,
        settled: Settled,
    ) -> bool {
        let same = |fresh| Same::AsBefore(fresh, settled.then);
        // What needs no other pass is looked for once in a while all the same.
        settled.at.elapsed() < STOCK
            && self.all_same(interest, same(Fresh::Since(since)), same(older_tags(since)))
    }

    fn all_same(&self, interest: &Interest, same: Same, tags: Same) -> bool {
        self.ecs_is_same(interest, same)
            && self.ecr_is_same(interest, same)
            && self.events_are_same(interest, same, tags)
            && self.scheduler_is_same(interest, same, tags)
    }

    fn ecs_is_same(&self, interest: &Interest, same: Same) -> bool {
        let place = Place::new(&interest.access, &interest.region);
        let cluster = (place.clone(), interest.cluster.clone());
        self.services.are_same(&cluster, &interest.services, same)
            && self.families.are_same(&place, &interest.families, same)
    }

    fn ecr_is_same(&self, interest: &Interest, same: Same) -> bool {
        let images = interest.images.iter().all(|(repository, wanted)| {
            let group = (interest.access.clone(), repository.clone());
            self.images.are_same(&group, wanted, same)
        });
        let mut repositories = interest.repositories.iter();
        images
            && repositories.all(|repository| {
                let group = (interest.access.clone(), repository.clone());
                self.tag_lists.are_same(&group, [&()], same)
            })
    }

    fn events_are_same(&self, interest: &Interest, same: Same, tags: Same) -> bool {
        if interest.rules.is_empty() {
            return true;
        }
        let place = Place::new(&interest.access, &interest.region);
        let Some(Ok(listed)) = self.rules.newest(&place, &()) else {
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
        self.rules.are_same(&place, [&()], same)
            && self.targets.are_same(&place, &names, same)
            && self.tags.are_same(&place, &arns, tags)
    }
}
