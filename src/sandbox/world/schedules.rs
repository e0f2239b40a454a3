//! Schedules fire: what is switched on starts tasks in ECS, and what comes to nothing goes into a
//! queue.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{Call, Cx, NoImages, World};
use crate::sandbox::firing::{Invocation, Source};
use crate::sandbox::json::{Object, int, list, text};
use crate::sandbox::scheduler;

/// What a start came to.
enum Came {
    Started,
    /// There was no room for it, or ECS was not well: it is tried again.
    Nothing,
    /// ECS does not take it.
    Refused,
}

impl World {
    /// Takes note of what is switched on.
    pub(in crate::sandbox) fn note_schedules(&mut self, now: Timestamp) {
        if !self.settings.fire_schedules {
            self.clockworks.clear();
            return;
        }
        let regions: Vec<String> = self
            .events
            .keys()
            .chain(self.schedulers.keys())
            .cloned()
            .collect();
        for region in regions {
            let sources = self.sources(&region);
            self.clockworks
                .entry(region)
                .or_default()
                .note(now, &sources);
        }
    }

    /// When a schedule comes next, or a start that is tried again.
    pub(super) fn next_firing(&self) -> Option<Timestamp> {
        let clockworks = self.clockworks.values();
        clockworks.filter_map(|clockwork| clockwork.next()).min()
    }

    /// Starts what is due at a moment.
    pub(super) fn fire(&mut self, at: Timestamp) {
        let regions: Vec<String> = self.clockworks.keys().cloned().collect();
        for region in regions {
            self.end_deletions(at, &region);
            let sources = self.sources(&region);
            let Some(clockwork) = self.clockworks.get_mut(&region) else {
                continue;
            };
            clockwork.note(at, &sources);
            let ids = &mut self.ids;
            let fired = clockwork.fire(at, &sources, || ids.chance());
            self.fired.extend(fired);
            while let Some(invocation) = self.taken(at, &region) {
                self.invoke(at, &region, invocation);
            }
        }
    }

    fn taken(&mut self, at: Timestamp, region: &str) -> Option<Invocation> {
        self.clockworks.get_mut(region)?.take(at)
    }

    fn invoke(&mut self, at: Timestamp, region: &str, invocation: Invocation) {
        let over = match self.start(at, region, &invocation) {
            Came::Started => None,
            Came::Refused => Some(invocation),
            Came::Nothing => self
                .clockworks
                .get_mut(region)
                .and_then(|clockwork| clockwork.again(at, invocation)),
        };
        if let Some((region, name, body)) = over.and_then(|over| over.dead_letter()) {
            self.bury(at, &region, &name, &body);
        }
    }

    fn start(&mut self, at: Timestamp, region: &str, invocation: &Invocation) -> Came {
        let Some(input) = invocation.run_task() else {
            return Came::Started;
        };
        let call = Call {
            service: "ecs".to_owned(),
            operation: "RunTask".to_owned(),
            region: region.to_owned(),
            input,
            access_key: None,
        };
        let outcome = self.answer(at, &call, false);
        let came = match &outcome {
            Ok(answer) => {
                let failed = answer
                    .as_object()
                    .map_or(&[][..], |it| list(it, "failures"));
                match failed.is_empty() {
                    true => Came::Started,
                    false => Came::Nothing,
                }
            }
            Err(fault) if fault.status >= 500 => Came::Nothing,
            Err(_) => Came::Refused,
        };
        self.log
            .add(at, &call, invocation.by.clone(), false, &outcome);
        came
    }

    /// Puts what came to nothing into its queue.
    fn bury(&mut self, at: Timestamp, region: &str, name: &str, body: &str) {
        let Some(queues) = self.queues.get_mut(region) else {
            return;
        };
        let mut cx = Cx {
            now: at,
            account: &self.settings.account,
            region,
            principal: String::new(),
            rules: &self.rules,
            settings: &self.settings,
            ids: &mut self.ids,
            images: &NoImages,
        };
        queues.deliver(&mut cx, name, body, at);
    }

    fn end_deletions(&mut self, at: Timestamp, region: &str) {
        let Some(scheduler) = self.schedulers.get_mut(region) else {
            return;
        };
        let cx = Cx {
            now: at,
            account: &self.settings.account,
            region,
            principal: String::new(),
            rules: &self.rules,
            settings: &self.settings,
            ids: &mut self.ids,
            images: &NoImages,
        };
        scheduler.finish_deletions(&cx);
    }

    /// What is switched on in a Region.
    fn sources(&self, region: &str) -> Vec<Source> {
        let rules = self.events.get(region).into_iter();
        let rules = rules.flat_map(|events| events.enabled());
        let rules = rules.map(|(name, rule, targets)| Source {
            name: format!("rule/{name}"),
            expression: text(rule, "ScheduleExpression")
                .unwrap_or_default()
                .to_owned(),
            zone: None,
            start: None,
            end: None,
            window: SignedDuration::ZERO,
            at_once: false,
            targets: targets.into_iter().cloned().collect(),
        });
        let scheduled = self.schedulers.get(region).into_iter();
        let scheduled = scheduled.flat_map(|scheduler| scheduler.enabled());
        rules
            .chain(scheduled.map(|(path, it)| of_scheduler(&path, it)))
            .collect()
    }
}

fn of_scheduler(path: &str, schedule: &Object) -> Source {
    let owned = |member: &str| text(schedule, member).map(str::to_owned);
    let date = |member: &str| scheduler::date(schedule, member).ok().flatten();
    let window = schedule
        .get("FlexibleTimeWindow")
        .and_then(Value::as_object);
    let window = window.and_then(|window| int(window, "MaximumWindowInMinutes"));
    let target = schedule.get("Target").and_then(Value::as_object);
    Source {
        name: format!("schedule/{path}"),
        expression: owned("ScheduleExpression").unwrap_or_default(),
        zone: owned("ScheduleExpressionTimezone"),
        start: date("StartDate"),
        end: date("EndDate"),
        window: SignedDuration::from_mins(window.unwrap_or(0)),
        at_once: true,
        targets: target.into_iter().cloned().collect(),
    }
}
