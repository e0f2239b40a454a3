//! One Release, one pass: load, observe, plan, execute, write status.

use crate::model::plan::Plan;
use crate::resource::meta::{Environment, Release, ReleaseKey};

/// Why a pass could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// There is no such Release.
    #[error("release {0} does not exist")]
    NotFound(ReleaseKey),
}

/// What a pass did.
#[derive(Debug)]
pub struct Pass {
    /// The decision that it followed.
    pub plan: Plan,
}

/// Reconciles single Releases.
pub struct Reconciler {}

impl Reconciler {
    /// What the next pass would do. Writes nothing.
    ///
    /// # Errors
    /// When the table or AWS cannot be read at all.
    pub async fn preview(&self, key: &ReleaseKey) -> Result<Plan, ReconcileError> {
        Err(ReconcileError::NotFound(key.clone()))
    }

    /// What the first pass would do if this manifest were applied. Writes nothing.
    ///
    /// # Errors
    /// When the table or AWS cannot be read at all.
    pub async fn preview_manifest(
        &self,
        release: &Release,
        environment: Option<&Environment>,
    ) -> Result<Plan, ReconcileError> {
        let _ = environment;
        Err(ReconcileError::NotFound(release.release_key()))
    }
}
