//! Releases that would wait for each other.

use std::collections::BTreeMap;

use super::{Store, StoreError};
use crate::resource::circle;
use crate::resource::meta::{Release, ReleaseKey};
use crate::resource::validate;

/// Most Releases of the table that are looked at.
const LIMIT: usize = 100;

impl Store {
    /// Refuses manifests that, applied together, would close a circle of Releases of the table that
    /// wait for each other. What the caller may not read closes none: the controller tells of it.
    ///
    /// # Errors
    /// [`StoreError::Refused`] naming the circle, or when a read fails.
    pub async fn refuse_circles(&self, manifests: &[&Release]) -> Result<(), StoreError> {
        let mut requires: BTreeMap<ReleaseKey, Vec<ReleaseKey>> = manifests
            .iter()
            .map(|release| (release.release_key(), validate::requires(release)))
            .collect();
        let own: Vec<ReleaseKey> = requires.keys().cloned().collect();
        let mut open: Vec<ReleaseKey> = requires.values().flatten().cloned().collect();
        while let Some(key) = open.pop() {
            if requires.contains_key(&key) || requires.len() >= own.len() + LIMIT {
                continue;
            }
            let found = match self.release(&key).await {
                Ok(Some(stored)) => validate::requires(&stored.release),
                Ok(None) | Err(StoreError::Malformed { .. }) => Vec::new(),
                Err(error) if error.is_access_denied() => Vec::new(),
                Err(error) => return Err(error),
            };
            open.extend(found.iter().cloned());
            requires.insert(key, found);
        }
        let of = |key: &ReleaseKey| requires.get(key).cloned().unwrap_or_default();
        match own.iter().find_map(|key| circle::way_back(key, of)) {
            None => Ok(()),
            Some(circle) => Err(StoreError::Refused(format!(
                "these releases would wait for each other: {}; take one of the requirements out",
                circle::told(&circle)
            ))),
        }
    }
}
