//! What online verbs work with: AWS and the table.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::clock::now;
use super::error::CliError;
use super::settings::Settings;
use super::target::ReleaseName;
use crate::aws::dynamodb::Table;
use crate::aws::{Aws, AwsSettings};
use crate::model::ledger::{Ledger, RequestKind};
use crate::reconcile::{Clock, ReconcileError, Reconciler};
use crate::resource::meta::{Environment, Release, ReleaseKey};
use crate::store::{ApplyOutcome, Store, StoreError};

/// How long the caller's name may take to find out.
const WHO_AM_I: Duration = Duration::from_secs(5);

/// AWS and the table, as the settings name them.
#[derive(Clone)]
pub struct Connection {
    /// AWS.
    pub aws: Aws,
    /// The table.
    pub store: Store,
    clock: Clock,
    applier: Option<String>,
    user: Option<String>,
}

impl Connection {
    /// Opens it; nothing is called yet.
    ///
    /// # Errors
    /// When no Region is set.
    pub async fn open(settings: &Settings) -> Result<Self, CliError> {
        Self::open_with(settings, AwsSettings::default()).await
    }

    /// The same, with settings of AWS.
    ///
    /// # Errors
    /// When no Region is set.
    pub async fn open_with(settings: &Settings, aws: AwsSettings) -> Result<Self, CliError> {
        let aws = Aws::load(aws).await;
        if aws.default_region().is_none() {
            return Err(
                CliError::new("no AWS Region is set, so the table cannot be found")
                    .help("set AWS_REGION, or `region` in your profile in ~/.aws/config"),
            );
        }
        Ok(Self::new(aws, settings, Arc::new(now)))
    }

    /// A connection to an AWS that is at hand already, with its time.
    pub fn new(aws: Aws, settings: &Settings, clock: Clock) -> Self {
        Self {
            store: Store::new(Table::new(&aws, &settings.table)),
            aws,
            clock,
            applier: settings.applier.clone(),
            user: settings.user.clone(),
        }
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// What reconciles and previews.
    pub fn reconciler(&self) -> Reconciler {
        Reconciler::new(self.aws.clone(), self.store.clone(), self.clock.clone())
    }

    /// Who writes: as `--applier` says, else the AWS user or role, else the local user.
    ///
    /// # Errors
    /// When nobody can be named.
    pub async fn applier(&self) -> Result<String, CliError> {
        if let Some(applier) = &self.applier {
            return Ok(applier.clone());
        }
        let identity = tokio::time::timeout(WHO_AM_I, self.aws.identity()).await;
        let (principal, why) = match identity {
            Ok(Ok(who)) => (principal(&who.arn), String::new()),
            Ok(Err(error)) => (None, format!(": {error}")),
            Err(_) => (None, ": STS did not answer in time".to_owned()),
        };
        principal.or_else(|| self.user.clone()).ok_or_else(|| {
            CliError::new(format!("nobody can be named as the one who writes{why}"))
                .help("say --applier NAME")
        })
    }

    /// The release of that name.
    ///
    /// # Errors
    /// When there is none, or several namespaces have one.
    pub async fn find(&self, name: &ReleaseName) -> Result<Release, CliError> {
        self.find_if_any(name).await?.ok_or_else(|| unknown(name))
    }

    /// The release of that name, if there is one.
    ///
    /// # Errors
    /// When several namespaces have one, or the table cannot be read.
    pub async fn find_if_any(&self, name: &ReleaseName) -> Result<Option<Release>, CliError> {
        if let Some(namespace) = &name.namespace {
            return self.lookup(&ReleaseKey::new(namespace, &name.name)).await;
        }
        let mut found = self.releases(None).await?;
        found.retain(|release| release.metadata.name == name.name);
        match found.len() {
            0 | 1 => Ok(found.pop()),
            _ => {
                let names: Vec<String> = found
                    .iter()
                    .map(|release| release.release_key().to_string())
                    .collect();
                Err(
                    CliError::new(format!("several namespaces have a release {name}"))
                        .help(format!("say which: {}", names.join(", "))),
                )
            }
        }
    }

    /// One release.
    ///
    /// # Errors
    /// When there is none.
    #[cfg(feature = "sandbox")]
    pub async fn release(&self, key: &ReleaseKey) -> Result<Release, CliError> {
        let name = ReleaseName {
            namespace: Some(key.namespace.clone()),
            name: key.name.clone(),
        };
        self.lookup(key).await?.ok_or_else(|| unknown(&name))
    }

    /// One release, if there is one.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn lookup(&self, key: &ReleaseKey) -> Result<Option<Release>, CliError> {
        Ok(self.store.release(key).await?.map(|stored| stored.release))
    }

