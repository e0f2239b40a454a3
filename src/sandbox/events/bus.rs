//! Events on the bus: PutEvents, and to which queues the rules send them.

use serde_json::{Value, json};

use super::{Events, check_bus, constraint, pattern};
use crate::sandbox::cx::Cx;
use crate::sandbox::fault::Fault;
use crate::sandbox::json::{Object, list, text, texts};
use crate::sandbox::notice::Notice;

/// Entries that one PutEvents may hold.
const ENTRIES: usize = 10;

impl Events {
    /// Whether any rule waits for events.
    pub fn listens(&self) -> bool {
        self.rules
            .values()
            .filter_map(|rule| rule.latest())
            .any(|rule| rule.members.contains_key("EventPattern"))
    }

    /// Where an event goes: ARNs of queues, and what each is sent. Targets of other kinds get
    /// nothing here, and `InputPath` and `InputTransformer` are not applied.
    pub fn route(&self, event: &Value) -> Vec<(String, String)> {
        let mut sent = Vec::new();
        for rule in self.rules.values().filter_map(|rule| rule.latest()) {
            let pattern = text(&rule.members, "EventPattern")
                .and_then(|pattern| serde_json::from_str::<Object>(pattern).ok());
            let enabled = text(&rule.members, "State") != Some("DISABLED");
            if !enabled || !pattern.is_some_and(|pattern| pattern::matches(&pattern, event)) {
                continue;
            }
            for target in rule.targets.values() {
                let arn = text(target, "Arn").unwrap_or_default();
                if arn.split(':').nth(2) == Some("sqs") {
                    let body = text(target, "Input").map_or_else(|| event.to_string(), Into::into);
                    sent.push((arn.to_owned(), body));
                }
            }
        }
        sent
    }

    /// Entries whose source is AWS's own are refused one by one, as AWS does.
    pub(super) fn put_events(&mut self, cx: &mut Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let entries = list(input, "Entries");
        if entries.is_empty() || entries.len() > ENTRIES {
            return Err(constraint(
                &format!("Value '[{} entries]'", entries.len()),
                "entries",
                &format!("have length between 1 and {ENTRIES}"),
            ));
        }
        let answers: Vec<Value> = entries
            .iter()
            .map(|entry| match read(cx, entry) {
                Ok(notice) => {
                    self.put.push(notice);
                    json!({"EventId": cx.ids.uuid()})
                }
                Err((code, message)) => json!({"ErrorCode": code, "ErrorMessage": message}),
            })
            .collect();
        let failed = answers
            .iter()
            .filter(|answer| answer.get("ErrorCode").is_some())
            .count();
        Ok(json!({"FailedEntryCount": failed, "Entries": answers}))
    }
}

fn read(cx: &Cx<'_>, entry: &Value) -> Result<Notice, (&'static str, String)> {
    let invalid = |what: &str| ("InvalidArgument", format!("{what} is not valid."));
    let entry = entry.as_object().ok_or_else(|| invalid("Entry"))?;
    let needed = |name: &str| {
        let value = text(entry, name).filter(|value| !value.is_empty());
        value.map(str::to_owned).ok_or_else(|| invalid(name))
    };
    if let Err(fault) = check_bus(entry) {
        return Err((fault.code, fault.message));
    }
    let (source, kind) = (needed("Source")?, needed("DetailType")?);
    if source.starts_with("aws.") {
        return Err((
            "NotAuthorizedForSourceException",
            "Not authorized for the source.".to_owned(),
        ));
    }
    let detail: Object = serde_json::from_str(&needed("Detail")?)
        .map_err(|_| ("MalformedDetail", "Detail is malformed.".to_owned()))?;
    Ok(Notice {
        at: cx.now,
        source,
        kind,
        resources: texts(entry, "Resources")
            .into_iter()
            .map(Into::into)
            .collect(),
        detail: Value::Object(detail),
    })
}
