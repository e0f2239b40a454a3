//! Deployment configurations: how the traffic goes over.

use jiff::{SignedDuration, Timestamp};

use serde_json::{Value, json};

use super::super::fault::Fault;
use super::super::json::Object;
use super::{checks, later, needed};

/// What is taken where nothing is said.
pub(super) const AT_ONCE: &str = "CodeDeployDefault.ECSAllAtOnce";

/// How the traffic goes over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Shift {
    AtOnce,
    /// So many percent, and after so many minutes the rest.
    Canary(u32, i64),
    /// So many percent, and after so many minutes as many again, and so on.
    Linear(u32, i64),
}

impl Shift {
    /// Of one of AWS's own configurations.
    pub fn of(config: &str) -> Option<Self> {
        Some(match config.strip_prefix("CodeDeployDefault.ECS")? {
            "AllAtOnce" => Self::AtOnce,
            "Canary10Percent5Minutes" => Self::Canary(10, 5),
            "Canary10Percent15Minutes" => Self::Canary(10, 15),
            "Linear10PercentEvery1Minutes" => Self::Linear(10, 1),
            "Linear10PercentEvery3Minutes" => Self::Linear(10, 3),
            _ => return None,
        })
    }

    /// The percentage that has gone over by `now`, and when the next part goes.
    pub fn weight(self, since: Timestamp, now: Timestamp) -> (f64, Option<Timestamp>) {
        let (percent, minutes, linear) = match self {
            Self::AtOnce => return (100.0, None),
            Self::Canary(percent, minutes) => (percent, minutes, false),
            Self::Linear(percent, minutes) => (percent, minutes, true),
        };
        let percent = f64::from(percent);
        let (mut weight, mut at) = (percent, since);
        while weight < 100.0 {
            at = later(at, SignedDuration::from_mins(minutes));
            if now < at {
                return (weight, Some(at));
            }
            weight = if linear { weight + percent } else { 100.0 };
        }
        (100.0, None)
    }
}

/// GetDeploymentConfig, of AWS's own.
pub(super) fn get_config(input: &Object) -> Result<Value, Fault> {
    let name = needed(
        input,
        "deploymentConfigName",
        "DeploymentConfigNameRequiredException",
        "The deployment configuration name was not specified.",
    )?;
    let routing = match checks::config(name)? {
        Shift::AtOnce => json!({"type": "AllAtOnce"}),
        Shift::Canary(percent, minutes) => json!({
            "type": "TimeBasedCanary",
            "timeBasedCanary": {"canaryPercentage": percent, "canaryInterval": minutes},
        }),
        Shift::Linear(percent, minutes) => json!({
            "type": "TimeBasedLinear",
            "timeBasedLinear": {"linearPercentage": percent, "linearInterval": minutes},
        }),
    };
    Ok(json!({"deploymentConfigInfo": {
        "deploymentConfigName": name, "computePlatform": "ECS", "trafficRoutingConfig": routing,
    }}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_goes_over_in_the_steps_of_the_configuration() {
        let weight = |config: &str, minutes: i64| {
            let since = Timestamp::UNIX_EPOCH;
            let now = since + SignedDuration::from_mins(minutes);
            Shift::of(config).unwrap().weight(since, now).0
        };
        let linear = "CodeDeployDefault.ECSLinear10PercentEvery3Minutes";
        let shown = [0, 2, 3, 26, 27].map(|minutes| weight(linear, minutes));
        assert_eq!(shown, [10.0, 10.0, 20.0, 90.0, 100.0]);
        let canary = "CodeDeployDefault.ECSCanary10Percent15Minutes";
        let shown = [0, 14, 15].map(|minutes| weight(canary, minutes));
        assert_eq!(shown, [10.0, 10.0, 100.0]);
        assert_eq!(weight(AT_ONCE, 0), 100.0);
        assert_eq!(Shift::of("CodeDeployDefault.AllAtOnce"), None);
    }
}
