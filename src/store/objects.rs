//! Reading Environments and Releases.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::record::{Record, from_item};
use super::{Store, StoreError, StoredRelease, UnreadableRelease, keys};
use crate::aws::dynamodb::{Item, Key};
use crate::model::desired::{Binding, Deletion};
use crate::model::notice::Announced;
use crate::resource::environment::EnvironmentStatus;
use crate::resource::environment::ImageRule;
use crate::resource::meta::{Environment, Kind, ReleaseKey};
use crate::resource::status::ReleaseStatus;

/// Where an Environment's Releases went at its first use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BindingRecord {
    pub account: String,
    pub region: String,
    pub cluster: String,
}

impl From<&Binding> for BindingRecord {
    fn from(binding: &Binding) -> Self {
        let Binding {
            account,
            region,
            cluster,
        } = binding.clone();
        Self {
            account,
            region,
            cluster,
        }
    }
}

impl From<BindingRecord> for EnvironmentStatus {
    fn from(binding: BindingRecord) -> Self {
        EnvironmentStatus {
            account: Some(binding.account),
            region: Some(binding.region),
            cluster: Some(binding.cluster),
            conditions: Vec::new(),
        }
    }
}

/// A Release's status as stored, in an item of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusRecord {
    /// The object it speaks of: one made anew under the same name is another.
    pub uid: String,
    pub version: u64,
    pub status: ReleaseStatus,
    /// What people have been told.
    #[serde(default, skip_serializing_if = "Announced::is_empty")]
    pub announced: Announced,
}

impl Store {
    /// Every Environment, by name, with what was recorded at its first use.
    ///
    /// # Errors
    /// When a call fails, or an item cannot be read.
    pub async fn environments(&self) -> Result<Vec<Environment>, StoreError> {
        let found = self
            .table
            .query(keys::ENVIRONMENTS, keys::ENVIRONMENT_PREFIX)
            .await?;
        let mut bindings = BTreeMap::new();
        for item in self.table.query(keys::BINDINGS, "").await? {
            bindings.insert(Key::of(&item).sk, from_item::<BindingRecord>(item)?);
        }
        let with_binding = |item: Item| {
            let name = name_of(&item, keys::ENVIRONMENT_PREFIX);
            let binding = bindings.remove(&name);
            environment(&name, from_item(item)?, binding)
        };
        found.into_iter().map(with_binding).collect()
    }

    /// One Environment.
    ///
    /// # Errors
    /// When a call fails, or the item cannot be read.
    pub async fn environment(&self, name: &str) -> Result<Option<Environment>, StoreError> {
        let Some(item) = self.table.get(&keys::environment(name)).await? else {
            return Ok(None);
        };
        let binding = self.binding(name).await?;
        environment(name, from_item(item)?, binding).map(Some)
    }

    pub(super) async fn binding(&self, name: &str) -> Result<Option<BindingRecord>, StoreError> {
        self.table
            .get(&keys::binding(name))
            .await?
            .map(from_item)
            .transpose()
    }

    /// Every Release of a namespace, by name, with its status.
    ///
    /// # Errors
    /// When a call fails, or an item cannot be read.
    pub async fn releases(&self, namespace: &str) -> Result<Vec<StoredRelease>, StoreError> {
        // Statuses first: one that is older than its spec says so by its observedGeneration, while
        // a newer one would speak of a generation that the spec read before it does not have yet.
        let mut statuses = BTreeMap::new();
        for item in self
            .table
            .query(&keys::statuses(namespace), keys::RELEASE_PREFIX)
            .await?
        {
            statuses.insert(name_of(&item, keys::RELEASE_PREFIX), item);
        }
        let found = self
            .table
            .query(&keys::specs(namespace), keys::RELEASE_PREFIX)
            .await?;
        let with_status = |item: Item| {
            let key = ReleaseKey::new(namespace, name_of(&item, keys::RELEASE_PREFIX));
            let status = statuses.remove(&key.name);
            release(&key, from_item(item)?, status)
        };
        found.into_iter().map(with_status).collect()
    }

    /// One Release, with its status.
    ///
    /// # Errors
    /// When a call fails, or an item cannot be read.
    pub async fn release(&self, key: &ReleaseKey) -> Result<Option<StoredRelease>, StoreError> {
        let status = self.table.get(&keys::status(key)).await?;
        let Some(item) = self.table.get(&keys::release(key)).await? else {
            return Ok(None);
        };
        release(key, from_item(item)?, status).map(Some)
    }

