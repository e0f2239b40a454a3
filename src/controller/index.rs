//! Which Releases an event concerns, by what their last passes looked at.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::Hash;

use super::events::{Concern, Place, cluster_name};
use super::list::Rules;
use crate::model::desired::Wanted;
use crate::model::interest::Interest;
use crate::resource::environment::ImageRule;
use crate::resource::image_ref::EcrRepository;
use crate::resource::meta::ReleaseKey;

/// Region and name of a service.
type ServiceName = (String, String);

/// The interests of all Releases, each way round.
///
/// A key too many costs a pass; one too few costs the wait for the resync. So where an event or an
/// interest leaves something open, it concerns the Release.
#[derive(Debug, Default)]
pub struct Index {
    interests: HashMap<ReleaseKey, Interest>,
    /// By cluster name.
    services: HashMap<ServiceName, HashMap<String, HashSet<ReleaseKey>>>,
    /// By `startedBy`.
    tasks: HashMap<String, HashSet<ReleaseKey>>,
    images: HashMap<EcrRepository, Watchers>,
    /// By the Release that is waited for.
    releases: HashMap<ReleaseKey, HashSet<ReleaseKey>>,
    rules: Rules,
}

/// Who looks at a repository.
#[derive(Debug, Default)]
struct Watchers {
    all: HashSet<ReleaseKey>,
    /// Those to whom every image of it matters.
    any: HashSet<ReleaseKey>,
    by_image: HashMap<Wanted, HashSet<ReleaseKey>>,
}

impl Index {
    /// Remembers what a Release looks at, in place of what it looked at before. Says whether it
    /// waits for others that it did not wait for.
    pub fn set(&mut self, key: ReleaseKey, interest: Interest) -> bool {
        let before = self.interests.get(&key);
        if before == Some(&interest) {
            return false;
        }
        let waits = match before {
            Some(before) => !interest.releases.is_subset(&before.releases),
            None => !interest.releases.is_empty(),
        };
        self.remove(&key);
        let cluster = cluster_name(&interest.cluster);
        for service in &interest.services {
            let name = (interest.region.clone(), service.clone());
            let clusters = self.services.entry(name).or_default();
            insert(clusters, &cluster, &key);
        }
        for task in &interest.tasks {
            insert(&mut self.tasks, task, &key);
        }
        for release in &interest.releases {
            insert(&mut self.releases, release, &key);
        }
        for (repository, images) in &interest.images {
            let watchers = self.images.entry(repository.clone()).or_default();
            watchers.all.insert(key.clone());
            if images.is_empty() {
                watchers.any.insert(key.clone());
            }
            for image in images {
                insert(&mut watchers.by_image, image, &key);
            }
        }
        for repository in &interest.repositories {
            let watchers = self.images.entry(repository.clone()).or_default();
            watchers.all.insert(key.clone());
            watchers.any.insert(key.clone());
        }
        self.interests.insert(key, interest);
        waits
    }

