//! What differs of a service from what was brought to it before.

use super::Case;
use crate::model::known::Known;
use crate::plan::diff;
use crate::plan::draft::Draft;
use crate::plan::drift;
use crate::plan::rollout::{Standing, short};
use crate::resource::status::DifferenceAction;

/// A difference stands until the service is back, whatever goes on.
pub(super) fn still_drifted(draft: &mut Draft<'_>, case: &Case<'_>, standing: &Standing) {
    match standing {
        Standing::Underway(_) => drift::being_corrected(draft, &case.resource),
        Standing::Failed(..) | Standing::Foreign(..) if case.found.task_definition != case.arn => {
            note_drift(draft, case);
        }
        _ => {}
    }
}

/// Tells in which fields the service's definition differs from the revision's.
pub(super) fn note_drift(draft: &mut Draft<'_>, case: &Case<'_>) {
    let Case {
        resource,
        target,
        found,
        arn,
        ..
    } = case;
    let desired = draft.contents.get(&target.definition).cloned();
    let actual = draft.input.observed.definitions.get(&found.task_definition);
    let mut fields: Vec<(String, String, String)> = match (desired, actual.and_then(Known::present))
    {
        (Some(desired), Some(actual)) => diff::definitions(&desired, &actual.content)
            .into_iter()
            .map(|field| {
                let path = format!("taskDefinition.{}", field.field);
                (path, field.desired, field.actual)
            })
            .collect(),
        _ => Vec::new(),
    };
    if fields.is_empty() {
        let (desired, actual) = (short(arn), short(&found.task_definition));
        fields.push((
            "taskDefinition".to_owned(),
            desired.to_owned(),
            actual.to_owned(),
        ));
    }
    for (field, desired, actual) in fields {
        let action = DifferenceAction::Pending;
        drift::differs(draft, resource, &field, desired, actual, action);
    }
}

/// Who moves a service back each time, and what to do about it.
pub(super) fn other_writer(draft: &Draft<'_>, actual: &str) -> String {
    let definition = draft.input.observed.definitions.get(actual);
    let by = definition
        .and_then(Known::present)
        .and_then(|definition| definition.registered_by.as_deref());
    format!(
        "set back to {} (registered by {}): find that writer (Terraform needs `ignore_changes = [task_definition]`)",
        short(actual),
        by.unwrap_or("somebody ECS does not name")
    )
}
