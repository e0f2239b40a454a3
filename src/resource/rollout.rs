//! How a service of a Release is rolled out. ECS's and CodeDeploy's own names and nesting are kept.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration::Span;

/// How a service is rolled out, and how that is judged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rollout {
    /// ECS's deployment strategy; left as the service has it when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// With `strategy`: how many minutes ECS runs the old tasks beside the new ones once all traffic
    /// goes to the new ones; left as the service has it when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bake_time_in_minutes: Option<u32>,
    /// With `strategy: LINEAR`: the steps in which traffic goes over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linear: Option<Linear>,
    /// With `strategy: CANARY`: what goes over first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// For a service whose deployment controller is CODE_DEPLOY: how CodeDeploy releases it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_deploy: Option<CodeDeploy>,
    /// How long a deployment may take before it counts as failed, beside the minutes that ECS is told
    /// to wait and those in which it waits for a person; 30m when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// What a failure of it does to the whole release; Rollback when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// With `onFailure: Hold`: that ECS's circuit breaker rolls this service back by itself is
    /// meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker_may_roll_back: Option<bool>,
    /// How long the service has to stay steady, and its alarms quiet, before it counts; not at all
    /// when absent.
    #[serde(
        default,
        deserialize_with = "Span::or_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub bake: Option<Span>,
    /// Names of CloudWatch alarms, of which none may be in ALARM until the bake is over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<String>,
}

/// How ECS brings new tasks into a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Strategy {
    /// Task by task.
    Rolling,
    /// All of them beside the old ones; then all traffic at once.
    BlueGreen,
    /// The same, with traffic in equal steps.
    Linear,
    /// The same, with a little of the traffic first.
    Canary,
}

impl Strategy {
    /// ECS's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Strategy::Rolling => "ROLLING",
            Strategy::BlueGreen => "BLUE_GREEN",
            Strategy::Linear => "LINEAR",
            Strategy::Canary => "CANARY",
        }
    }
}

/// ECS's linearConfiguration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Linear {
    /// Percent of the traffic that each step brings, 3 to 100; left as it is when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_percent: Option<f64>,
    /// Minutes between two steps, 0 to 1440; left as it is when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_bake_time_in_minutes: Option<u32>,
}

/// ECS's canaryConfiguration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Canary {
    /// Percent of the traffic that goes over first, 0.1 to 100; left as it is when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary_percent: Option<f64>,
    /// Minutes until the rest goes over, 0 to 1440; left as it is when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary_bake_time_in_minutes: Option<u32>,
}

/// How CodeDeploy releases a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CodeDeploy {
    /// CodeDeploy's application.
    pub application_name: String,
    /// Its deployment group, which has to be of this very service.
    pub deployment_group_name: String,
    /// How traffic goes over, such as `CodeDeployDefault.ECSCanary10Percent5Minutes`; as the
    /// deployment group says when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_config_name: Option<String>,
    /// Lambda functions that CodeDeploy invokes on the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<CodeDeployHooks>,
}

/// Lambda functions, by ARN, under the names that CodeDeploy's AppSpec has for its lifecycle events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct CodeDeployHooks {
    /// Before there are new tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_install: Option<String>,
    /// Once the new tasks run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_install: Option<String>,
    /// Once the test listener leads to the new tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_allow_test_traffic: Option<String>,
    /// Before production traffic goes over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_allow_traffic: Option<String>,
    /// Once all production traffic goes to the new tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_allow_traffic: Option<String>,
}

impl CodeDeployHooks {
    /// Lifecycle event -> function, of those that are declared, in CodeDeploy's order.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("BeforeInstall", &self.before_install),
            ("AfterInstall", &self.after_install),
            ("AfterAllowTestTraffic", &self.after_allow_test_traffic),
            ("BeforeAllowTraffic", &self.before_allow_traffic),
            ("AfterAllowTraffic", &self.after_allow_traffic),
        ]
        .into_iter()
        .filter_map(|(event, function)| Some((event, function.as_deref()?)))
    }
}

/// What a rollout that failed does to the whole release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnFailure {
    /// Every service and schedule goes back to the last revision that was Ready.
    #[default]
    Rollback,
    /// Everything stays as it is.
    Hold,
}