    /// The releases of a namespace, or all.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn releases(&self, namespace: Option<&str>) -> Result<Vec<Release>, CliError> {
        let stored = match namespace {
            Some(namespace) => self.store.releases(namespace).await?,
            None => self.store.list().await?,
        };
        Ok(stored.into_iter().map(|stored| stored.release).collect())
    }

    /// As [`Connection::releases`], and with those of namespaces that have no Environment, which
    /// only reading the whole table finds: who may not do that is not told of them.
    ///
    /// # Errors
    /// When the table cannot be read, or the namespace holds neither Environment nor Release.
    pub async fn all_releases(&self, namespace: Option<&str>) -> Result<Vec<Release>, CliError> {
        let mut releases = self.releases(namespace).await?;
        if let Some(namespace) = namespace {
            if releases.is_empty()
                && self
                    .store
                    .environment(namespace)
                    .await
                    .is_ok_and(|it| it.is_none())
            {
                return Err(CliError::new(format!("there is no namespace {namespace}"))
                    .help("`evenkeel get environments` lists those that there are"));
            }
            return Ok(releases);
        }
        let known = self.store.environment_versions().await?;
        for namespace in self.store.namespaces().await.unwrap_or_default() {
            if !known.contains_key(&namespace) {
                releases.extend(self.releases(Some(&namespace)).await?);
            }
        }
        Ok(releases)
    }

    /// Every environment.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn environments(&self) -> Result<Vec<Environment>, CliError> {
        Ok(self.store.environments().await?)
    }

    /// One environment.
    ///
    /// # Errors
    /// When there is none.
    pub async fn environment(&self, name: &str) -> Result<Environment, CliError> {
        self.store.environment(name).await?.ok_or_else(|| {
            CliError::new(format!("environment {name} does not exist"))
                .help("`evenkeel get environments` lists those that do")
        })
    }

    /// The environment of a release.
    ///
    /// # Errors
    /// When there is none, or it may not be read.
    pub async fn environment_of(&self, release: &Release) -> Result<Environment, CliError> {
        self.environment(&release.release_key().namespace).await
    }

    /// What was written down about a release.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn ledger(&self, release: &Release) -> Result<Ledger, CliError> {
        let uid = release.metadata.uid.as_deref().unwrap_or_default();
        Ok(self.store.ledger(&release.release_key(), uid).await?)
    }

    /// The same, or nothing where the caller may not look: CI has no right to it.
    ///
    /// # Errors
    /// When the table cannot be read for another reason.
    pub async fn ledger_if_allowed(&self, release: &Release) -> Result<Option<Ledger>, CliError> {
        let uid = release.metadata.uid.as_deref().unwrap_or_default();
        match self.store.ledger(&release.release_key(), uid).await {
            Ok(ledger) => Ok(Some(ledger)),
            Err(error) if error.is_access_denied() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether requests about a release wait for the controller.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn is_asked(&self, key: &ReleaseKey) -> Result<bool, CliError> {
        Ok(!self.store.requests(key).await?.is_empty())
    }

    /// Asks something of the controller.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub async fn request(&self, release: &Release, kind: RequestKind) -> Result<(), CliError> {
        let by = self.applier().await?;
        self.store
            .request(&release.release_key(), kind, &by, self.now())
            .await?;
        Ok(())
    }

    /// Suspends or resumes; says whether anything changed.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub async fn set_suspend(&self, key: &ReleaseKey, suspend: bool) -> Result<bool, CliError> {
        let by = self.applier().await?;
        let applied = self
            .store
            .set_suspend(key, suspend, &by, self.now())
            .await?;
        Ok(applied.outcome != ApplyOutcome::Unchanged)
    }

    /// Suspends until a moment; says whether anything changed.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub async fn suspend_until(
        &self,
        key: &ReleaseKey,
        until: Timestamp,
    ) -> Result<bool, CliError> {
        let by = self.applier().await?;
        let applied = self
            .store
            .suspend_until(key, until, &by, self.now())
            .await?;
        Ok(applied.outcome != ApplyOutcome::Unchanged)
    }
}

fn unknown(name: &ReleaseName) -> CliError {
    CliError::new(format!("release {name} does not exist"))
        .help("`evenkeel get` lists those that do")
}

/// The name of a user or role, without its path and session: `ci-deploy` of
/// `arn:aws:sts::123456789012:assumed-role/ci-deploy/build-17`.
fn principal(arn: &str) -> Option<String> {
    let resource = arn.splitn(6, ':').nth(5)?;
    let mut parts = resource.split('/');
    let name = match parts.next()? {
        "assumed-role" => parts.next()?,
        "root" => "root",
        _ => resource.rsplit('/').next()?,
    };
    (!name.is_empty()).then(|| name.to_owned())
}

// What failed, on what, what AWS answered and what to do is in the sentence of each of these
// errors; their sources only say it again in the SDK's words.
impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        CliError::new(error.to_string())
    }
}

impl From<ReconcileError> for CliError {
    fn from(error: ReconcileError) -> Self {
        CliError::new(error.to_string())
    }
}

/// Time as the standard library has it; a negative length is none.
pub fn std(length: SignedDuration) -> Duration {
    Duration::try_from(length).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::principal;

    #[test]
    fn a_principal_is_named_without_its_session() {
        let of = |arn| principal(arn).unwrap_or_default();
        assert_eq!(of("arn:aws:iam::123456789012:user/ops/alice"), "alice");
        assert_eq!(
            of("arn:aws:sts::123456789012:assumed-role/ci-deploy/build-17"),
            "ci-deploy"
        );
        assert_eq!(of("arn:aws:iam::123456789012:root"), "root");
        assert_eq!(of("arn:aws:sts::123456789012:federated-user/bob"), "bob");
        assert_eq!(of("nonsense"), "");
    }
}
