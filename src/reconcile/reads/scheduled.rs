//! Reads of EventBridge Scheduler. The list of a group tells when each of its schedules was changed
//! last, so that one that was read since then need not be read again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::shared::{Kind, Same};
use super::view::{View, lost};
use super::{Accounts, Place, Reads, older_tags};
use crate::aws::error::{AwsError, Call};
use crate::aws::scheduler::{Listed, group_named, schedule_named};
use crate::model::interest::Interest;
use crate::model::known::Known;
use crate::model::observed::{ScheduleGroup, Scheduled};

/// Schedule groups with their tags, by name.
pub(super) struct Groups(pub(super) Accounts);

impl Kind for Groups {
    type Group = Place;
    type Name = String;
    type Answer = Known<ScheduleGroup>;
    const BATCH: usize = 1;

    async fn read(
        &self,
        place: &Place,
        names: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Self::Answer>, AwsError> {
        let scheduler = self.0.of(place).scheduler;
        let mut found = BTreeMap::new();
        for name in names {
            found.insert(name.clone(), scheduler.group(name).await?);
        }
        Ok(found)
    }
}

/// What is in a schedule group, by its name.
pub(super) struct GroupLists(pub(super) Accounts);

impl Kind for GroupLists {
    type Group = Place;
    type Name = String;
    type Answer = Known<Arc<Vec<Listed>>>;
    const BATCH: usize = 1;

    async fn read(
        &self,
        place: &Place,
        names: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Self::Answer>, AwsError> {
        let scheduler = self.0.of(place).scheduler;
        let mut found = BTreeMap::new();
        for name in names {
            let listed = scheduler.schedules(name).await?;
            found.insert(name.clone(), listed.map(Arc::new));
        }
        Ok(found)
    }
}

/// Schedules by group, name, and when they were changed last, as their list tells.
pub(super) struct Schedules(pub(super) Accounts);

impl Kind for Schedules {
    type Group = Place;
    type Name = (String, String, String);
    type Answer = Known<Arc<Scheduled>>;
    const BATCH: usize = 1;

    async fn read(
        &self,
        place: &Place,
        names: &BTreeSet<Self::Name>,
    ) -> Result<BTreeMap<Self::Name, Self::Answer>, AwsError> {
        let scheduler = self.0.of(place).scheduler;
        let mut found = BTreeMap::new();
        for key in names {
            let (group, name, _) = key;
            let schedule = scheduler.schedule(group, name).await?;
            found.insert(key.clone(), schedule.map(Arc::new));
        }
        Ok(found)
    }
}

/// Under what a schedule is kept that a list tells of.
fn key(group: &str, listed: &Listed) -> (String, String, String) {
    let modified = listed.modified.clone().unwrap_or_default();
    (group.to_owned(), listed.name.clone(), modified)
}

impl View {
    /// A schedule group; a sweep is content with an older look at it.
    pub(in crate::reconcile) async fn group(
        &self,
        name: &str,
    ) -> Result<Known<ScheduleGroup>, AwsError> {
        let call = Call::read("scheduler", "GetScheduleGroup", group_named(name));
        self.may_ask(&call)?;
        let fresh = self.since.map_or(self.fresh, older_tags);
        let shared = &self.reads.groups;
        let read = shared
            .ask(&self.place, [name.to_owned()].into(), fresh)
            .await;
        read.into_values().next().unwrap_or_else(|| Err(lost(call)))
    }

    /// What is in a schedule group; absent where there is no such group.
    pub(in crate::reconcile) async fn group_list(
        &self,
        name: &str,
    ) -> Result<Known<Arc<Vec<Listed>>>, AwsError> {
        let call = Call::read("scheduler", "ListSchedules", group_named(name));
        self.may_ask(&call)?;
        let shared = &self.reads.group_lists;
        let names = [name.to_owned()].into();
        let read = shared.ask(&self.place, names, self.fresh).await;
        read.into_values().next().unwrap_or_else(|| Err(lost(call)))
    }

    /// A schedule that a list tells of. A sweep is content with what was read of it since it was
    /// changed last, where the list tells when that was.
    pub(in crate::reconcile) async fn schedule(
        &self,
        group: &str,
        listed: &Listed,
    ) -> Result<Known<Scheduled>, AwsError> {
        let what = schedule_named(group, &listed.name);
        let call = Call::read("scheduler", "GetSchedule", what);
        self.may_ask(&call)?;
        let fresh = match (self.since, &listed.modified) {
            (Some(since), Some(_)) => older_tags(since),
            _ => self.fresh,
        };
        let shared = &self.reads.schedules;
        let names = [key(group, listed)].into();
        let read = shared.ask(&self.place, names, fresh).await;
        let known = read
            .into_values()
            .next()
            .unwrap_or_else(|| Err(lost(call)))?;
        Ok(known.map(Arc::unwrap_or_clone))
    }
}

impl Reads {
    /// Whether EventBridge Scheduler told the same; see [`super::settled`].
    pub(super) fn scheduler_is_same(&self, interest: &Interest, same: Same, older: Same) -> bool {
        let Some(group) = &interest.schedule_group else {
            return true;
        };
        let place = Place::new(&interest.access, &interest.region);
        let listed = match self.group_lists.newest(&place, group) {
            Some(Ok(Known::Present(listed))) => listed,
            Some(Ok(_)) => Arc::default(),
            Some(Err(_)) | None => return false,
        };
        let each = listed.iter().all(|it| {
            let same = if it.modified.is_some() { older } else { same };
            self.schedules.are_same(&place, [&key(group, it)], same)
        });
        each && self.group_lists.are_same(&place, [group], same)
            && self.groups.are_same(&place, [group], older)
    }
}
