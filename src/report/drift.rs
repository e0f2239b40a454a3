//! The drift report. Its JSON is a stable contract.

use jiff::Timestamp;
use serde::Serialize;

use super::html::Page;
use super::paint::{Paint, Tone};
use super::table::{Cell, Table};
use super::time::age;
use crate::model::plan::Plan;
use crate::resource::conditions::{ConditionStatus, ConditionType, find};
use crate::resource::meta::ReleaseKey;
use crate::resource::status::{Difference, DifferenceAction, PartState, ReleaseStatus};

/// How the account stands to what was declared.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftReport {
    /// When it was looked at.
    pub generated_at: Timestamp,
    /// One for each release.
    pub items: Vec<DriftItem>,
}

/// One release.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftItem {
    /// Namespace of the release.
    pub namespace: String,
    /// Name of the release.
    pub release: String,
    /// Whether anything differs.
    pub state: DriftState,
    /// Why it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What differs.
    pub differences: Vec<Difference>,
}

/// Whether a release differs from what was declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum DriftState {
    /// It does not.
    Clean,
    /// It does.
    Drifted,
    /// Something could not be read; what was read may differ as well.
    Unknown,
}

impl DriftState {
    fn tone(self) -> Tone {
        match self {
            DriftState::Clean => Tone::Good,
            DriftState::Drifted => Tone::Bad,
            DriftState::Unknown => Tone::Fair,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            DriftState::Clean => "Clean",
            DriftState::Drifted => "Drifted",
            DriftState::Unknown => "Unknown",
        }
    }
}

impl DriftItem {
    /// What a look at AWS just now led to.
    pub fn fresh(key: &ReleaseKey, plan: &Plan) -> Self {
        let status = &plan.status;
        let unread = not_compared(plan).or_else(|| unread(status));
        // A look changes nothing: what the plan would put right stands until a pass does so.
        let pending = |one: &Difference| match one.action {
            DifferenceAction::Corrected => Difference {
                action: DifferenceAction::Pending,
                ..one.clone()
            },
            DifferenceAction::Reported | DifferenceAction::Pending => one.clone(),
        };
        let differences: Vec<Difference> = status.drift.differences.iter().map(pending).collect();
        let state = if unread.is_some() {
            DriftState::Unknown
        } else if differences.is_empty() {
            DriftState::Clean
        } else {
            DriftState::Drifted
        };
        Self {
            namespace: key.namespace.clone(),
            release: key.name.clone(),
            state,
            message: unread,
            differences,
        }
    }

    /// A release that could not be looked at.
    pub fn unknown(key: &ReleaseKey, why: impl Into<String>) -> Self {
        Self {
            namespace: key.namespace.clone(),
            release: key.name.clone(),
            state: DriftState::Unknown,
            message: Some(why.into()),
            differences: Vec::new(),
        }
    }
}

/// Why nothing was compared at all, if so: what such a plan says of drift is from another day.
fn not_compared(plan: &Plan) -> Option<String> {
    let ready = find(&plan.status.conditions, ConditionType::Ready);
    if ready.is_some_and(|ready| ready.reason == "Suspended") {
        return Some("the release is suspended, and is not compared meanwhile".to_owned());
    }
    let environment = plan
        .waiting
        .iter()
        .find(|one| one.resource == "environment")
        .map(|one| one.reason.clone());
    environment.or_else(|| held(&plan.status))
}

/// What keeps a release that was delivered from being compared whole, if so.
fn held(status: &ReleaseStatus) -> Option<String> {
    let delivered = status.revision.is_some() && status.revision == status.ready_revision;
    let stalled = find(&status.conditions, ConditionType::Stalled)
        .filter(|condition| condition.status == ConditionStatus::True)?;
    let untold = status.drift.differences.is_empty();
    (delivered && untold).then(|| format!("{} ({})", stalled.message, stalled.reason))
}

