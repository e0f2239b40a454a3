//! The SDK's clients, made once for each role and Region.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_config::identity::IdentityCache;

use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_sdk_sts::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use jiff::Timestamp;

use super::budget::{Budget, RegionBudget};
use super::cloudfront::CloudFront;
use super::cloudwatch::CloudWatch;
use super::codedeploy::CodeDeploy;
use super::codepipeline::CodePipeline;
use super::connector::{self, Budgeted};
use super::ecr::Ecr;
use super::ecs::Ecs;
use super::error::{AwsError, Call, ErrorClass};
use super::events::Events;
use super::lambda::Lambda;
use super::logs::Logs;
use super::metrics::AwsMetrics;
use super::retry;
use super::role::{self, Role};
use super::scheduler::Scheduler;
use super::secrets::SecretStores;
use super::sns::Sns;
use super::sts::{Identity, Sts};
use crate::model::desired::Access;
use crate::resource::meta::ReleaseKey;

#[cfg(test)]
mod tests;

/// How long assuming a role may take, before the call that needs it fails.
const ASSUMING: Duration = Duration::from_secs(20);
/// Most Releases whose own sessions are kept.
const SESSIONS: usize = 256;

/// What the command line says about AWS; everything else is found the usual way, in the
/// environment (`AWS_REGION`, `AWS_PROFILE`, `AWS_ENDPOINT_URL`, roles) and in `~/.aws`.
#[derive(Clone, Debug, Default)]
pub struct AwsSettings {
    /// Endpoint of every service, such as the sandbox's.
    pub endpoint_url: Option<String>,
    /// Region of the table, and of whatever names none.
    pub region: Option<String>,
    /// Profile in `~/.aws`.
    pub profile: Option<String>,
    /// Access key id and secret access key, instead of looking for credentials.
    pub credentials: Option<(String, String)>,
    /// Connector instead of HTTPS, such as the in-process sandbox's.
    pub http_client: Option<SharedHttpClient>,
    /// Counts calls, if given.
    pub metrics: Option<AwsMetrics>,
    /// How much may be asked of each account; all of it if absent.
    pub budget: Option<Budget>,
}

/// AWS as these credentials see it, and the roles that they may assume. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Aws {
    config: SdkConfig,
    metrics: Option<AwsMetrics>,
    budget: Budget,
    made: Arc<Mutex<Made>>,
}

/// What was made already.
#[derive(Debug, Default)]
struct Made {
    /// The HTTPS client, where none was given.
    https: Option<SharedHttpClient>,
    /// Each role's configuration, which holds its credentials for every Region.
    roles: BTreeMap<Access, SdkConfig>,
    regions: BTreeMap<(Access, String), Clients>,
    /// Those with a Release's own session, and when they were used last.
    sessions: BTreeMap<(ReleaseKey, Access, String), (Clients, u64)>,
    uses: u64,
}

/// The services of one Region. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Clients {
    /// ECS.
    pub ecs: Ecs,
    /// ECR.
    pub ecr: Ecr,
    /// EventBridge.
    pub events: Events,
    /// EventBridge Scheduler.
    pub scheduler: Scheduler,
    /// CloudWatch.
    pub cloudwatch: CloudWatch,
    /// CloudWatch Logs.
    pub logs: Logs,
    /// Lambda.
    pub lambda: Lambda,
    /// CloudFront.
    pub cloudfront: CloudFront,
    /// CodePipeline.
    pub codepipeline: CodePipeline,
    /// CodeDeploy.
    pub codedeploy: CodeDeploy,
    /// SSM's parameters and Secrets Manager's secrets.
    pub secrets: SecretStores,
    /// SNS.
    pub sns: Sns,
    /// STS.
    pub sts: Sts,
    /// How much may be asked of the account in the Region. Reads keep to it by themselves; writes
    /// are admitted before they are made.
    pub budget: RegionBudget,
}

