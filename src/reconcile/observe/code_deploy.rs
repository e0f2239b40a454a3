//! What CodeDeploy tells of a service that it releases.

use super::{Look, LookError};
use crate::model::known::Known;
use crate::model::ledger::RolloutState;
use crate::model::observed::Service;

impl Look<'_> {
    /// Adds its deployment group, and that one's deployments. Of a service that does not say which,
    /// nothing can be told.
    pub(super) async fn add_code_deploy(&mut self, service: &mut Service) -> Result<(), LookError> {
        let mut declared = self.desired.services.iter();
        let declared = declared.find(|declared| declared.name == service.name);
        let Some(declared) = declared.and_then(|it| it.code_deploy.as_ref()) else {
            service.records = Some(Known::Present(Vec::new()));
            return Ok(());
        };
        let (application, group) = (&declared.application_name, &declared.deployment_group_name);
        let found = self.view.deployment_group(application, group).await;
        service.group = Some(match found {
            Ok(known) => known,
            Err(error) => Known::Unknown(self.failed(error)?),
        });
        let rollout = self.observed.ledger.rollouts.get(&service.name);
        let goes_on = rollout.is_some_and(|rollout| rollout.state == RolloutState::Requested);
        if goes_on && service.group == Some(Known::Absent) {
            // What was begun in another group goes on, and nobody looks there.
            service.records = Some(Known::Unknown(format!(
                "deployment group {group} is not there, so nobody tells of its deployments"
            )));
            return Ok(());
        }
        let target = format!("{}:{}", self.desired.environment.cluster, service.name);
        let read = self.view.code_deploy(application, group, &target).await;
        service.records = Some(match read {
            Ok(records) => Known::Present(records),
            Err(error) => Known::Unknown(self.failed(error)?),
        });
        Ok(())
    }
}
