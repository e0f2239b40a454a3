//! Which Releases there are, and whether something about them changed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::resource::meta::ReleaseKey;
use crate::store::{Store, StoreError};

/// Lists the Releases of one namespace or all.
///
/// Namespaces come from the Environments. One without Environment is only found by reading the
/// whole table, so that is done at the start and then once for each resync.
pub struct List {
    only: Option<String>,
    resync: Duration,
    stray: BTreeSet<String>,
    searched: Option<Instant>,
}

impl List {
    /// Of this namespace only, or of all.
    pub fn new(only: Option<String>, resync: Duration) -> Self {
        Self {
            only,
            resync,
            stray: BTreeSet::new(),
            searched: None,
        }
    }

    /// Every Release with what changes whenever it does: its version, its Environment's, and
    /// whether somebody asks something.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn read(
        &mut self,
        store: &Store,
    ) -> Result<BTreeMap<ReleaseKey, String>, StoreError> {
        let environments = store.environment_versions().await?;
        self.search(store).await;
        let mut namespaces: BTreeSet<&String> = match &self.only {
            Some(only) => BTreeSet::from([only]),
            None => environments.keys().collect(),
        };
        namespaces.extend(&self.stray);
        let mut all = BTreeMap::new();
        for namespace in namespaces {
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

    /// Looks for namespaces that no Environment names.
    async fn search(&mut self, store: &Store) {
        let due = self.searched.is_none_or(|at| at.elapsed() >= self.resync);
        if self.only.is_some() || !due {
            return;
        }
        self.searched = Some(Instant::now());
        match store.namespaces().await {
            Ok(found) => self.stray = found,
            // The others are not kept waiting for it.
            Err(error) => {
                tracing::warn!(%error, "namespaces without Environment could not be searched for");
            }
        }
    }
}
