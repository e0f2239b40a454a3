//! EventBridge Scheduler: the Release's group, and what is in it.

use super::{Look, LookError};
use crate::aws::scheduler::Listed;
use crate::model::known::Known;
use crate::model::observed::Scheduled;

impl Look<'_> {
    /// Everything in the Release's schedule group, where anything of it is declared or claimed.
    pub(super) async fn scheduled(&mut self) -> Result<(), LookError> {
        let claims = self.observed.ledger.claims.keys();
        let claimed = claims.map(String::as_str).any(is_of_scheduler);
        if !claimed && self.desired.scheduled().next().is_none() {
            return Ok(());
        }
        let group = self.desired.schedule_group.clone();
        self.interest.schedule_group = Some(group.clone());
        let known = match self.view.group(&group).await {
            Ok(known) => known,
            Err(error) => Known::Unknown(self.failed(error)?),
        };
        self.observed.group = Some(known);
        let listed = match self.view.group_list(&group).await {
            Ok(Known::Present(listed)) => listed,
            // Without a group there is nothing in it.
            Ok(_) => {
                self.observed.group = Some(Known::Absent);
                std::sync::Arc::default()
            }
            Err(error) => {
                let why = self.failed(error)?;
                self.observed.group_listed = Some(false);
                self.all_are(&Known::Unknown(why));
                return Ok(());
            }
        };
        self.observed.group_listed = Some(true);
        // What is declared or claimed is there or certainly not.
        self.all_are(&Known::Absent);
        for listed in listed.iter() {
            self.one_scheduled(&group, listed).await?;
        }
        Ok(())
    }

    async fn one_scheduled(&mut self, group: &str, listed: &Listed) -> Result<(), LookError> {
        let known = match self.view.schedule(group, listed).await {
            Ok(known) => known,
            Err(error) => Known::Unknown(self.failed(error)?),
        };
        self.observed.scheduled.insert(listed.name.clone(), known);
        Ok(())
    }

    /// What is known of everything that is declared or claimed.
    fn all_are(&mut self, known: &Known<Scheduled>) {
        let claimed = self.observed.ledger.claims.keys();
        let claimed = claimed.filter_map(|arn| Some(arn.rsplit_once(":schedule/")?.1));
        let claimed = claimed.filter_map(|path| Some(path.split_once('/')?.1.to_owned()));
        let declared = self.desired.scheduled().map(|it| it.name.clone());
        for name in claimed.chain(declared).collect::<Vec<String>>() {
            self.observed.scheduled.insert(name, known.clone());
        }
    }

    /// The definition that a schedule runs.
    pub(super) fn runs_of_scheduled(&self, name: &str) -> Option<&str> {
        let found = self.observed.scheduled.get(name)?.present()?;
        let ecs = found.target()?.get("EcsParameters")?;
        ecs.get("TaskDefinitionArn")?.as_str()
    }
}

/// Whether a claim is on a schedule or a group of schedules.
fn is_of_scheduler(arn: &str) -> bool {
    arn.contains(":schedule/") || arn.contains(":schedule-group/")
}
