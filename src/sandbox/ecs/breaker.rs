//! The deployment circuit breaker, and rollbacks by hand.

use serde_json::Value;

use super::super::cx::Cx;
use super::Ecs;
use super::records::RecordStatus;
use super::rollout::Rollout;
use super::service::Service;

const FAILED_TO_START: &str = "ECS deployment circuit breaker: tasks failed to start.";
const NO_CANDIDATE: &str = "No rollback candidate was found to run the rollback.";

/// The breaker's settings in deploymentConfiguration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Breaker {
    pub enabled: bool,
    pub rollback: bool,
    pub resets_on_healthy: bool,
    pub threshold: u32,
}

impl Service {
    /// The breaker as it is set now, its threshold worked out for the desired count of now.
    pub fn breaker(&self) -> Breaker {
        let set = self.configuration.get("deploymentCircuitBreaker");
        let flag = |name: &str, otherwise| {
            let value = set.and_then(|set| set.get(name)).and_then(Value::as_bool);
            value.unwrap_or(otherwise)
        };
        let limit = set.and_then(|set| set.get("thresholdConfiguration"));
        let kind = limit
            .and_then(|limit| limit.get("type"))
            .and_then(Value::as_str);
        let value = limit
            .and_then(|limit| limit.get("value"))
            .and_then(Value::as_u64);
        Breaker {
            enabled: flag("enable", false),
            rollback: flag("rollback", false),
            resets_on_healthy: flag("resetOnHealthyTask", true),
            threshold: threshold(kind, value.unwrap_or(50), u64::from(self.desired)),
        }
    }
}

/// `BOUNDED_PERCENT`, the default, lies between 3 and 200.
fn threshold(kind: Option<&str>, value: u64, desired: u64) -> u32 {
    let share = value.saturating_mul(desired).div_ceil(100);
    let failures = match kind {
        Some("COUNT") => value.max(1),
        Some("UNBOUNDED_PERCENT") => share.max(1),
        _ => share.clamp(3, 200),
    };
    u32::try_from(failures).unwrap_or(u32::MAX)
}

impl Ecs {
    /// Trips the breaker of a deployment in progress with too many failures.
    pub(super) fn judge(&mut self, cx: &mut Cx<'_>, service: &mut Service) {
        let breaker = service.breaker();
        let Some(primary) = service.deployments.first() else {
            return;
        };
        let tripped = breaker.enabled
            && primary.rollout == Rollout::InProgress
            && primary.strikes >= breaker.threshold;
        if !tripped {
            return;
        }
        let (name, strikes) = (primary.name(), primary.strikes);
        self.fail_primary(cx, service, FAILED_TO_START);
        service.say(
            cx,
            &format!("(deployment {name}) deployment failed: tasks failed to start."),
        );
        let in_rollback = service
            .record
            .as_deref()
            .and_then(|id| self.record_status(service, id))
            == Some(RecordStatus::RollbackInProgress);
        if let Some(id) = service.record.clone() {
            self.edit_record(cx, service, &id, |record| {
                record.tripped = Some((strikes, breaker.threshold));
            });
        }
        if in_rollback {
            let why = "Service deployment rollback failed because the circuit breaker threshold was exceeded.";
            self.finish_record(cx, service, RecordStatus::RollbackFailed, Some(why));
        } else if breaker.rollback {
            let why = "Service deployment rolled back because the circuit breaker threshold was exceeded.";
            self.roll_back(cx, service, why, true);
        } else {
            let why =
                "Service deployment stopped because the circuit breaker threshold was exceeded.";
            self.finish_record(cx, service, RecordStatus::Stopped, Some(why));
        }
    }

    /// Goes back to the newest completed deployment; where there is none, everything stays as it
    /// is and nothing new starts.
    pub(super) fn roll_back(
        &mut self,
        cx: &mut Cx<'_>,
        service: &mut Service,
        why: &str,
        by_breaker: bool,
    ) {
        service.staged = None;
        let primary = service
            .deployments
            .first()
            .map(|primary| primary.id.clone());
        let target = service
            .completed
            .clone()
            .filter(|done| Some(&done.id) != primary.as_ref());
        let Some(target) = target else {
            self.finish_record(
                cx,
                service,
                RecordStatus::RollbackFailed,
                Some(NO_CANDIDATE),
            );
            return;
        };
        self.restore(cx, service, &target, by_breaker);
        let (id, now) = (service.record.clone().unwrap_or_default(), cx.now);
        self.edit_record(cx, service, &id, |record| {
            record.status = RecordStatus::RollbackInProgress;
            record.reason = Some(why.to_owned());
            record.rollback = Some((why.to_owned(), now, target.id));
        });
    }

    /// StopServiceDeployment takes effect.
    pub(super) fn roll_back_by_hand(&mut self, cx: &mut Cx<'_>, service: &mut Service) {
        let why = "Service deployment rolled back by user.";
        if let Some(primary) = service.deployments.first() {
            let reason = format!("ECS deployment {} rolled back by user.", primary.name());
            self.fail_primary(cx, service, &reason);
        }
        self.roll_back(cx, service, why, false);
    }
}

#[cfg(test)]
mod tests {
    use super::threshold;

    #[test]
    fn the_threshold_is_half_of_the_desired_count_within_bounds() {
        for (desired, wanted) in [(1, 3), (6, 3), (7, 4), (25, 13), (400, 200), (1000, 200)] {
            assert_eq!(threshold(None, 50, desired), wanted, "{desired}");
        }
        assert_eq!(threshold(Some("COUNT"), 5, 800), 5);
        assert_eq!(threshold(Some("UNBOUNDED_PERCENT"), 50, 800), 400);
    }
}
