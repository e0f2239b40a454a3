//! The SDK's clients, made once per Region.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_sdk_sts::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use super::ecr::Ecr;
use super::ecs::Ecs;
use super::error::{AwsError, Call, ErrorClass};
use super::events::Events;
use super::metrics::AwsMetrics;
use super::retry;
use super::sts::{Identity, Sts};

#[cfg(test)]
mod tests;

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
}

/// AWS as these credentials see it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Aws {
    config: SdkConfig,
    metrics: Option<AwsMetrics>,
    regions: Arc<Mutex<BTreeMap<String, Clients>>>,
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
    /// STS.
    pub sts: Sts,
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
        Self::new(loader.load().await, settings.metrics)
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
        Self::new(self.config, Some(metrics))
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
            regions: Arc::default(),
        }
    }

    /// The clients of a Region, made at the first call.
    pub fn region(&self, region: &str) -> Clients {
        let mut regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        regions
            .entry(region.to_owned())
            .or_insert_with(|| self.clients(region))
            .clone()
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
            Some(region) => self.region(&region).sts.identity().await,
            None => Err(Call::read("sts", "GetCallerIdentity", "the credentials")
                .unexpected(ErrorClass::Refused, "no AWS Region is set")),
        }
    }

    fn clients(&self, region: &str) -> Clients {
        // Each service's builder is a type of its own with the same methods.
        macro_rules! client {
            ($sdk:ident) => {{
                let mut builder = $sdk::config::Builder::from(&self.config)
                    .region($sdk::config::Region::new(region.to_owned()));
                if let Some(metrics) = &self.metrics {
                    builder = builder.interceptor(metrics.clone());
                }
                $sdk::Client::from_conf(builder.build())
            }};
        }
        Clients {
            ecs: Ecs::new(client!(aws_sdk_ecs)),
            ecr: Ecr::new(client!(aws_sdk_ecr), region),
            events: Events::new(client!(aws_sdk_eventbridge)),
            sts: Sts::new(client!(aws_sdk_sts), region),
        }
    }
}

fn fixed(id: String, secret: String) -> Credentials {
    Credentials::new(id, secret, None, None, "evenkeel")
}
