//! Which Releases there are, and whether something about them changed.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::Mutex;

use crate::resource::meta::ReleaseKey;
use crate::store::{Store, StoreError};

/// Every Release with what changes whenever it does: its version, its Environment's, and whether
/// somebody asks something.
pub type Listed = BTreeMap<ReleaseKey, String>;

/// Lists the Releases of one namespace or all.
///
/// Namespaces come from the Environments. One without Environment is only found by reading the
/// whole table, so that is done at the start and then once for each sweep.
#[derive(Debug)]
pub struct List {
    only: Option<String>,
    stray: Option<BTreeSet<String>>,
}

impl List {
    /// Of this namespace only, or of all.
    pub fn new(only: Option<String>) -> Self {
        Self { only, stray: None }
    }

    /// Lists them. With `whole` the whole table is searched for namespaces that no Environment
    /// names, as it is at the first time anyway.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn read(
        this: &Mutex<Self>,
        store: &Store,
        whole: bool,
    ) -> Result<Listed, StoreError> {
        let mut list = this.lock().await;
        let environments = store.environment_versions().await?;
        if list.only.is_none() && (whole || list.stray.is_none()) {
            list.search(store).await;
        }
        let mut namespaces: BTreeSet<&String> = match &list.only {
            Some(only) => BTreeSet::from([only]),
            None => environments.keys().collect(),
        };
        namespaces.extend(list.stray.iter().flatten());
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

    async fn search(&mut self, store: &Store) {
        match store.namespaces().await {
            Ok(found) => self.stray = Some(found),
            // The others are not kept waiting for it.
            Err(error) => {
                self.stray.get_or_insert_default();
                tracing::warn!(%error, "namespaces without Environment could not be searched for");
            }
        }
    }
}
