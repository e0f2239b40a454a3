//! Which Releases there are, and whether something about them changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::resource::meta::ReleaseKey;
use crate::store::{Store, StoreError};

/// Every Release with what changes whenever it does: its version, its Environment's, and whether
/// somebody asks something.
pub type Listed = BTreeMap<ReleaseKey, String>;

/// Lists the Releases of one namespace or all.
///
/// Namespaces come from the Environments. One without Environment is only found by reading the
/// whole table, which [`List::search`] does.
#[derive(Debug)]
pub struct List {
    only: Option<String>,
    stray: Mutex<BTreeSet<String>>,
}

impl List {
    /// Of this namespace only, or of all.
    pub fn new(only: Option<String>) -> Self {
        Self {
            only,
            stray: Mutex::default(),
        }
    }

    /// Lists them.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn read(&self, store: &Store) -> Result<Listed, StoreError> {
        let environments = store.environment_versions().await?;
        let mut namespaces: BTreeSet<String> = match &self.only {
            Some(only) => BTreeSet::from([only.clone()]),
            None => environments.keys().cloned().collect(),
        };
        namespaces.extend(self.stray().iter().cloned());
        let mut all = BTreeMap::new();
        for namespace in &namespaces {
            let releases = store.release_versions(namespace).await?;
            if releases.is_empty() {
                continue;
            }
            let requested = store.requested(namespace).await?;
            let environment = environments.get(namespace);
            for (key, version) in releases {
                let asked = requested.contains(&key.name);
                let environment = environment.map_or("none", String::as_str);
                all.insert(key, format!("{version}/{environment}/{asked}"));
            }
        }
        Ok(all)
    }

    /// Looks through the whole table for namespaces that no Environment names. Says whether there
    /// are others than before; where it cannot be done, those that are known stay.
    pub async fn search(&self, store: &Store) -> bool {
        if self.only.is_some() {
            return false;
        }
        match store.namespaces().await {
            Ok(found) => {
                let mut stray = self.stray();
                let news = *stray != found;
                *stray = found;
                news
            }
            // The others are not kept waiting for it.
            Err(error) => {
                tracing::warn!(%error, "namespaces without Environment could not be searched for");
                false
            }
        }
    }

    fn stray(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.stray.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
