//! Series that go when their Release goes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::{Error, Registry};

use crate::resource::meta::ReleaseKey;

/// The values of the labels that follow `namespace` and `release`.
type Further = Vec<String>;

/// A family whose first labels are `namespace` and `release`. It remembers the further labels of
/// each Release, without which a series cannot be removed.
pub struct Series<F> {
    family: F,
    known: Mutex<BTreeMap<ReleaseKey, BTreeSet<Further>>>,
}

impl<T: MetricVecBuilder + 'static> Series<MetricVec<T>>
where
    MetricVec<T>: Collector,
{
    /// Registers the family.
    ///
    /// # Errors
    /// When one of that name is registered already.
    pub fn register(registry: &Registry, family: MetricVec<T>) -> Result<Self, Error> {
        registry.register(Box::new(family.clone()))?;
        Ok(Self {
            family,
            known: Mutex::default(),
        })
    }

    /// One of a Release's series, made if it is not there.
    pub fn of(&self, key: &ReleaseKey, further: &[&str]) -> T::M {
        let mut known = self.known();
        let of_release = known.entry(key.clone()).or_default();
        of_release.insert(further.iter().map(|&value| value.to_owned()).collect());
        self.family.with_label_values(&labels(key, further))
    }

    /// Removes those of a Release's series whose further labels `keep` does not want.
    pub fn retain(&self, key: &ReleaseKey, keep: impl Fn(&[String]) -> bool) {
        let mut known = self.known();
        let Some(of_release) = known.get_mut(key) else {
            return;
        };
        of_release.retain(|further| {
            let kept = keep(further);
            if !kept {
                // One that is not there is what was wanted.
                let _ = self.family.remove_label_values(&labels(key, further));
            }
            kept
        });
        if of_release.is_empty() {
            known.remove(key);
        }
    }

    /// Removes all series of a Release.
    pub fn forget(&self, key: &ReleaseKey) {
        self.retain(key, |_| false);
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<ReleaseKey, BTreeSet<Further>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn labels<'a>(key: &'a ReleaseKey, further: &'a [impl AsRef<str>]) -> Vec<&'a str> {
    let own = [key.namespace.as_str(), key.name.as_str()];
    own.into_iter()
        .chain(further.iter().map(AsRef::as_ref))
        .collect()
}
