//! Why a pass could not be made, and whether that is for good.

use super::observe::LookError;
use crate::aws::AwsError;
use crate::aws::error::ErrorClass;
use crate::resource::meta::ReleaseKey;
use crate::store::StoreError;

/// Why a pass could not be made, or not be finished.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// There is no such Release.
    #[error("release {0} does not exist")]
    NotFound(ReleaseKey),
    /// Its namespace names no Environment.
    #[error("environment {0} does not exist: apply an Environment of that name first")]
    EnvironmentNotFound(String),
    /// Nothing can be planned without its Environment.
    #[error(
        "environment {name} may not be read with these credentials, so what the controller would \
         do cannot be told: plan as somebody who may read it ({error})"
    )]
    EnvironmentDenied {
        /// The Environment's name.
        name: String,
        /// What the table answered.
        error: StoreError,
    },
    /// A manifest that was to be planned is not valid.
    #[error("{0}")]
    Invalid(String),
    /// A pass was to be made without the proof that its writes carry.
    #[error("nothing may be written: no lease is held for this pass")]
    NoLease,
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// AWS could not be asked at all.
    #[error(transparent)]
    Aws(#[from] AwsError),
}

impl From<LookError> for ReconcileError {
    fn from(error: LookError) -> Self {
        match error {
            LookError::Store(error) => ReconcileError::Store(error),
            LookError::Aws(error) => ReconcileError::Aws(error),
        }
    }
}

impl ReconcileError {
    /// Whether the pass ended because its lease is not held any more. Whoever holds it now goes on.
    pub fn is_lost_lease(&self) -> bool {
        matches!(
            self,
            ReconcileError::NoLease | ReconcileError::Store(StoreError::LostLease { .. })
        )
    }

    /// Whether nothing at all can be done until a person does something: the table or AWS does not
    /// let the controller in. What ails one Release alone is not final.
    pub fn is_final(&self) -> bool {
        match self {
            ReconcileError::Store(error @ StoreError::Aws(_)) => !error.is_transient(),
            ReconcileError::Aws(error) => error.class == ErrorClass::Credentials,
            _ => false,
        }
    }
}
