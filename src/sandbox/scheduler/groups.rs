//! Schedule groups.

use serde_json::{Value, json};

use super::{
    DEFAULT, Delayed, Group, Scheduler, arn, bad_token, check_name, conflict, limit, needed,
    not_found, paged, tags, validation,
};
use crate::sandbox::cx::Cx;
use crate::sandbox::fault::Fault;
use crate::sandbox::json::{Object, epoch, list, page, text};

impl Scheduler {
    pub(super) fn create_group(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let name = needed(input, "Name", "name")?;
        check_name(name, "name")?;
        let given = tags::read(list(input, "Tags"))?;
        let answer = json!({"ScheduleGroupArn": group_arn(cx, name)});
        if self.is_repeated(input)? {
            return Ok(answer);
        }
        if name == DEFAULT
            || self
                .groups
                .get(name)
                .is_some_and(|it| it.latest().is_some())
        {
            return Err(conflict(format!("Schedule group {name} already exists.")));
        }
        let group = Group {
            created: cx.now,
            deleted: None,
            tags: given,
        };
        self.groups
            .entry(name.to_owned())
            .or_default()
            .set(cx, group);
        self.used_token(input);
        Ok(answer)
    }

    pub(super) fn get_group(&self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let name = needed(input, "Name", "name")?;
        check_name(name, "name")?;
        Ok(show(cx, name, &self.visible_group(cx, name)?))
    }

    pub(super) fn list_groups(&self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let prefix = text(input, "NamePrefix").unwrap_or_default();
        let named = self.groups.keys().map(String::as_str);
        let all = named
            .chain([DEFAULT])
            .filter(|name| name.starts_with(prefix));
        let mut all: Vec<(String, Value)> = all
            .filter_map(|name| {
                let group = self.visible_group(cx, name).ok()?;
                Some((name.to_owned(), show(cx, name, &group)))
            })
            .collect();
        all.sort_by(|one, other| one.0.cmp(&other.0));
        let found = page(all, text(input, "NextToken"), limit(input)?, bad_token)?;
        Ok(paged("ScheduleGroups", found.items, found.next))
    }

    /// All that is in it goes with it, within a while.
    pub(super) fn delete_group(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let name = needed(input, "Name", "name")?;
        check_name(name, "name")?;
        if name == DEFAULT {
            return Err(validation("The default schedule group cannot be deleted."));
        }
        let there = self.latest_group(name)?;
        if there.deleted.is_some() {
            return Err(conflict(format!("Schedule group {name} is being deleted.")));
        }
        if let Some(group) = self.groups.get_mut(name) {
            group.edit(cx, |group| group.deleted = Some(cx.now));
        }
        Ok(json!({}))
    }

    /// The group as it is, for a write.
    pub(super) fn latest_group(&self, name: &str) -> Result<Group, Fault> {
        let known = self.groups.get(name).and_then(Delayed::latest);
        known.cloned().ok_or_else(|| no_group(name))
    }

    /// The group as reads show it.
    pub(super) fn visible_group(&self, cx: &Cx<'_>, name: &str) -> Result<Group, Fault> {
        if name == DEFAULT {
            return Ok(Group {
                created: jiff::Timestamp::UNIX_EPOCH,
                deleted: None,
                tags: std::collections::BTreeMap::new(),
            });
        }
        let known = self.groups.get(name).and_then(|group| group.visible(cx));
        known.cloned().ok_or_else(|| no_group(name))
    }
}

pub(super) fn no_group(name: &str) -> Fault {
    not_found(&format!("Schedule group {name}"))
}

pub(super) fn group_arn(cx: &Cx<'_>, name: &str) -> String {
    arn(cx, &format!("schedule-group/{name}"))
}

fn show(cx: &Cx<'_>, name: &str, group: &Group) -> Value {
    let state = if group.deleted.is_some() {
        "DELETING"
    } else {
        "ACTIVE"
    };
    json!({
        "Name": name,
        "Arn": group_arn(cx, name),
        "State": state,
        "CreationDate": epoch(group.created),
        "LastModificationDate": epoch(group.deleted.unwrap_or(group.created)),
    })
}
