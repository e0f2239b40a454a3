//! What ECS tells of services whose rollout failed: tasks that stopped, and events.

use jiff::{SignedDuration, Timestamp};

use super::{Look, LookError};
use crate::aws::AwsError;
use crate::model::desired::Service;
use crate::model::known::Known;
use crate::model::observed::Failure;
use crate::plan::{self, Question};

/// The plan is made a little later than this look, and may find then that time is up.
const LEAD: SignedDuration = SignedDuration::from_secs(2);

impl Look<'_> {
    /// Reads stopped tasks and events of services whose rollout shows to have failed and is not written
    /// down as such yet. A rollout is judged without them, so a read that fails is no obstacle.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub(super) async fn failures(&mut self, now: Timestamp) -> Result<(), LookError> {
        let services = &self.desired.services;
        let failed: Vec<String> = services
            .iter()
            .filter(|service| self.has_failed(service, now + LEAD))
            .map(|service| service.name.clone())
            .collect();
        for service in failed {
            let cluster = &self.desired.environment.cluster;
            let stopped = self.view.stopped_tasks(cluster, &service).await;
            let stopped = self.known(stopped.map(Known::Present));
            let events = self.view.service_events(cluster, &service).await;
            let events = self.known(events);
            self.content_of(&service).await?;
            let failure = Failure { stopped, events };
            self.observed.failures.insert(service, failure);
        }
        Ok(())
    }

    fn known<T>(&mut self, read: Result<Known<T>, AwsError>) -> Known<T> {
        read.unwrap_or_else(|error| {
            self.view.failed(&error);
            Known::Unknown(error.lasting())
        })
    }

    /// Reads what a service runs as it was recorded: it tells where its tasks log.
    async fn content_of(&mut self, service: &str) -> Result<(), LookError> {
        let resource = format!("service/{service}");
        let revisions = self.current().into_iter().chain(self.unfinished());
        let targets = revisions.filter_map(|found| found.parts.get(&resource));
        let hashes = targets.map(|target| target.definition.clone());
        let unread: Vec<String> = hashes
            .filter(|hash| !self.observed.contents.contains_key(hash))
            .collect();
        let contents = self.view.contents(self.store, unread).await?;
        self.observed.contents.extend(contents);
        Ok(())
    }

    fn has_failed(&self, service: &Service, now: Timestamp) -> bool {
        let observed = &self.observed;
        let rollout = observed.ledger.rollouts.get(&service.name);
        let found = observed.services.get(&service.name);
        let (Some(rollout), Some(found)) = (rollout, found.and_then(Known::present)) else {
            return false;
        };
        plan::has_failed(Question {
            service: found,
            target: &rollout.target,
            rollout: Some(rollout),
            revision: rollout.revision,
            timeout: service.timeout,
            stops: false,
            now,
        })
    }
}
