//! Schedules.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::groups::no_group;
use super::{
    DEFAULT, Delayed, Schedule, Scheduler, arn, bad_token, check_name, checks, conflict, limit,
    needed, not_found, paged,
};
use crate::sandbox::cx::Cx;
use crate::sandbox::fault::Fault;
use crate::sandbox::json::{Object, epoch, page, text};

impl Scheduler {
    pub(super) fn create_schedule(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let key = named(input)?;
        let members = checks::members(cx, input)?;
        let answer = json!({"ScheduleArn": schedule_arn(cx, &key)});
        if self.is_repeated(input)? {
            return Ok(answer);
        }
        self.check_group(&key.0)?;
        if self
            .schedules
            .get(&key)
            .is_some_and(|it| it.latest().is_some())
        {
            return Err(conflict(format!("Schedule {} already exists.", key.1)));
        }
        let schedule = Schedule {
            members,
            created: cx.now,
            modified: cx.now,
        };
        self.schedules.entry(key).or_default().set(cx, schedule);
        self.used_token(input);
        Ok(answer)
    }

    /// Replaces the schedule: what is left out goes back to its default.
    pub(super) fn update_schedule(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let key = named(input)?;
        let members = checks::members(cx, input)?;
        self.check_group(&key.0)?;
        let there = self.schedules.get(&key).and_then(Delayed::latest);
        let there = there.ok_or_else(|| no_schedule(&key.1))?;
        // Two changes in one moment are told apart.
        let least = there.modified.checked_add(SignedDuration::from_millis(1));
        let schedule = Schedule {
            members,
            created: there.created,
            modified: least.map_or(cx.now, |least: Timestamp| least.max(cx.now)),
        };
        let answer = json!({"ScheduleArn": schedule_arn(cx, &key)});
        self.schedules.entry(key).or_default().set(cx, schedule);
        Ok(answer)
    }

    pub(super) fn get_schedule(&self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let key = named(input)?;
        let known = self.schedules.get(&key).and_then(|it| it.visible(cx));
        let known = known.ok_or_else(|| no_schedule(&key.1))?;
        let mut answer = known.members.clone();
        for (member, value) in [
            ("Name", json!(key.1)),
            ("GroupName", json!(key.0)),
            ("Arn", json!(schedule_arn(cx, &key))),
            ("CreationDate", epoch(known.created)),
            ("LastModificationDate", epoch(known.modified)),
        ] {
            answer.insert(member.to_owned(), value);
        }
        Ok(Value::Object(answer))
    }

    pub(super) fn delete_schedule(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let key = named(input)?;
        let there = self.schedules.get_mut(&key);
        let there = there.filter(|it| it.latest().is_some());
        there.ok_or_else(|| no_schedule(&key.1))?.remove(cx);
        Ok(json!({}))
    }

    pub(super) fn list_schedules(&self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let asked = text(input, "GroupName");
        if let Some(group) = asked {
            check_name(group, "groupName")?;
            self.visible_group(cx, group)?;
        }
        let prefix = text(input, "NamePrefix").unwrap_or_default();
        let state = text(input, "State");
        let all = self.schedules.iter().filter_map(|(key, schedule)| {
            let (group, name) = key;
            let known = schedule.visible(cx)?;
            let own = text(&known.members, "State");
            let meant = asked.is_none_or(|asked| asked == group)
                && name.starts_with(prefix)
                && state.is_none_or(|state| own == Some(state));
            let target = known.members.get("Target")?.get("Arn")?;
            let shown = json!({
                "Name": name,
                "GroupName": group,
                "Arn": schedule_arn(cx, key),
                "State": own,
                "CreationDate": epoch(known.created),
                "LastModificationDate": epoch(known.modified),
                "Target": {"Arn": target},
            });
            meant.then(|| (format!("{group}/{name}"), shown))
        });
        let found = page(all, text(input, "NextToken"), limit(input)?, bad_token)?;
        Ok(paged("Schedules", found.items, found.next))
    }

    /// Nothing is written into a group that is being deleted.
    fn check_group(&self, name: &str) -> Result<(), Fault> {
        if name == DEFAULT {
            return Ok(());
        }
        match self.latest_group(name) {
            Ok(group) if group.deleted.is_none() => Ok(()),
            Ok(_) => Err(conflict(format!("Schedule group {name} is being deleted."))),
            Err(_) => Err(no_group(name)),
        }
    }
}

/// Group and name.
fn named(input: &Object) -> Result<(String, String), Fault> {
    let name = needed(input, "Name", "name")?;
    let group = text(input, "GroupName").unwrap_or(DEFAULT);
    check_name(name, "name")?;
    check_name(group, "groupName")?;
    Ok((group.to_owned(), name.to_owned()))
}

fn schedule_arn(cx: &Cx<'_>, (group, name): &(String, String)) -> String {
    arn(cx, &format!("schedule/{group}/{name}"))
}

fn no_schedule(name: &str) -> Fault {
    not_found(&format!("Schedule {name}"))
}
