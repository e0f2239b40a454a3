//! EventBridge rules.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{Look, LookError};
use crate::aws::events::rules_named;
use crate::model::known::Known;
use crate::model::ledger::Ledger;
use crate::model::observed::Rule;

impl Look<'_> {
    /// Rules that are declared, claimed, or called as this Release calls its own.
    pub(super) async fn rules(&mut self) -> Result<(), LookError> {
        let mut names: BTreeSet<String> = self
            .desired
            .rules()
            .map(|schedule| schedule.rule.clone())
            .collect();
        names.extend(claimed_rules(&self.observed.ledger));
        if names.is_empty() {
            self.observed.rules_listed = Some(true);
            return Ok(());
        }
        let key = &self.desired.key;
        let prefix = format!("{}-{}-", key.namespace, key.name);
        let mut found = self.list(&prefix, &names).await?;
        names.extend(found.keys().cloned());
        self.interest.rules.clone_from(&names);
        self.interest.rule_prefix.clone_from(&prefix);
        let whole_bus = self.view.is_content();
        for name in names {
            let known = match found.remove(&name) {
                Some(rule) => Known::Present(rule),
                // The list was read whole: what it does not hold is not there.
                None if self.observed.rules_listed == Some(true)
                    && (whole_bus || name.starts_with(&prefix)) =>
                {
                    Known::Absent
                }
                None => match self.view.rule(&name).await {
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

    /// Rules with this prefix or of these names, as ListRules answers. A pass that is content with
    /// what was read before looks into the list of the whole bus, which many share.
    async fn list(
        &mut self,
        prefix: &str,
        names: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Map<String, Value>>, LookError> {
        let read = match self.view.is_content() {
            true => self.view.rules(&rules_named(prefix)).await.map(|all| {
                let of_interest = |name: &str| name.starts_with(prefix) || names.contains(name);
                let rules = all.iter().filter(|(name, _)| of_interest(name));
                rules.map(|(name, it)| (name.clone(), it.clone())).collect()
            }),
            false => {
                let read = self.view.rules_with_prefix(prefix).await;
                read.map(|rules| rules.into_iter().filter_map(named).collect())
            }
        };
        self.observed.rules_listed = Some(read.is_ok());
        match read {
            Ok(found) => Ok(found),
            Err(error) => {
                self.failed(error)?;
                Ok(BTreeMap::new())
            }
        }
    }

    /// A rule with its targets and tags; Unknown unless all three could be read.
    pub(super) async fn rule(
        &mut self,
        name: &str,
        rule: Map<String, Value>,
    ) -> Result<Known<Rule>, LookError> {
        let arn = rule
            .get("Arn")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let tags = match self.view.tags(&arn).await {
            Ok(tags) => tags,
            Err(error) => return Ok(Known::Unknown(self.failed(error)?)),
        };
        let targets = match self.view.targets(name).await {
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

fn named(rule: Map<String, Value>) -> Option<(String, Map<String, Value>)> {
    let name = rule.get("Name")?.as_str()?.to_owned();
    Some((name, rule))
}

/// Names of rules that this Release holds claims on.
fn claimed_rules(ledger: &Ledger) -> Vec<String> {
    let arns = ledger.claims.keys();
    arns.filter_map(|arn| Some(arn.rsplit_once(":rule/")?.1.to_owned()))
        .collect()
}
