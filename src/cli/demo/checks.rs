//! What the story claims, asked of the account and the table.

use serde_json::{Value, json};

use super::account::{Account, CLUSTER, text};
use crate::cli::connect::Connection;
use crate::cli::error::CliError;
use crate::resource::conditions::{Condition, ConditionType, find, is_true};
use crate::resource::meta::{Release, ReleaseKey};

/// Asks whether something is so.
pub struct Checks<'a> {
    pub account: &'a Account,
    pub connection: &'a Connection,
    pub key: ReleaseKey,
}

/// Fails the demo unless `so`.
pub fn ensure(so: bool, what: &str, found: impl std::fmt::Display) -> Result<(), CliError> {
    if so {
        return Ok(());
    }
    Err(CliError::new(format!(
        "the demo went wrong: {what}; found {found}"
    )))
}

impl Checks<'_> {
    /// The release as the table has it now.
    pub async fn release(&self) -> Result<Release, CliError> {
        self.connection.release(&self.key).await
    }

    /// The release is Ready at its newest generation.
    pub async fn ready(&self) -> Result<String, CliError> {
        let release = self.release().await?;
        let status = release.status.unwrap_or_default();
        let current = status.observed_generation == release.metadata.generation;
        let ready = is_true(&status.conditions, ConditionType::Ready);
        ensure(
            current && ready,
            "the release should be Ready",
            conditions(&status.conditions),
        )?;
        Ok(format!(
            "the table says Ready: generation {}, revision {}",
            release.metadata.generation.unwrap_or_default(),
            status.revision.unwrap_or_default()
        ))
    }

    /// The release is Stalled: a rollout failed, and it went back.
    pub async fn stalled(&self) -> Result<String, CliError> {
        let status = self.release().await?.status.unwrap_or_default();
        let stalled = find(&status.conditions, ConditionType::Stalled);
        let failed = stalled.is_some_and(|condition| condition.reason == "RolledBack");
        ensure(
            failed,
            "the release should be Stalled/RolledBack",
            conditions(&status.conditions),
        )?;
        Ok(stalled
            .map(|condition| condition.message.clone())
            .unwrap_or_default())
    }

    /// The tag was resolved to the digest that ECR has for it.
    pub async fn resolved(&self, tag: &str) -> Result<String, CliError> {
        let digest = self.account.digest("rails/app", tag)?;
        let status = self.release().await?.status.unwrap_or_default();
        let recorded = status
            .images
            .get("app")
            .and_then(|image| image.digest.clone());
        ensure(
            recorded.as_ref() == Some(&digest),
            "the image should be recorded with the digest that ECR has",
            recorded.clone().unwrap_or_default(),
        )?;
        Ok(format!("tag {tag} was resolved to {digest}"))
    }

    /// So many migration tasks ran in all, and the newest exited 0.
    pub fn migrated(&self, runs: usize) -> Result<String, CliError> {
        let tasks = self.account.one_off_tasks()?;
        ensure(
            tasks.len() == runs,
            "the migration should have run once for each image",
            tasks.len(),
        )?;
        let newest = tasks.last().cloned().unwrap_or_default();
        let code = newest["containers"][0]["exitCode"].as_i64();
        ensure(
            code == Some(0),
            "the migration should have exited 0",
            &newest["containers"],
        )?;
        let command = newest["overrides"]["containerOverrides"][0]["command"]
            .as_array()
            .cloned();
        let command: Vec<String> = command.unwrap_or_default().iter().map(text).collect();
        let which = if runs == 1 {
            "one task".to_owned()
        } else {
            format!("migration task {runs}")
        };
        Ok(format!("{which} ran `{}` and exited 0", command.join(" ")))
    }

    /// The newest migration ended before the deployments of the services began.
    pub fn migrated_first(&self) -> Result<String, CliError> {
        let tasks = self.account.one_off_tasks()?;
        let ended = tasks
            .last()
            .and_then(|task| task["stoppedAt"].as_f64())
            .unwrap_or(f64::MAX);
        for name in ["app", "shoryuken"] {
            let service = self.account.service(name)?;
            let began = service["deployments"][0]["createdAt"]
                .as_f64()
                .unwrap_or_default();
            ensure(
                ended <= began,
                "the migration should have ended before any service moved",
                format!("{ended} and {began} for {name}"),
            )?;
        }
        Ok("it ended before either service moved".to_owned())
    }

    /// Both services run the digest of this tag, all their tasks, and nothing else.
    pub fn services_run(&self, tag: &str) -> Result<String, CliError> {
        for name in ["app", "shoryuken"] {
            self.service_runs(name, tag)?;
        }
        Ok(format!(
            "services app and shoryuken run the digest of {tag}"
        ))
    }

    /// One service runs the digest of this tag.
    pub fn service_runs(&self, name: &str, tag: &str) -> Result<String, CliError> {
        let digest = self.account.digest("rails/app", tag)?;
        let service = self.account.service(name)?;
        let images = self.account.images(&text(&service["taskDefinition"]))?;
        let right = images.iter().any(|image| image.ends_with(&digest));
        ensure(
            right,
            &format!("service {name} should run {digest}"),
            images.join(", "),
        )?;
        let alone = service["deployments"].as_array().map_or(0, Vec::len) == 1;
        let whole = service["runningCount"] == service["desiredCount"];
        ensure(
            alone && whole,
            &format!("service {name} should be steady"),
            &service["deployments"],
        )?;
        Ok(format!(
            "service {name} runs the digest of {tag}, {} tasks",
            service["runningCount"]
        ))
    }

    /// Both rules fire with the digest of this tag.
    pub fn schedules_run(&self, tag: &str) -> Result<String, CliError> {
        let digest = self.account.digest("rails/app", tag)?;
        for name in ["nightly-report", "sweep-carts"] {
            let rule = rule(&self.key, name);
            let images = self.account.images(&self.account.target(&rule)?)?;
            let right = images.iter().any(|image| image.ends_with(&digest));
            ensure(
                right,
                &format!("rule {rule} should run {digest}"),
                images.join(", "),
            )?;
        }
        Ok(format!("both rules run the digest of {tag}"))
    }

    /// A stranger's rule is what it was.
    pub fn untouched(&self, name: &str, before: &Value) -> Result<String, CliError> {
        let after = self.account.rule(name)?;
        ensure(
            &after == before,
            &format!("rule {name} should be as it was"),
            &after,
        )?;
        Ok(format!("{name}, which nobody declared, is as it was"))
    }

    /// ECS's own record says that it rolled the newest deployment of a service back.
    pub fn rolled_back(&self, service: &str) -> Result<String, CliError> {
        let input = json!({ "cluster": CLUSTER, "service": service });
        let answer = self.account.ecs("ListServiceDeployments", input)?;
        let status = text(&answer["serviceDeployments"][0]["status"]);
        ensure(
            status == "ROLLBACK_SUCCESSFUL",
            &format!("ECS should have rolled service {service} back"),
            &answer["serviceDeployments"],
        )?;
        Ok(format!("ECS's record of service {service}: {status}"))
    }
}

/// The name of a schedule's rule.
pub fn rule(key: &ReleaseKey, schedule: &str) -> String {
    format!("{}-{}-{schedule}", key.namespace, key.name)
}

fn conditions(conditions: &[Condition]) -> String {
    let all: Vec<String> = conditions
        .iter()
        .map(|one| {
            format!(
                "{} {:?} {}: {}",
                one.kind.as_str(),
                one.status,
                one.reason,
                one.message
            )
        })
        .collect();
    if all.is_empty() {
        "no conditions".to_owned()
    } else {
        all.join("; ")
    }
}
