//! What the controllers did to the account.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel::sandbox::{CallRecord, Outcome};
use jiff::SignedDuration;

use crate::scene::Scene;

/// A token lives as long as its task can be described, which is an hour after its end.
const TOKEN_LIFE: SignedDuration = SignedDuration::from_hours(1);

impl Scene {
    /// Calls of the controllers that changed something in AWS, and were answered.
    pub fn writes(&self) -> Vec<CallRecord> {
        let names = [
            "RegisterTaskDefinition",
            "RunTask",
            "UpdateService",
            "PutRule",
            "PutTargets",
            "TagResource",
        ];
        let log = self.sandbox.log().into_iter();
        log.filter(|call| call.client && names.contains(&call.operation.as_str()))
            .filter(|call| matches!(call.outcome, Outcome::Answered))
            .collect()
    }

    /// Everything was done once. Answers how many task definitions were registered.
    pub fn check(&self) -> usize {
        let writes = self.writes();
        let of = |name: &'static str| writes.iter().filter(move |call| call.operation == name);
        // ECS answers a call that is repeated under its token with the task that it started before.
        let tokens: BTreeSet<String> = of("RunTask")
            .map(|call| call.input["clientToken"].to_string())
            .collect();
        let times = of("RunTask").map(|call| call.at);
        let first = times.clone().min().expect("a migration");
        let last = times.max().expect("a migration");
        assert!(
            tokens.len() == 1 && last.duration_since(first) < TOKEN_LIFE,
            "one migration: {tokens:?} from {first} to {last}"
        );
        let once = |name: &'static str| {
            let mut times: BTreeMap<String, usize> = BTreeMap::new();
            for call in of(name) {
                *times.entry(call.input.to_string()).or_default() += 1;
            }
            let twice: Vec<_> = times.iter().filter(|(_, count)| **count > 1).collect();
            assert!(twice.is_empty(), "{name} twice: {twice:?}");
            times.len()
        };
        once("UpdateService");
        once("RegisterTaskDefinition")
    }
}