    /// Every namespace that holds a Release, whether it has an Environment or not. Reads the whole
    /// table: nothing else leads to a namespace without Environment.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn namespaces(&self) -> Result<BTreeSet<String>, StoreError> {
        let partitions = self
            .table
            .partitions(keys::SPECS_PREFIX, keys::RELEASE_PREFIX)
            .await?;
        let names = partitions
            .iter()
            .filter_map(|pk| pk.strip_prefix(keys::SPECS_PREFIX));
        Ok(names.map(str::to_owned).collect())
    }

    /// The names of the Environments, each with its version.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn environment_versions(&self) -> Result<BTreeMap<String, String>, StoreError> {
        let found = self.environments_with_rules().await?;
        let version = |(name, (version, _))| (name, version);
        Ok(found.into_iter().map(version).collect())
    }

    /// The same with their `imageRules`, as far as this evenkeel can read them.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn environments_with_rules(
        &self,
    ) -> Result<BTreeMap<String, (String, Vec<ImageRule>)>, StoreError> {
        let found = self
            .table
            .query(keys::ENVIRONMENTS, keys::ENVIRONMENT_PREFIX)
            .await?;
        let rules = |item: &Item| {
            let rules = item.get("spec")?.get("imageRules")?;
            serde_json::from_value(rules.clone()).ok()
        };
        let named = |item: &Item| {
            let name = name_of(item, keys::ENVIRONMENT_PREFIX);
            (name, (version_of(item), rules(item).unwrap_or_default()))
        };
        Ok(found.iter().map(named).collect())
    }

    /// The Releases of a namespace, each with its version; also those that this evenkeel cannot
    /// read.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn release_versions(
        &self,
        namespace: &str,
    ) -> Result<BTreeMap<ReleaseKey, String>, StoreError> {
        let found = self
            .table
            .versions(&keys::specs(namespace), keys::RELEASE_PREFIX)
            .await?;
        let named = |item: &Item| {
            let key = ReleaseKey::new(namespace, name_of(item, keys::RELEASE_PREFIX));
            (key, version_of(item))
        };
        Ok(found.iter().map(named).collect())
    }

    /// What can be known of a Release whose spec cannot be read.
    ///
    /// # Errors
    /// When a call fails, or more than its spec cannot be read.
    pub async fn unreadable_release(
        &self,
        key: &ReleaseKey,
    ) -> Result<Option<UnreadableRelease>, StoreError> {
        let status = self.table.get(&keys::status(key)).await?;
        let Some(item) = self.table.get(&keys::release(key)).await? else {
            return Ok(None);
        };
        let record: Record = from_item(item)?;
        let (status, announced, status_version) = status_of(&record, status)?;
        Ok(Some(UnreadableRelease {
            deleting: deletion_of(&record),
            generation: record.generation,
            uid: record.uid,
            status,
            status_version,
            announced,
        }))
    }

    /// Every Release of every Environment, by namespace and name.
    ///
    /// # Errors
    /// When a call fails, or an item cannot be read.
    pub async fn list(&self) -> Result<Vec<StoredRelease>, StoreError> {
        let mut all = Vec::new();
        for item in self
            .table
            .query(keys::ENVIRONMENTS, keys::ENVIRONMENT_PREFIX)
            .await?
        {
            let namespace = name_of(&item, keys::ENVIRONMENT_PREFIX);
            all.extend(self.releases(&namespace).await?);
        }
        Ok(all)
    }
}

pub(super) fn name_of(item: &Item, prefix: &str) -> String {
    let sk = Key::of(item).sk;
    sk.strip_prefix(prefix).unwrap_or(&sk).to_owned()
}

/// The version of an object's item, whatever else is in it.
fn version_of(item: &Item) -> String {
    item.get("version")
        .map(ToString::to_string)
        .unwrap_or_default()
}

/// The version of everything that people wrote of a Release: of its own item, of its Environment's,
/// and the ids of what is asked of it. Lists of the table are compared by it.
pub fn version_in_list(release: &str, environment: Option<&str>, asked: &[String]) -> String {
    let (environment, asked) = (environment.unwrap_or("none"), asked.join(","));
    format!("{release}/{environment}/{asked}")
}

/// The status of this very object, what people have been told of it, and the version of the status
/// item.
fn status_of(
    record: &Record,
    status: Option<Item>,
) -> Result<(Option<ReleaseStatus>, Announced, u64), StoreError> {
    let status: Option<StatusRecord> = status.map(from_item).transpose()?;
    let version = status.as_ref().map_or(0, |status| status.version);
    let status = status.filter(|status| status.uid == record.uid);
    let (status, announced) = status.map(|it| (it.status, it.announced)).unzip();
    Ok((status, announced.unwrap_or_default(), version))
}

fn deletion_of(record: &Record) -> Option<Deletion> {
    record.deletion_timestamp.map(|since| Deletion {
        orphan: record.orphan,
        since,
    })
}

/// An Environment of what is stored of it.
pub(super) fn environment(
    name: &str,
    record: Record,
    binding: Option<BindingRecord>,
) -> Result<Environment, StoreError> {
    record.object(
        &keys::environment(name),
        (Kind::Environment, name.to_owned(), None),
        binding.map(EnvironmentStatus::from),
    )
}

/// A Release of what is stored of it.
pub(super) fn release(
    key: &ReleaseKey,
    record: Record,
    status: Option<Item>,
) -> Result<StoredRelease, StoreError> {
    let (status, announced, status_version) = status_of(&record, status)?;
    let deleting = deletion_of(&record);
    let ReleaseKey { namespace, name } = key.clone();
    let metadata = (Kind::Release, name, Some(namespace));
    Ok(StoredRelease {
        release: record.object(&keys::release(key), metadata, status)?,
        status_version,
        announced,
        deleting,
        applier: record.applier,
        source: record.source,
        applied_at: record.applied_at,
        manager: record.manager,
        set_by: record.set_by,
    })
}
