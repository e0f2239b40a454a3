//! CloudFront: distributions that are named once they are asked for, and their invalidations.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::cx::Cx;
use super::fault::Fault;
use super::json::{Object, text, texts};

/// How long an invalidation takes.
const TAKES: SignedDuration = SignedDuration::from_secs(60);
/// Paths with a `*` that may be under way at a time.
const WILDCARDS: usize = 15;

/// CloudFront of the account, the same in all Regions.
#[derive(Default)]
pub(super) struct CloudFront {
    invalidations: BTreeMap<String, Vec<Invalidation>>,
}

struct Invalidation {
    id: String,
    reference: String,
    paths: Vec<String>,
    created: Timestamp,
}

impl Invalidation {
    fn status(&self, now: Timestamp) -> &'static str {
        match now.duration_since(self.created) < TAKES {
            true => "InProgress",
            false => "Completed",
        }
    }

    fn view(&self, now: Timestamp) -> Value {
        json!({
            "Id": self.id,
            "Status": self.status(now),
            "CreateTime": self.created.to_string(),
            "InvalidationBatch": {
                "CallerReference": self.reference,
                "Paths": {"Quantity": self.paths.len(), "Items": self.paths},
            },
        })
    }
}

impl CloudFront {
    /// Answers one call.
    pub fn call(
        &mut self,
        cx: &mut Cx<'_>,
        operation: &str,
        input: &Object,
    ) -> Result<Value, Fault> {
        match operation {
            "CreateDistribution" => {
                // The same for the same reference, so that a manifest can name it.
                let config = input.get("DistributionConfig").and_then(Value::as_object);
                let reference = config.and_then(|it| text(it, "CallerReference"));
                let hash = Sha256::digest(reference.unwrap_or_default());
                let hex: String = hash.iter().map(|byte| format!("{byte:02X}")).collect();
                let id = format!("E{}", &hex[..13]);
                self.invalidations.insert(id.clone(), Vec::new());
                Ok(json!({ "Distribution": {"Id": id, "Status": "Deployed"} }))
            }
            "CreateInvalidation" => self.create(cx, input),
            "GetInvalidation" => self.get(cx, input),
            "ListInvalidations" => {
                let found = self.of(input)?.iter().rev();
                let items: Vec<Value> = found.map(|it| it.view(cx.now)).collect();
                Ok(json!({ "InvalidationList": {"Quantity": items.len(), "Items": items} }))
            }
            _ => Err(Fault::client("UnknownOperationException", operation)),
        }
    }

    fn of(&mut self, input: &Object) -> Result<&mut Vec<Invalidation>, Fault> {
        let missing = || {
            not_found(
                "NoSuchDistribution",
                "The specified distribution does not exist.",
            )
        };
        let id = text(input, "DistributionId").ok_or_else(missing)?;
        self.invalidations.get_mut(id).ok_or_else(missing)
    }

    /// The same reference with the same paths is the same invalidation.
    fn create(&mut self, cx: &mut Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let now = cx.now;
        let batch = input.get("InvalidationBatch").and_then(Value::as_object);
        let wrong = |message: &str| Fault::client("InvalidArgument", message);
        let batch = batch.ok_or_else(|| wrong("There is no InvalidationBatch."))?;
        let reference = text(batch, "CallerReference").filter(|it| !it.is_empty());
        let reference = reference.ok_or_else(|| wrong("There is no CallerReference."))?;
        let paths = batch.get("Paths").and_then(Value::as_object);
        let paths: Vec<String> = paths
            .map(|paths| {
                texts(paths, "Items")
                    .into_iter()
                    .map(str::to_owned)
                    .collect()
            })
            .unwrap_or_default();
        if paths.is_empty() || paths.iter().any(|path| !path.starts_with('/')) {
            return Err(wrong(
                "Your request contains one or more invalid invalidation paths.",
            ));
        }
        let id = format!("I{}", cx.ids.hex(13).to_uppercase());
        let all = self.of(input)?;
        if let Some(before) = all.iter().find(|it| it.reference == reference) {
            if before.paths == paths {
                return Ok(json!({ "Invalidation": before.view(now) }));
            }
            let message = "Your request contains a caller reference that was used for a previous \
                           invalidation batch with different paths.";
            return Err(wrong(message));
        }
        let open = all.iter().filter(|it| it.status(now) == "InProgress");
        let open = open.flat_map(|it| &it.paths).chain(&paths);
        if open.filter(|path| path.ends_with('*')).count() > WILDCARDS {
            let message = "Processing your request will cause you to exceed the maximum number of \
                           in-progress wildcard invalidations.";
            return Err(Fault::client("TooManyInvalidationsInProgress", message));
        }
        let made = Invalidation {
            id,
            reference: reference.to_owned(),
            paths,
            created: now,
        };
        let answer = json!({ "Invalidation": made.view(now) });
        all.push(made);
        Ok(answer)
    }

    fn get(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let id = text(input, "Id").unwrap_or_default().to_owned();
        let found = self.of(input)?.iter().find(|it| it.id == id);
        let message = "The specified invalidation does not exist.";
        let found = found.ok_or_else(|| not_found("NoSuchInvalidation", message))?;
        Ok(json!({ "Invalidation": found.view(cx.now) }))
    }
}

fn not_found(code: &'static str, message: &str) -> Fault {
    Fault {
        status: 404,
        ..Fault::client(code, message)
    }
}
