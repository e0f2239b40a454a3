//! A plan, as `evenkeel plan` shows it. Its JSON is a stable contract.

use serde::Serialize;

use super::paint::{Paint, Tone};
use super::table::{Cell, Table};
use crate::model::plan::Plan;
use crate::resource::conditions::{ConditionStatus, ConditionType, find};

/// What the next pass would do, and what it would not do yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanReport {
    /// In the order in which they would be carried out.
    pub actions: Vec<PlannedAction>,
    /// What waits, and for what.
    pub waiting: Vec<PlannedWait>,
    /// Whether something could not be looked at, as `waiting` tells.
    #[serde(skip)]
    pub unknown: bool,
}

/// One action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedAction {
    /// The release, where more than one was asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The API operation, or what is written in the table.
    pub kind: String,
    /// `service/app`.
    pub resource: String,
    /// Why.
    pub reason: String,
}

/// Something that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedWait {
    /// The release, where more than one was asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// `service/app`.
    pub resource: String,
    /// What it waits for.
    pub reason: String,
}

impl PlanReport {
    /// Adds a plan; `release` names it where there are several.
    pub fn add(&mut self, release: Option<String>, plan: &Plan) {
        self.actions
            .extend(plan.actions.iter().map(|action| PlannedAction {
                release: release.clone(),
                kind: action.step.kind().to_owned(),
                resource: action.resource.clone(),
                reason: action.reason.clone(),
            }));
        let ready = find(&plan.status.conditions, ConditionType::Ready);
        // What ails the Environment (a read that is denied, another account) hides everything.
        self.unknown |= ready.is_some_and(|it| it.status == ConditionStatus::Unknown)
            || plan.waiting.iter().any(|it| it.resource == "environment");
        self.waiting
            .extend(plan.waiting.iter().map(|waiting| PlannedWait {
                release: release.clone(),
                resource: waiting.resource.clone(),
                reason: waiting.reason.clone(),
            }));
    }

    /// For people.
    pub fn table(&self, paint: Paint) -> String {
        let mut text = String::new();
        if self.actions.is_empty() && self.unknown {
            text.push_str("Not known: something could not be looked at.\n");
        } else if self.actions.is_empty() {
            text.push_str("Nothing to do.\n");
        } else {
            let mut table = Table::new(["ACTION", "RESOURCE", "REASON"], paint);
            for action in &self.actions {
                table.row([
                    Cell::new(&action.kind, Tone::Strong),
                    named(action.release.as_deref(), &action.resource),
                    without_name(&action.reason, &action.resource).into(),
                ]);
            }
            text.push_str(&table.render());
        }
        if !self.waiting.is_empty() {
            let mut table = Table::new(["WAITING", "FOR"], paint);
            for waiting in &self.waiting {
                table.row([
                    named(waiting.release.as_deref(), &waiting.resource),
                    without_name(&waiting.reason, &waiting.resource).into(),
                ]);
            }
            text.push('\n');
            text.push_str(&table.render());
        }
        text
    }
}

/// A reason beside the name of its resource does not begin with that name once more.
pub fn without_name<'a>(reason: &'a str, resource: &str) -> &'a str {
    let rest = reason.strip_prefix(resource).unwrap_or(reason);
    match rest.strip_prefix(": ").or_else(|| rest.strip_prefix(' ')) {
        Some(rest) if rest.len() < reason.len() => rest,
        _ => reason,
    }
}

fn named(release: Option<&str>, resource: &str) -> Cell {
    match release {
        Some(release) => format!("{release} {resource}").into(),
        None => resource.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plan::{Action, Step, Waiting};

    fn plan() -> Plan {
        Plan {
            actions: vec![Action {
                resource: "schedule/nightly".to_owned(),
                reason: "it is no longer declared".to_owned(),
                step: Step::DeleteRule {
                    rule: "production-rails-nightly".to_owned(),
                },
            }],
            waiting: vec![Waiting {
                resource: "service/app".to_owned(),
                reason: "migration db-migrate has not ended".to_owned(),
            }],
            ..Plan::default()
        }
    }

    #[test]
    fn json_is_the_contract() {
        let mut report = PlanReport::default();
        report.add(None, &plan());
        insta::assert_json_snapshot!(report, @r#"
        {
          "actions": [
            {
              "kind": "DeleteRule",
              "resource": "schedule/nightly",
              "reason": "it is no longer declared"
            }
          ],
          "waiting": [
            {
              "resource": "service/app",
              "reason": "migration db-migrate has not ended"
            }
          ]
        }
        "#);
    }

    #[test]
    fn columns_line_up() {
        let mut report = PlanReport::default();
        report.add(None, &plan());
        insta::assert_snapshot!(report.table(Paint::default()), @r"
        ACTION       RESOURCE           REASON
        DeleteRule   schedule/nightly   it is no longer declared

        WAITING       FOR
        service/app   migration db-migrate has not ended
        ");
        assert_eq!(
            PlanReport::default().table(Paint::default()),
            "Nothing to do.\n"
        );
    }
}