/// Why something could not be read, if so.
fn unread(status: &ReleaseStatus) -> Option<String> {
    let condition = [ConditionType::Drifted, ConditionType::Ready]
        .into_iter()
        .filter_map(|kind| find(&status.conditions, kind))
        .find(|condition| condition.status == ConditionStatus::Unknown)
        .map(|condition| condition.message.clone());
    let part = |resource: String, state: PartState, message: &Option<String>| {
        (state == PartState::Unknown).then(|| match message {
            Some(message) => format!("{resource}: {message}"),
            None => format!("{resource} could not be read"),
        })
    };
    condition
        .or_else(|| {
            status.services.iter().find_map(|service| {
                part(
                    format!("service/{}", service.name),
                    service.state,
                    &service.message,
                )
            })
        })
        .or_else(|| {
            status.schedules.iter().find_map(|schedule| {
                part(
                    format!("schedule/{}", schedule.name),
                    schedule.state,
                    &schedule.message,
                )
            })
        })
        .or_else(|| {
            status.images.iter().find_map(|(name, image)| {
                part(format!("image/{name}"), image.state, &image.message)
            })
        })
}

impl DriftReport {
    /// Drifted if anything is, else Unknown if anything is, else Clean; with Unknown before
    /// Drifted, because what was not read may be worse than what was.
    pub fn worst(&self) -> DriftState {
        self.items
            .iter()
            .map(|item| item.state)
            .max()
            .unwrap_or(DriftState::Clean)
    }

    /// For people.
    pub fn table(&self, paint: Paint) -> String {
        if self.items.is_empty() {
            return "No releases.\n".to_owned();
        }
        let mut table = Table::new(
            [
                "NAMESPACE",
                "RELEASE",
                "STATE",
                "RESOURCE",
                "FIELD",
                "DESIRED",
                "ACTUAL",
                "SINCE",
                "ACTION",
            ],
            paint,
        );
        for item in &self.items {
            let state = Cell::new(item.state.as_str(), item.state.tone());
            for difference in &item.differences {
                table.row([
                    item.namespace.as_str().into(),
                    item.release.as_str().into(),
                    state.clone(),
                    difference.resource.as_str().into(),
                    difference.field.as_str().into(),
                    difference.desired.as_str().into(),
                    difference.actual.as_str().into(),
                    age(difference.first_seen, self.generated_at).into(),
                    action(difference.action).into(),
                ]);
            }
            if item.differences.is_empty() {
                table.row([
                    item.namespace.as_str().into(),
                    item.release.as_str().into(),
                    state,
                    "-".into(),
                    "-".into(),
                    "-".into(),
                    "-".into(),
                    "-".into(),
                    "-".into(),
                ]);
            }
        }
        let mut text = table.render();
        for item in self.items.iter().filter(|item| item.message.is_some()) {
            let why = item.message.as_deref().unwrap_or_default();
            text.push_str(&format!(
                "\n{}/{}: not known: {why}\n",
                item.namespace, item.release
            ));
        }
        text
    }

    /// A page that stands by itself.
    pub fn html(&self) -> String {
        let mut page = Page::new("evenkeel drift report");
        page.paragraph(&format!("Looked at {}.", self.generated_at));
        let count = |state| self.items.iter().filter(|item| item.state == state).count();
        page.paragraph(&format!(
            "{} releases: {} clean, {} drifted, {} unknown.",
            self.items.len(),
            count(DriftState::Clean),
            count(DriftState::Drifted),
            count(DriftState::Unknown)
        ));
        for item in &self.items {
            let heading = format!("{}/{}", item.namespace, item.release);
            page.section(&heading, item.state.as_str(), item.state.tone());
            if let Some(message) = &item.message {
                page.paragraph(message);
            }
            if item.differences.is_empty() {
                continue;
            }
            let rows: Vec<_> = item.differences.iter().map(|one| self.row(one)).collect();
            page.table(
                [
                    "Resource",
                    "Field",
                    "Desired",
                    "Actual",
                    "First seen",
                    "Action",
                ],
                &rows,
            );
        }
        page.render()
    }

    fn row(&self, difference: &Difference) -> [(String, Tone); 6] {
        [
            (difference.resource.clone(), Tone::Strong),
            (difference.field.clone(), Tone::Plain),
            (difference.desired.clone(), Tone::Good),
            (difference.actual.clone(), Tone::Bad),
            (difference.first_seen.to_string(), Tone::Dim),
            (action(difference.action).to_owned(), Tone::Plain),
        ]
    }
}

/// As it is written.
pub fn action(action: DifferenceAction) -> &'static str {
    match action {
        DifferenceAction::Corrected => "Corrected",
        DifferenceAction::Reported => "Reported",
        DifferenceAction::Pending => "Pending",
    }
}

#[cfg(test)]
mod tests;
