//! EventBridge rules.

use std::collections::{BTreeMap, BTreeSet};

use super::{Look, LookError};
use crate::model::known::Known;
use crate::model::ledger::Ledger;
use crate::model::observed::Rule;

impl Look<'_> {
    /// Rules that are declared, claimed, or called as this Release calls its own.
    pub(super) async fn rules(&mut self) -> Result<(), LookError> {
        let mut names: BTreeSet<String> = self
            .desired
            .schedules
            .iter()
            .map(|schedule| schedule.rule.clone())
            .collect();
        names.extend(claimed_rules(&self.observed.ledger));
        if names.is_empty() {
            self.observed.rules_listed = Some(true);
            return Ok(());
        }
        let key = &self.desired.key;
        let prefix = format!("{}-{}-", key.namespace, key.name);
        let mut found = BTreeMap::new();
        match self.clients.events.rules_with_prefix(&prefix).await {
            Ok(rules) => {
                self.observed.rules_listed = Some(true);
                for rule in rules {
                    if let Some(name) = rule.get("Name").and_then(serde_json::Value::as_str) {
                        names.insert(name.to_owned());
                        found.insert(name.to_owned(), rule);
                    }
                }
            }
            Err(error) => {
                self.failed(error)?;
                self.observed.rules_listed = Some(false);
            }
        }
        for name in names {
            let known = match found.remove(&name) {
                Some(rule) => Known::Present(rule),
                // The list was read whole: what it does not hold is not there.
                None if self.observed.rules_listed == Some(true) && name.starts_with(&prefix) => {
                    Known::Absent
                }
                None => match self.clients.events.rule(&name).await {
                    Ok(known) => known,
                    Err(error) => Known::Unknown(self.failed(error)?),
                },
            };
            let known = match known {
                Known::Present(rule) => self.rule(&name, rule).await?,
                Known::Absent => Known::Absent,
                Known::Unknown(why) => Known::Unknown(why),
            };
            self.observed.rules.insert(name, known);
        }
        Ok(())
    }

    /// A rule with its targets and tags; Unknown unless all three could be read.
    pub(super) async fn rule(
        &mut self,
        name: &str,
        rule: serde_json::Map<String, serde_json::Value>,
    ) -> Result<Known<Rule>, LookError> {
        let arn = rule
            .get("Arn")
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let tags = match self.clients.events.tags(&arn).await {
            Ok(tags) => tags,
            Err(error) => return Ok(Known::Unknown(self.failed(error)?)),
        };
        let targets = match self.clients.events.targets(name).await {
            Ok(targets) => targets,
            Err(error) => return Ok(Known::Unknown(self.failed(error)?)),
        };
        Ok(Known::Present(Rule {
            name: name.to_owned(),
            arn,
            rule,
            targets,
            tags,
        }))
    }
}

/// Names of rules that this Release holds claims on.
fn claimed_rules(ledger: &Ledger) -> Vec<String> {
    let arns = ledger.claims.keys();
    arns.filter_map(|arn| Some(arn.rsplit_once(":rule/")?.1.to_owned()))
        .collect()
}
