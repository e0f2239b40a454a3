//! Which Releases there are, and whether something about them changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::backoff::Pauses;
use crate::resource::environment::ImageRule;
use crate::resource::meta::ReleaseKey;
use crate::store::{Store, StoreError, version_in_list};

/// Every Release with what changes whenever it does: its version, its Environment's, and what is
/// asked.
pub type Listed = BTreeMap<ReleaseKey, String>;

/// Lists the Releases of one namespace or all.
///
/// Namespaces come from the Environments. One without Environment is only found by reading the
/// whole table, which [`List::search`] does.
#[derive(Debug)]
pub struct List {
    only: Option<String>,
    stray: Mutex<BTreeSet<String>>,
    rules: Mutex<Rules>,
}

/// The `imageRules` of each Environment that has any.
pub type Rules = BTreeMap<String, Vec<ImageRule>>;

impl List {
    /// Of this namespace only, or of all.
    pub fn new(only: Option<String>) -> Self {
        Self {
            only,
            stray: Mutex::default(),
            rules: Mutex::default(),
        }
    }

    /// What the Environments said when they were listed last.
    pub fn rules(&self) -> Rules {
        let rules = self.rules.lock();
        rules.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lists them.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn read(&self, store: &Store) -> Result<Listed, StoreError> {
        let environments = store.environments_with_rules().await?;
        let ruled = environments.iter().filter(|(_, (_, it))| !it.is_empty());
        let rules = ruled.map(|(name, (_, rules))| (name.clone(), rules.clone()));
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = rules.collect();
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
            let requested = store.open_requests(namespace).await?;
            let environment = environments.get(namespace);
            for (key, version) in releases {
                let asked = requested.get(&key.name).map_or(&[][..], Vec::as_slice);
                let environment = environment.map(|(version, _)| version.as_str());
                let version = version_in_list(&version, environment, asked);
                all.insert(key, version);
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

/// Whether the table is being listed, and what is asked of the next time.
#[derive(Debug, Default)]
pub struct Listing {
    under_way: bool,
    /// Something changed since it began, or it failed: it is to be done once more, for a sweep or
    /// not.
    again: Option<bool>,
    /// Not before this moment.
    not_before: Option<Instant>,
    pauses: Pauses,
}

impl Listing {
    /// Lists as soon as that can be.
    pub fn ask(&mut self, sweep: bool) {
        self.again = Some(sweep || self.again == Some(true));
    }

    /// Takes what is asked, if it can be done now.
    pub fn take(&mut self) -> Option<bool> {
        let early = self.not_before.is_some_and(|at| Instant::now() < at);
        if self.under_way || early {
            return None;
        }
        let sweep = self.again.take()?;
        self.under_way = true;
        Some(sweep)
    }

    /// Whether the table is being listed.
    pub fn is_under_way(&self) -> bool {
        self.under_way
    }

    /// Whatever is asked from now on waits until then.
    pub fn put_off(&mut self, until: Instant) {
        self.not_before = Some(until);
    }

    /// It was done.
    pub fn succeeded(&mut self) {
        self.under_way = false;
        self.pauses = Pauses::default();
    }

    /// It is done again after a while.
    pub fn failed(&mut self, sweep: bool) {
        self.under_way = false;
        self.not_before = Some(Instant::now() + self.pauses.next());
        self.ask(sweep);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_sweep_that_comes_while_the_table_is_listed_is_not_lost() {
        let mut listing = Listing::default();
        listing.ask(false);
        assert_eq!(listing.take(), Some(false));
        listing.ask(true);
        listing.ask(false);
        assert_eq!(listing.take(), None);
        listing.succeeded();
        assert_eq!(listing.take(), Some(true));
        listing.succeeded();
        assert_eq!(listing.take(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_is_put_off_while_another_is_made_waits() {
        let mut listing = Listing::default();
        listing.ask(false);
        assert_eq!(listing.take(), Some(false));
        listing.put_off(Instant::now() + Duration::from_secs(1));
        listing.ask(false);
        listing.succeeded();
        assert_eq!(listing.take(), None);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(listing.take(), Some(false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_failed_is_made_again_after_a_pause() {
        let mut listing = Listing::default();
        listing.ask(true);
        assert_eq!(listing.take(), Some(true));
        listing.failed(true);
        assert_eq!(listing.take(), None);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(listing.take(), Some(true));
    }
}