impl Aws {
    /// Reads the environment and `~/.aws`. Calls nothing: wrong credentials show at the first call.
    pub async fn load(settings: AwsSettings) -> Self {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(retry::retries())
            .timeout_config(retry::timeouts())
            // Answers are small and attempts are timed; this only adds timers.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if let Ok(name) = AppName::new("evenkeel") {
            loader = loader.app_name(name);
        }
        if let Some(url) = settings.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        if let Some(region) = settings.region {
            loader = loader.region(Region::new(region));
        }
        if let Some(profile) = settings.profile {
            loader = loader.profile_name(profile);
        }
        if let Some((id, secret)) = settings.credentials {
            loader = loader.credentials_provider(fixed(id, secret));
        }
        if let Some(client) = settings.http_client {
            loader = loader.http_client(client);
        }
        let aws = Self::new(loader.load().await, settings.metrics);
        match settings.budget {
            Some(budget) => aws.with_budget(budget),
            None => aws,
        }
    }

    /// Credentials that anything accepts, this connector and this Region: reads no environment and
    /// no file.
    pub fn for_test(http_client: SharedHttpClient, region: &str) -> Self {
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .credentials_provider(SharedCredentialsProvider::new(fixed(
                "test".to_owned(),
                "test".to_owned(),
            )))
            .retry_config(retry::retries())
            .timeout_config(retry::timeouts())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .http_client(http_client)
            .build();
        Self::new(config, None)
    }

    /// The same with calls counted.
    pub fn with_metrics(self, metrics: AwsMetrics) -> Self {
        Self::new(self.config, Some(metrics)).with_budget(self.budget)
    }

    /// The same within this budget.
    pub fn with_budget(self, budget: Budget) -> Self {
        Self {
            budget,
            ..Self::new(self.config, self.metrics)
        }
    }

    /// The same by this clock, which tells when requests are signed and when credentials end.
    pub fn with_clock(self, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        let config = self.config.into_builder().time_source(Clock(clock));
        Self::new(config.build(), self.metrics).with_budget(self.budget)
    }

    /// The same without the SDK's own retries, which wait in real time.
    #[cfg(test)]
    pub(super) fn without_retries(self) -> Self {
        let disabled = aws_config::retry::RetryConfig::disabled();
        let config = self.config.into_builder().retry_config(disabled).build();
        Self::new(config, self.metrics)
    }

    fn new(config: SdkConfig, metrics: Option<AwsMetrics>) -> Self {
        Self {
            config,
            metrics,
            budget: Budget::unbounded(),
            made: Arc::default(),
        }
    }

    /// How much may be asked of AWS.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The clients of a Region with evenkeel's own credentials.
    pub fn region(&self, region: &str) -> Clients {
        self.at(&Access::default(), region)
    }

    /// The clients of a Region with the credentials of a role, made at the first call. Nothing is
    /// asked for yet: whether the role can be assumed shows at the first request. The sets of two
    /// roles share nothing that one could make the other wait for.
    pub fn at(&self, access: &Access, region: &str) -> Clients {
        let key = (access.clone(), region.to_owned());
        if let Some(found) = self.made().regions.get(&key) {
            return found.clone();
        }
        let known = self.made().roles.get(access).cloned();
        let config = known.unwrap_or_else(|| self.config_of(access, role::SESSION.to_owned()));
        let clients = self.clients(&config, access, region);
        let mut made = self.made();
        // Somebody else may have been here meanwhile: all use what was made first.
        made.roles.entry(access.clone()).or_insert(config);
        made.regions.entry(key).or_insert(clients).clone()
    }

    /// The clients for what is changed on behalf of a Release: where a role is assumed, its session
    /// names the Release, so that CloudTrail tells for which one a call was made.
    pub fn for_release(&self, access: &Access, region: &str, release: &ReleaseKey) -> Clients {
        if access.role_arn.is_none() {
            return self.at(access, region);
        }
        let key = (release.clone(), access.clone(), region.to_owned());
        if let Some(found) = self.made().used(&key) {
            return found;
        }
        let config = self.config_of(access, role::session_of(release));
        let clients = self.clients(&config, access, region);
        self.made().keep(key, clients)
    }

    /// The configuration with the credentials of a role, or our own.
    fn config_of(&self, access: &Access, session: String) -> SdkConfig {
        let Some(arn) = access.role_arn.clone() else {
            return self.config.clone();
        };
        // Our own Region's STS: the one of a Region that has to be opted into may refuse our
        // account, and credentials of any are good in all.
        let region = self.config.region().map_or("us-east-1", AsRef::as_ref);
        let role = Role {
            sts: self.region(region).sts,
            arn,
            external_id: access.external_id.clone(),
            session,
        };
        // A cache of its own: the SDK's common one keeps few identities, and drops them in no order.
        let cache = IdentityCache::lazy().load_timeout(ASSUMING).build();
        let config = self.config.to_builder().identity_cache(cache);
        config
            .credentials_provider(SharedCredentialsProvider::new(role))
            .build()
    }

    fn made(&self) -> std::sync::MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What sends requests: the client that was given, or one HTTPS client for all.
    fn http_client(&self) -> SharedHttpClient {
        let given = self.config.http_client();
        given.unwrap_or_else(|| {
            self.made()
                .https
                .get_or_insert_with(connector::https)
                .clone()
        })
    }

    /// The Region of the environment or profile.
    pub fn default_region(&self) -> Option<String> {
        self.config
            .region()
            .map(|region| region.as_ref().to_owned())
    }

    /// The SDK's configuration, for the table's client.
    pub fn sdk_config(&self) -> &SdkConfig {
        &self.config
    }

    /// The interceptor that counts calls, for the table's client.
    pub fn metrics(&self) -> Option<AwsMetrics> {
        self.metrics.clone()
    }

    /// Whose credentials these are, asked in the default Region.
    pub async fn identity(&self) -> Result<Identity, AwsError> {
        match self.default_region() {
            Some(region) => {
                let identity = self.region(&region).sts.identity().await?;
                self.budget.own_account(&identity.account);
                Ok(identity)
            }
            None => Err(Call::read("sts", "GetCallerIdentity", "the credentials")
                .unexpected(ErrorClass::Refused, "no AWS Region is set")),
        }
    }

    fn clients(&self, config: &SdkConfig, access: &Access, region: &str) -> Clients {
        let account = access.role_arn.as_deref().and_then(role::account_of);
        let budget = self.budget.of(account, region, self.metrics.clone());
        let http = Budgeted {
            inner: self.http_client(),
            budget: budget.clone(),
            metrics: self.metrics.clone(),
        };
        // Each service's builder is a type of its own with the same methods.
        macro_rules! builder {
            ($sdk:ident, $metrics:expr) => {{
                let builder = $sdk::config::Builder::from(config)
                    .region($sdk::config::Region::new(region.to_owned()));
                match $metrics {
                    Some(metrics) => builder.interceptor(metrics),
                    None => builder,
                }
            }};
        }
        macro_rules! client {
            ($sdk:ident) => {{
                let counts = self.metrics.clone().map(AwsMetrics::counts_only);
                let builder = builder!($sdk, counts)
                    .http_client(http.clone())
                    .timeout_config(retry::timeouts_of_connections());
                $sdk::Client::from_conf(builder.build())
            }};
        }
        // What is called seldom has no budget of its own: the SDK's own client and times do.
        macro_rules! seldom {
            ($sdk:ident) => {
                $sdk::Client::from_conf(builder!($sdk, self.metrics.clone()).build())
            };
        }
        Clients {
            ecs: Ecs::new(client!(aws_sdk_ecs)),
            ecr: Ecr::new(client!(aws_sdk_ecr), region),
            events: Events::new(client!(aws_sdk_eventbridge)),
            scheduler: Scheduler::new(client!(aws_sdk_scheduler)),
            cloudwatch: CloudWatch::new(client!(aws_sdk_cloudwatch)),
            logs: Logs::new(client!(aws_sdk_cloudwatchlogs), region),
            lambda: Lambda::new(seldom!(aws_sdk_lambda)),
            cloudfront: CloudFront::new(seldom!(aws_sdk_cloudfront)),
            codepipeline: CodePipeline::new(seldom!(aws_sdk_codepipeline)),
            codedeploy: CodeDeploy::new(seldom!(aws_sdk_codedeploy)),
            secrets: SecretStores::new(seldom!(aws_sdk_ssm), seldom!(aws_sdk_secretsmanager)),
            sns: Sns::new(seldom!(aws_sdk_sns)),
            sts: Sts::new(seldom!(aws_sdk_sts), region),
            budget,
        }
    }
}

impl Made {
    /// The clients of a Release's session.
    fn used(&mut self, key: &(ReleaseKey, Access, String)) -> Option<Clients> {
        self.uses += 1;
        let (clients, used) = self.sessions.get_mut(key)?;
        *used = self.uses;
        Some(clients.clone())
    }

    /// Keeps the clients of a Release's session, and lets those go that were used longest ago.
    fn keep(&mut self, key: (ReleaseKey, Access, String), clients: Clients) -> Clients {
        if self.sessions.len() >= SESSIONS {
            let oldest = self.sessions.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                self.sessions.remove(&key);
            }
        }
        let kept = self.sessions.entry(key).or_insert((clients, self.uses));
        kept.0.clone()
    }
}

/// A clock of ours as the SDK reads clocks.
struct Clock<F>(F);

impl<F> std::fmt::Debug for Clock<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

impl<F: Fn() -> Timestamp + Send + Sync> TimeSource for Clock<F> {
    fn now(&self) -> SystemTime {
        (self.0)().into()
    }
}

fn fixed(id: String, secret: String) -> Credentials {
    Credentials::new(id, secret, None, None, "evenkeel")
}
