//! What containers write to their logs: a line at the start, what a rule puts into their mouth, and
//! a line at the end. Nothing of their environment.

use jiff::Timestamp;

use super::super::logs::Said;
use super::Ecs;
use super::task::{Container, Task};

/// Where the awslogs driver of a container writes.
#[derive(Debug, Clone)]
pub(super) struct LogTo {
    pub region: Option<String>,
    pub group: String,
    pub stream: String,
}

impl Ecs {
    /// Writes down what the containers of a task say of the step between `before` and now.
    pub(super) fn speak(&mut self, now: Timestamp, before: &[Container], task: &Task) {
        for (index, (was, is)) in before.iter().zip(&task.containers).enumerate() {
            let Some(to) = &is.log else { continue };
            let mut lines = Vec::new();
            if was.status != "RUNNING" && is.runtime_id.is_some() && was.runtime_id.is_none() {
                lines.push(format!("{} starts, image {}", is.name, is.image));
                let told = task.fate.says.get(index).and_then(Option::as_ref);
                lines.extend(told.iter().flat_map(|text| text.lines()).map(str::to_owned));
            }
            if let (None, Some(code)) = (was.exit_code, is.exit_code) {
                lines.push(format!("{} exits with code {code}", is.name));
            }
            self.said.extend(lines.into_iter().map(|message| Said {
                at: now,
                region: to.region.clone(),
                group: to.group.clone(),
                stream: to.stream.clone(),
                message,
            }));
        }
    }
}
