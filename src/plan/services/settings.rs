//! What is declared of an ECS service beside what it runs: its deployment strategy, and how many
//! tasks it has. ECS starts no deployment on account of either.
//!
//! UpdateService is sent the whole deploymentConfiguration that is there, with the declared members
//! changed: what nobody declared stays as it is, whether ECS merges what it is sent or replaces it.

use serde_json::{Map, Value, json};

use super::{Case, Gate};
use crate::model::desired::Service;
use crate::model::observed;
use crate::model::plan::Step;
use crate::plan::draft::Draft;
use crate::plan::drift;
use crate::resource::status::{DifferenceAction, PartState, ServiceStatus};

/// Members that ECS takes with one strategy only.
const OF_STRATEGY: [(&str, &str); 3] = [
    ("linearConfiguration", "LINEAR"),
    ("canaryConfiguration", "CANARY"),
    ("earlySuccessCriteria", "ROLLING"),
];

/// A declared field that differs.
pub(super) struct Field {
    path: String,
    declared: String,
    actual: String,
}

/// The declared fields that differ from what the service has.
pub(super) fn differing(service: &Service, found: &observed::Service) -> Vec<Field> {
    let declared = &service.settings;
    let mut fields = Vec::new();
    if let Some(count) = declared.desired_count
        && i64::from(count) != i64::from(found.desired_count)
    {
        fields.push(Field {
            path: "desiredCount".to_owned(),
            declared: count.to_string(),
            actual: found.desired_count.to_string(),
        });
    }
    let actual = Some(&*found.configuration);
    compare(
        "deploymentConfiguration",
        &declared.deployment,
        actual,
        &mut fields,
    );
    fields
}

fn compare(
    path: &str,
    declared: &Map<String, Value>,
    actual: Option<&Map<String, Value>>,
    fields: &mut Vec<Field>,
) {
    for (name, wanted) in declared {
        let path = format!("{path}.{name}");
        let there = actual.and_then(|actual| actual.get(name));
        match (wanted, there) {
            (Value::Object(wanted), there) => {
                compare(&path, wanted, there.and_then(Value::as_object), fields);
            }
            (wanted, Some(there)) if is_same(wanted, there) => {}
            (wanted, there) => fields.push(Field {
                path,
                declared: shown(wanted),
                actual: there.map_or_else(|| "(absent)".to_owned(), shown),
            }),
        }
    }
}

/// 10 and 10.0 are the same number.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => (one - other).abs() < 1e-6,
        _ => one == other,
    }
}

fn shown(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// The members of UpdateService's input that bring what is declared; none where nothing differs.
pub(super) fn members(service: &Service, found: &observed::Service) -> Map<String, Value> {
    let fields = differing(service, found);
    let differs = |what: &str| fields.iter().any(|field| field.path.starts_with(what));
    let mut members = Map::new();
    if differs("desiredCount") {
        let count = service.settings.desired_count;
        members.insert("desiredCount".to_owned(), json!(count));
    }
    if differs("deploymentConfiguration") {
        let whole = Value::Object(whole(service, found));
        members.insert("deploymentConfiguration".to_owned(), whole);
    }
    members
}

fn whole(service: &Service, found: &observed::Service) -> Map<String, Value> {
    let mut whole = (*found.configuration).clone();
    put(&mut whole, &service.settings.deployment);
    let strategy = whole.get("strategy").cloned().unwrap_or_default();
    for (member, of) in OF_STRATEGY {
        if strategy != of {
            whole.remove(member);
        }
    }
    whole
}

fn put(over: &mut Map<String, Value>, declared: &Map<String, Value>) {
    for (name, wanted) in declared {
        match (over.get_mut(name), wanted) {
            (Some(Value::Object(there)), Value::Object(wanted)) => put(there, wanted),
            _ => drop(over.insert(name.clone(), wanted.clone())),
        }
    }
}

/// What is changed, in words: `desiredCount 1 -> 3`.
pub(super) fn told(fields: &[Field]) -> String {
    let told = fields
        .iter()
        .map(|field| format!("{} {} -> {}", field.path, field.actual, field.declared));
    told.collect::<Vec<_>>().join(", ")
}

/// Notes what differs of a service that was brought to it before.
pub(super) fn note_drift(draft: &mut Draft<'_>, case: &Case<'_>) {
    for field in differing(case.service, case.found) {
        let action = DifferenceAction::Pending;
        let (declared, actual) = (field.declared, field.actual);
        drift::differs(draft, &case.resource, &field.path, declared, actual, action);
    }
}

/// Gives a service that runs its target what else is declared of it.
pub(super) fn bring(draft: &mut Draft<'_>, case: &Case<'_>, status: &mut ServiceStatus) {
    let fields = differing(case.service, case.found);
    if fields.is_empty() || !matches!(case.gate, Gate::Open | Gate::Back) {
        return;
    }
    let resource = &case.resource;
    let told = told(&fields);
    if let Some(before) = case.blocked {
        let message = format!("{told}: waits until service/{before} is done");
        status.state = PartState::Pending;
        status.message = Some(message.clone());
        return draft.wait(resource, format!("{resource}: {message}"));
    }
    if case.is_correction() {
        note_drift(draft, case);
        let fight = |_: &Draft<'_>| {
            format!(
                "changed back ({told}): find that writer (autoscaling and Terraform are such), or take these fields out of the manifest"
            )
        };
        if let Err(left) = drift::may_correct(draft, resource, fight) {
            status.state = left.state;
            status.message = left.message;
            return;
        }
    }
    status.state = PartState::Progressing;
    status.message = Some(told.clone());
    draft.progress(resource, "Configuring", format!("{resource}: {told}"));
    let step = Step::ConfigureService {
        cluster: draft.input.desired.environment.cluster.clone(),
        service: case.service.name.clone(),
        settings: members(case.service, case.found),
    };
    draft.act(resource, told, step);
}