    /// Takes what the Environments say of which repository is for whom.
    pub fn rule(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// The Releases that a repository is for by a rule, where nobody has looked at them yet. They
    /// need not be there.
    fn ruled(&self, repository: &EcrRepository) -> Vec<ReleaseKey> {
        let of = |(namespace, rules): (&String, &Vec<ImageRule>)| {
            let named = rules.iter().filter_map(|it| it.applied(&repository.name));
            let keys = named.map(|(release, _)| ReleaseKey::new(namespace, &release));
            keys.collect::<Vec<_>>()
        };
        let keys = self.rules.iter().flat_map(of);
        keys.filter(|key| !self.interests.contains_key(key))
            .collect()
    }

    /// Forgets a Release.
    pub fn remove(&mut self, key: &ReleaseKey) {
        let Some(interest) = self.interests.remove(key) else {
            return;
        };
        let cluster = cluster_name(&interest.cluster);
        for service in interest.services {
            let name = (interest.region.clone(), service);
            if let Some(clusters) = self.services.get_mut(&name) {
                take(clusters, &cluster, key);
                if clusters.is_empty() {
                    self.services.remove(&name);
                }
            }
        }
        for task in &interest.tasks {
            take(&mut self.tasks, task, key);
        }
        for release in &interest.releases {
            take(&mut self.releases, release, key);
        }
        let none = BTreeSet::new();
        let listed = interest.repositories.iter().map(|it| (it, &none));
        for (repository, images) in interest.images.iter().chain(listed) {
            let Some(watchers) = self.images.get_mut(repository) else {
                continue;
            };
            watchers.all.remove(key);
            watchers.any.remove(key);
            for image in images {
                take(&mut watchers.by_image, image, key);
            }
            if watchers.all.is_empty() {
                self.images.remove(repository);
            }
        }
    }

    /// What a Release looks at, as its last pass told.
    pub fn interest(&self, key: &ReleaseKey) -> Option<&Interest> {
        self.interests.get(key)
    }

    /// The Releases that wait for this one, in order of their keys.
    pub fn waiting_for(&self, key: &ReleaseKey) -> BTreeSet<ReleaseKey> {
        self.releases
            .get(key)
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// The Releases that should look, in order of their keys.
    pub fn concerned(&self, concern: &Concern) -> Vec<ReleaseKey> {
        let found: BTreeSet<&ReleaseKey> = match concern {
            Concern::Service {
                place,
                cluster,
                service,
            } => self
                .of_service(place, cluster.as_deref(), service)
                .filter(|key| self.is_in(key, place))
                .collect(),
            Concern::Task {
                place, started_by, ..
            } => members(&self.tasks, started_by)
                .filter(|key| self.is_in(key, place))
                .collect(),
            Concern::Image {
                repository,
                tag,
                digest,
            } => self
                .images
                .get(repository)
                .into_iter()
                .flat_map(|watchers| watchers.of_image(tag.as_deref(), digest.as_deref()))
                .collect(),
        };
        let mut found: Vec<ReleaseKey> = found.into_iter().cloned().collect();
        if let Concern::Image { repository, .. } = concern {
            found.extend(self.ruled(repository));
            found.sort();
            found.dedup();
        }
        found
    }

    fn of_service<'a>(
        &'a self,
        place: &Place,
        cluster: Option<&str>,
        service: &str,
    ) -> Box<dyn Iterator<Item = &'a ReleaseKey> + 'a> {
        // An event without Region is none that AWS sends.
        let region = place.region.clone().unwrap_or_default();
        let clusters = self.services.get(&(region, service.to_owned()));
        match (clusters, cluster) {
            (None, _) => Box::new(std::iter::empty()),
            (Some(clusters), Some(cluster)) => Box::new(members(clusters, cluster)),
            (Some(clusters), None) => Box::new(clusters.values().flatten()),
        }
    }

    /// Whether a Release may look at this account and Region.
    fn is_in(&self, key: &ReleaseKey, place: &Place) -> bool {
        let Some(interest) = self.interests.get(key) else {
            return false;
        };
        let account = account(interest);
        let other =
            |known: &str, told: &Option<String>| told.as_ref().is_some_and(|it| it != known);
        !other(&interest.region, &place.region)
            && !account.is_some_and(|account| other(account, &place.account))
    }
}

impl Watchers {
    fn of_image<'a>(
        &'a self,
        tag: Option<&str>,
        digest: Option<&str>,
    ) -> Box<dyn Iterator<Item = &'a ReleaseKey> + 'a> {
        let Some(tag) = tag else {
            // Which tags it moved is not told.
            return Box::new(self.all.iter());
        };
        let by = |image: Wanted| self.by_image.get(&image).into_iter().flatten();
        let by_tag = by(Wanted::Tag(tag.to_owned()));
        let by_digest = digest.map(|digest| by(Wanted::Digest(digest.to_owned())));
        let any = self.any.iter();
        Box::new(any.chain(by_tag).chain(by_digest.into_iter().flatten()))
    }
}

/// The account of an interest, as far as the ARNs of its role and cluster tell.
fn account(interest: &Interest) -> Option<&str> {
    let of_arn = |arn| str::split(arn, ':').nth(4).filter(|it| !it.is_empty());
    let role = interest.access.role_arn.as_deref();
    of_arn(interest.cluster.as_str()).or_else(|| of_arn(role?))
}

fn members<'a>(
    sets: &'a HashMap<String, HashSet<ReleaseKey>>,
    of: &str,
) -> impl Iterator<Item = &'a ReleaseKey> + use<'a> {
    sets.get(of).into_iter().flatten()
}

fn insert<K: Clone + Eq + Hash>(
    sets: &mut HashMap<K, HashSet<ReleaseKey>>,
    of: &K,
    key: &ReleaseKey,
) {
    sets.entry(of.clone()).or_default().insert(key.clone());
}

fn take<K: Eq + Hash>(sets: &mut HashMap<K, HashSet<ReleaseKey>>, of: &K, key: &ReleaseKey) {
    if let Some(keys) = sets.get_mut(of) {
        keys.remove(key);
        if keys.is_empty() {
            sets.remove(of);
        }
    }
}

#[cfg(test)]
mod tests;
