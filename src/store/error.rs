//! What can go wrong in the store, sorted by what to do about it.

use crate::aws::AwsError;
use crate::aws::dynamodb::{Key, TableError};

/// A read or write of the store that failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody wrote in between: read again and decide again.
    #[error("{0} was changed by somebody else in the meantime: read it again")]
    Conflict(String),
    /// The lease is not held any more: stop writing under it.
    #[error(
        "the lease of shard {shard} is lost (epoch {held}): another controller has taken over, or \
         it could not be renewed in time; nothing is written under it any more"
    )]
    LostLease {
        /// The shard.
        shard: u32,
        /// The epoch that was held.
        held: u64,
    },
    /// It is not there.
    #[error("{0} not found")]
    NotFound(String),
    /// It is there, or asked for, and may not be; the sentence says why and what to do.
    #[error("{0}")]
    Refused(String),
    /// An item that this version cannot read.
    #[error(
        "the item {key} cannot be read by this version of evenkeel ({why}): was it written by a \
         newer one, or by hand?"
    )]
    Malformed {
        /// Key of the item.
        key: Key,
        /// What is wrong with it.
        why: String,
    },
    /// The call failed.
    #[error(transparent)]
    Aws(#[from] TableError),
}

impl StoreError {
    /// The failed call to AWS, if there was one.
    pub fn aws(&self) -> Option<&AwsError> {
        match self {
            StoreError::Aws(error) => error.aws(),
            _ => None,
        }
    }

    /// Whether the credentials may not do what was tried.
    pub fn is_access_denied(&self) -> bool {
        matches!(self, StoreError::Aws(error) if error.is_access_denied())
    }

    /// Whether trying the same again later, without a person, may well help.
    pub fn is_transient(&self) -> bool {
        match self {
            StoreError::Conflict(_) => true,
            StoreError::Aws(error) => error.is_transient(),
            _ => false,
        }
    }
}
