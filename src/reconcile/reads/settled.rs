//! Whether everything that a pass looked at stands as it did.
//!
//! A plan follows from what it is made of. Where nothing was to be done, and all of that is as it
//! was, nothing is to be done now: a sweep over what does not change costs what AWS takes to tell so.

use std::collections::BTreeMap;
use std::ops::Bound;

use serde_json::{Map, Value};
use tokio::time::Instant;

use super::kinds::RuleList;
use super::shared::{Fresh, Moment, Same};
use super::{Place, Reads, STOCK, older_tags};
use crate::model::hash;
use crate::model::interest::Interest;
use crate::model::known::Known;
use crate::model::observed::Observed;

/// When a pass began.
#[derive(Clone, Copy, Debug)]
pub(in crate::reconcile) struct Began(Moment);

/// Nothing was to be done and nothing waited for, by what was known then.
#[derive(Clone, Debug)]
pub struct Settled {
    then: Moment,
    at: Instant,
    /// Hash of the rules, as a list tells them. Who looks afresh lists its own, a sweep all of the
    /// bus; and what others change there is no matter of this one.
    rules: String,
}

/// EventBridge rules by name, as ListRules answers.
type RulesByName<'a> = BTreeMap<&'a str, &'a Map<String, Value>>;

impl Reads {
    /// Begins a pass that may find nothing to do.
    pub(in crate::reconcile) fn begin(&self) -> Began {
        Began(self.order.now())
    }

    /// A pass found nothing to do by what had been read when it began.
    pub(in crate::reconcile) fn settled(
        &self,
        interest: &Interest,
        observed: &Observed,
        since: Instant,
        began: Began,
    ) -> Option<Settled> {
        let Began(then) = began;
        self.settled_as_of(then, interest, observed, (then.at(), Same::Only(since)))
    }

    /// The same for one that looked afresh. None where AWS told others otherwise meanwhile: what it
    /// told to this one is not known any more.
    pub(in crate::reconcile) fn settled_afresh(
        &self,
        interest: &Interest,
        observed: &Observed,
        began: Began,
    ) -> Option<Settled> {
        let then = self.order.now();
        let Began(began) = began;
        self.settled_as_of(
            then,
            interest,
            observed,
            (began.at(), Same::SinceThen(began)),
        )
    }

    fn settled_as_of(
        &self,
        then: Moment,
        interest: &Interest,
        observed: &Observed,
        (at, same): (Instant, Same),
    ) -> Option<Settled> {
        let rules = rules_seen(observed)?;
        let settled = || Settled {
            then,
            at,
            rules: hash::of(&rules),
        };
        self.all_same(interest, &rules, same, same).then(settled)
    }

    /// Whether what was read since then, of all that such a pass looked at, is what it read.
    pub(in crate::reconcile) fn is_same(
        &self,
        interest: &Interest,
        since: Instant,
        settled: &Settled,
    ) -> bool {
        // What needs no other pass is looked for once in a while all the same.
        if settled.at.elapsed() >= STOCK {
            return false;
        }
        let fresh = Fresh::Since(since);
        let place = Place::new(&interest.access, &interest.region);
        let listed = match interest.rules.is_empty() {
            true => RuleList::default(),
            false => match self.rules.at_hand(&place, &(), fresh) {
                Some(Ok(listed)) => listed,
                Some(Err(_)) | None => return false,
            },
        };
        let rules = rules_of_interest(&listed, interest);
        let same = |fresh| Same::AsBefore(fresh, settled.then);
        hash::of(&rules) == settled.rules
            && self.all_same(interest, &rules, same(fresh), same(older_tags(since)))
    }

    fn all_same(
        &self,
        interest: &Interest,
        rules: &RulesByName<'_>,
        same: Same,
        tags: Same,
    ) -> bool {
        self.ecs_is_same(interest, same)
            && self.ecr_is_same(interest, same)
            && self.events_are_same(interest, rules, same, tags)
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

    /// Targets and tags of these rules.
    fn events_are_same(
        &self,
        interest: &Interest,
        rules: &RulesByName<'_>,
        same: Same,
        tags: Same,
    ) -> bool {
        let place = Place::new(&interest.access, &interest.region);
        let arn = |rule: &Map<String, Value>| {
            let arn = rule.get("Arn").and_then(Value::as_str);
            arn.unwrap_or_default().to_owned()
        };
        let named = rules.iter();
        let (names, arns): (Vec<String>, Vec<String>) = named
            .map(|(name, rule)| ((*name).to_owned(), arn(rule)))
            .unzip();
        self.targets.are_same(&place, &names, same) && self.tags.are_same(&place, &arns, tags)
    }
}

/// Rules that a pass saw; None unless all could be read.
fn rules_seen(observed: &Observed) -> Option<RulesByName<'_>> {
    let mut seen = BTreeMap::new();
    for (name, known) in &observed.rules {
        match known {
            Known::Present(rule) => drop(seen.insert(name.as_str(), &rule.rule)),
            Known::Absent => {}
            Known::Unknown(_) => return None,
        }
    }
    (observed.rules_listed == Some(true)).then_some(seen)
}

/// Rules of this list that are of interest.
fn rules_of_interest<'a>(
    listed: &'a BTreeMap<String, Map<String, Value>>,
    interest: &Interest,
) -> RulesByName<'a> {
    let prefix = interest.rule_prefix.as_str();
    let own = listed.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
    let own = own.take_while(|(name, _)| name.starts_with(prefix));
    let named = interest.rules.iter();
    let named = named.filter_map(|name| listed.get_key_value(name));
    let all = own.chain(named);
    all.map(|(name, rule)| (name.as_str(), rule)).collect()
}
