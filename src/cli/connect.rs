//! What online verbs work with: AWS and the table.

use std::time::Duration;

use jiff::SignedDuration;

use super::error::CliError;
use super::settings::Settings;
use super::target::ReleaseName;
use crate::aws::{Aws, AwsError, AwsSettings, ErrorClass};
use crate::http::Metrics;
use crate::reconcile::{ReconcileError, Reconciler};
use crate::resource::meta::{Environment, Release, ReleaseKey};
use crate::store::{Store, StoreError};

/// How long the caller's name may take to find out.
const WHO_AM_I: Duration = Duration::from_secs(3);

/// AWS and the table, as the settings name them.
#[derive(Clone)]
pub struct Connection {
    pub aws: Aws,
    pub store: Store,
    table: String,
    applier: Option<String>,
    user: Option<String>,
}

impl Connection {
    /// Opens it; nothing is called yet.
    ///
    /// # Errors
    /// When no Region is set.
    pub async fn open(settings: &Settings) -> Result<Self, CliError> {
        Self::open_with(settings, None).await
    }

    /// The same, with calls counted.
    ///
    /// # Errors
    /// When no Region is set.
    pub async fn open_with(
        settings: &Settings,
        metrics: Option<&Metrics>,
    ) -> Result<Self, CliError> {
        let mut aws = Aws::load(AwsSettings::default()).await;
        if let Some(metrics) = metrics {
            aws = aws.with_metrics(metrics.aws());
        }
        if aws.default_region().is_none() {
            return Err(CliError::new("no AWS Region is set, so the table cannot be found")
                .help("set AWS_REGION, or `region` in your profile in ~/.aws/config"));
        }
        Ok(Self::new(aws, settings))
    }

    /// A connection to an AWS that is at hand already.
    pub fn new(aws: Aws, settings: &Settings) -> Self {
        let store = Store::new(&aws, &settings.table);
        Self {
            store,
            aws,
            table: settings.table.clone(),
            applier: settings.applier.clone(),
            user: settings.user.clone(),
        }
    }

    /// What reconciles and previews.
    pub fn reconciler(&self) -> Reconciler {
        Reconciler::new(self.aws.clone(), self.store.clone())
    }
}

/// Time as the standard library has it; a negative length is none.
pub fn std(length: SignedDuration) -> Duration {
    Duration::try_from(length).unwrap_or(Duration::ZERO)
}
