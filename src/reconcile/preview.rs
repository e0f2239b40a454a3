//! What a pass would do, without doing it.

use super::{ReconcileError, Reconciler, provenance, sentences};
use crate::model::build::{self, Provenance};
use crate::model::plan::Plan;
use crate::plan;
use crate::resource::meta::{Environment, Release, ReleaseKey};
use crate::store::{ApplyOptions, ObjectRef};

impl Reconciler {
    /// What the next pass would do. Writes nothing.
    ///
    /// # Errors
    /// When the table cannot be read, there are no credentials, or the spec is not valid.
    pub async fn preview(&self, key: &ReleaseKey) -> Result<Plan, ReconcileError> {
        let stored = self.store.release(key).await?;
        let stored = stored.ok_or_else(|| ReconcileError::NotFound(key.clone()))?;
        let environment = self
            .readable(&key.namespace)
            .await?
            .ok_or_else(|| ReconcileError::EnvironmentNotFound(key.namespace.clone()))?;
        self.decide(&stored.release, &environment, provenance(&stored))
            .await
    }

    /// What the first pass would do if this manifest were applied, in an Environment as
    /// [`Store::environment_if_applied`] foresees it, or in the table's. Writes nothing.
    ///
    /// # Errors
    /// As [`Reconciler::preview`] and [`Store::apply_release`].
    pub async fn preview_manifest(
        &self,
        manifest: &Release,
        environment: Option<&Environment>,
        options: &ApplyOptions,
    ) -> Result<Plan, ReconcileError> {
        let object = ObjectRef::release(&manifest.release_key());
        let environment = match environment {
            Some(environment) => environment.clone(),
            None => self
                .readable(&manifest.release_key().namespace)
                .await?
                .ok_or_else(|| self.store.no_environment(&object))?,
        };
        let stored = self.store.release_if_applied(manifest, options).await?;
        self.decide(&stored.release, &environment, provenance(&stored))
            .await
    }

    /// An Environment of the table, where somebody plans who may not see it.
    async fn readable(&self, name: &str) -> Result<Option<Environment>, ReconcileError> {
        let found = self.store.environment(name).await;
        found.map_err(|error| match error.is_access_denied() {
            true => ReconcileError::EnvironmentDenied {
                name: name.to_owned(),
                error,
            },
            false => error.into(),
        })
    }

    async fn decide(
        &self,
        release: &Release,
        environment: &Environment,
        provenance: Provenance,
    ) -> Result<Plan, ReconcileError> {
        let desired = build::desired(release, environment, provenance)
            .map_err(|errors| ReconcileError::Invalid(sentences(&errors)))?
            .at(self.now());
        let (desired, observed, _) = self.look(desired, None).await?;
        let previous = release.status.clone().unwrap_or_default();
        let now = self.now();
        Ok(plan::plan(plan::Input {
            desired: &desired,
            observed: &observed,
            previous: &previous,
            now,
        }))
    }
}
