//! `apply`: three-way, per applier.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::check;
use super::merge::{diff, merge};
use super::objects::BindingRecord;
use super::record::{LastApplied, Record, document, from_item, still, to_item};
use super::{
    Applied, ApplyOutcome, FieldChange, KeptField, ObjectRef, SetBy, Store, StoreError, keys,
};
use crate::aws::dynamodb::{Write, WriteError};
use crate::resource::environment::EnvironmentSpec;
use crate::resource::meta::{Environment, ObjectMeta, Release};
use crate::resource::release::ReleaseSpec;

/// How often a write that met another one is merged anew.
pub(super) const ATTEMPTS: usize = 10;

/// How a manifest is applied.
#[derive(Clone, Debug)]
pub struct ApplyOptions {
    /// Who applies: what this applier applied last is what the manifest is compared with.
    pub applier: String,
    /// The source revision the manifest comes from.
    pub source: Option<String>,
    /// Writes the file as it is, over what others set.
    pub force: bool,
    /// The time.
    pub now: Timestamp,
}

/// Writes that go with an object's, or why it may not be written.
type Guard<'a, Spec> = &'a (dyn Fn(&Spec) -> Result<Vec<Write>, StoreError> + Sync);

impl Store {
    /// Applies a Release from a manifest. An unchanged manifest writes nothing.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when its Environment is missing (if the caller may know), when it
    /// is being deleted, when the manifest states a stale `resourceVersion`, or when the merged
    /// spec is none.
    pub async fn apply_release(
        &self,
        manifest: &Release,
        options: &ApplyOptions,
    ) -> Result<Applied, StoreError> {
        let object = ObjectRef::release(&manifest.release_key());
        self.environment_is_there(&object).await?;
        let apply = Apply {
            store: self,
            object: &object,
            metadata: &manifest.metadata,
            spec: &manifest.spec,
            options,
            guard: &|spec: &ReleaseSpec| {
                check::valid(&object, &check::release(&manifest.metadata, spec))?;
                Ok(Vec::new())
            },
        };
        apply.run().await
    }

    /// Applies an Environment from a manifest. An unchanged manifest writes nothing.
    ///
    /// # Errors
    /// As [`Store::apply_release`]; and when it would move to another account, Region or cluster
    /// while Releases refer to it.
    pub async fn apply_environment(
        &self,
        manifest: &Environment,
        options: &ApplyOptions,
    ) -> Result<Applied, StoreError> {
        let name = &manifest.metadata.name;
        let object = ObjectRef::environment(name);
        let binding = self.binding(name).await?;
        let in_use = binding.is_some()
            && self
                .table
                .any(&keys::specs(name), keys::RELEASE_PREFIX)
                .await?;
        let guard = |spec: &EnvironmentSpec| {
            check::valid(&object, &check::environment(&manifest.metadata, spec))?;
            match &binding {
                Some(binding) => leave(&object, binding, spec, in_use),
                None => Ok(Vec::new()),
            }
        };
        let apply = Apply {
            store: self,
            object: &object,
            metadata: &manifest.metadata,
            spec: &manifest.spec,
            options,
            guard: &guard,
        };
        apply.run().await
    }

    /// Refuses a Release whose Environment is missing. CI may be unable to read Environments; then
    /// the controller will tell.
    async fn environment_is_there(&self, object: &ObjectRef) -> Result<(), StoreError> {
        let namespace = object.namespace.as_deref().unwrap_or_default();
        match self.table.get(&keys::environment(namespace)).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(StoreError::Refused(format!(
                "{object}: there is no Environment {namespace} in table {}: apply it first",
                self.table.name()
            ))),
            Err(error) if error.is_access_denied() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// What an Environment leaves behind when it moves, or why it may not move.
fn leave(
    object: &ObjectRef,
    binding: &BindingRecord,
    spec: &EnvironmentSpec,
    in_use: bool,
) -> Result<Vec<Write>, StoreError> {
    let short = |cluster: &str| cluster.rsplit('/').next().unwrap_or_default().to_owned();
    let same = spec.region == binding.region
        && spec
            .account
            .as_ref()
            .is_none_or(|account| *account == binding.account)
        && short(&spec.cluster) == short(&binding.cluster);
    if same {
        return Ok(Vec::new());
    }
    if in_use {
        return Err(StoreError::Refused(format!(
            "{object}: its Releases went to cluster {} in {} of account {}, and it cannot move \
             while Releases refer to it: delete them first, or make another Environment",
            binding.cluster, binding.region, binding.account
        )));
    }
    Ok(vec![Write::Delete {
        key: keys::binding(&object.name),
        condition: None,
    }])
}

/// One manifest on its way into the table.
struct Apply<'a, Spec> {
    store: &'a Store,
    object: &'a ObjectRef,
    metadata: &'a ObjectMeta,
    spec: &'a Spec,
    options: &'a ApplyOptions,
    guard: Guard<'a, Spec>,
}

impl<Spec: Serialize + DeserializeOwned> Apply<'_, Spec> {
    async fn run(&self) -> Result<Applied, StoreError> {
        check::names(self.object)?;
        check::applier(&self.options.applier)?;
        let file = document(
            &self.metadata.labels,
            &self.metadata.annotations,
            &check::written(self.object, self.spec)?,
        );
        for _ in 0..ATTEMPTS {
            if let Some(applied) = self.attempt(&file).await? {
                return Ok(applied);
            }
        }
        Err(StoreError::Conflict(self.object.to_string()))
    }

    /// Reads, merges and writes once; `None` when somebody else wrote in between.
    async fn attempt(&self, file: &Value) -> Result<Option<Applied>, StoreError> {
        let Self {
            store,
            object,
            options,
            ..
        } = self;
        let applied_key = keys::applied(object, &options.applier);
        let record: Option<Record> = store
            .table
            .get(&keys::object(object))
            .await?
            .map(from_item)
            .transpose()?;
        let last: Option<LastApplied> = store
            .table
            .get(&applied_key)
            .await?
            .map(from_item)
            .transpose()?;
        let last_version = last.as_ref().map_or(0, |last| last.version);
        self.check_against(record.as_ref())?;

        let Some(mut record) = record else {
            return self.create(file, last_version).await;
        };
        let base = last
            .filter(|last| last.uid == record.uid)
            .map_or(Value::Null, |last| last.document);
        let table = record.document();
        let mut merged = if options.force {
            file.clone()
        } else {
            merge(&base, file, &table)
        };
        merged["spec"] = check::canonical::<Spec>(self.object, merged["spec"].take())
            .map_err(|error| self.explain(error))?;
        let changes = diff(&table, &merged);
        let kept = kept(file, &merged, &record);
        let mut writes = Vec::new();
        if base != *file {
            let last = self.last_applied(&record.uid, file, last_version);
            let item = to_item(&applied_key, &last)?;
            writes.push(Write::Put {
                item,
                condition: Some(still(last_version)),
            });
        }
        let key = keys::object(object);
        let read = record.version;
        if changes.is_empty() {
            if writes.is_empty() {
                return Ok(Some(unchanged(&record, kept)));
            }
            // What the applier's next apply is compared with must belong to what it saw.
            writes.push(Write::Check {
                key,
                condition: still(read),
            });
        } else {
            let guard = self.guard(&merged["spec"]);
            writes.extend(guard.map_err(|error| match kept.is_empty() {
                true => error,
                false => self.explain(error),
            })?);
            self.advance(&mut record, &merged, &changes)?;
            let item = to_item(&key, &record)?;
            writes.push(Write::Put {
                item,
                condition: Some(still(read)),
            });
        }
        if !self.write(writes).await? {
            return Ok(None);
        }
        if changes.is_empty() {
            return Ok(Some(unchanged(&record, kept)));
        }
        Ok(Some(Applied {
            outcome: ApplyOutcome::Configured,
            generation: record.generation,
            resource_version: record.version.to_string(),
            changes: changes.into_iter().map(FieldChange::from).collect(),
            kept,
        }))
    }

    /// Whether the manifest speaks of what is there.
    fn check_against(&self, record: Option<&Record>) -> Result<(), StoreError> {
        let object = self.object;
        let stated = self.metadata.resource_version.as_deref();
        let Some(record) = record else {
            return match stated {
                Some(version) => Err(StoreError::Refused(format!(
                    "{object}: the file states resourceVersion {version}, but the object is not \
                     there: was it deleted? Remove resourceVersion from the file to make it anew"
                ))),
                None => Ok(()),
            };
        };
        if let Some(at) = record.deletion_timestamp {
            return Err(StoreError::Refused(format!(
                "{object} is being deleted since {at}: wait until it is gone, then apply again"
            )));
        }
        if let Some(uid) = self
            .metadata
            .uid
            .as_deref()
            .filter(|uid| *uid != record.uid)
        {
            return Err(StoreError::Refused(format!(
                "{object}: the file speaks of uid {uid}, but the one in the table is {}: it was \
                 deleted and made anew; remove uid from the file if it is meant for this one",
                record.uid
            )));
        }
        match stated {
            Some(version) if version != record.version.to_string() => {
                Err(StoreError::Refused(format!(
                    "{object}: the file states resourceVersion {version}, but it is {} now: \
                     somebody changed it since; get it again, or remove resourceVersion from the \
                     file to merge",
                    record.version
                )))
            }
            _ => Ok(()),
        }
    }

    async fn create(&self, file: &Value, last_version: u64) -> Result<Option<Applied>, StoreError> {
        let ApplyOptions {
            applier,
            source,
            now,
            ..
        } = self.options;
        let mut record = Record {
            uid: uuid::Uuid::new_v4().to_string(),
            generation: 1,
            version: 1,
            labels: self.metadata.labels.clone(),
            annotations: self.metadata.annotations.clone(),
            spec: file["spec"].clone(),
            created_at: *now,
            applied_at: *now,
            applier: Some(applier.clone()),
            source: source.clone(),
            manager: Some(applier.clone()),
            deletion_timestamp: None,
            orphan: false,
            set_by: super::FieldOwnership::new(),
        };
        for root in ["metadata", "spec"] {
            let by = SetBy {
                applier: applier.clone(),
                at: *now,
                removed: false,
            };
            record.set_by.insert(root.to_owned(), by);
        }
        let last = self.last_applied(&record.uid, file, last_version);
        let mut writes = self.guard(&record.spec)?;
        writes.push(Write::Put {
            item: to_item(&keys::applied(self.object, applier), &last)?,
            condition: Some(still(last_version)),
        });
        writes.push(Write::Put {
            item: to_item(&keys::object(self.object), &record)?,
            condition: Some(still(0)),
        });
        Ok(self.write(writes).await?.then(|| Applied {
            outcome: ApplyOutcome::Created,
            generation: 1,
            resource_version: record.version.to_string(),
            changes: Vec::new(),
            kept: Vec::new(),
        }))
    }

    /// Puts the merged document into the record.
    fn advance(
        &self,
        record: &mut Record,
        merged: &Value,
        changes: &[super::merge::Divergence],
    ) -> Result<(), StoreError> {
        let ApplyOptions {
            applier,
            source,
            now,
            ..
        } = self.options;
        record.version += 1;
        record.manager = Some(applier.clone());
        if record.set_document(merged)? {
            record.generation += 1;
            record.applier = Some(applier.clone());
            record.source.clone_from(source);
            record.applied_at = *now;
        }
        record.note(changes, applier, *now);
        Ok(())
    }

    /// Why a file that is valid by itself may not be: the fields that others set.
    fn explain(&self, error: StoreError) -> StoreError {
        let StoreError::Refused(sentence) = error else {
            return error;
        };
        StoreError::Refused(format!(
            "{sentence}. Fields that others set since are kept: look at them with `get {} -o \
             yaml`, or apply with --force to write the file as it is",
            self.object.name
        ))
    }

    fn last_applied(&self, uid: &str, file: &Value, version: u64) -> LastApplied {
        LastApplied {
            uid: uid.to_owned(),
            version: version + 1,
            document: file.clone(),
            at: self.options.now,
        }
    }

    fn guard(&self, spec: &Value) -> Result<Vec<Write>, StoreError> {
        (self.guard)(&check::typed(self.object, spec.clone())?)
    }

    /// Writes; says whether nobody had written in between.
    async fn write(&self, writes: Vec<Write>) -> Result<bool, StoreError> {
        match self.store.table.write(writes).await {
            Ok(()) => Ok(true),
            Err(WriteError::ConditionFailed { .. }) => Ok(false),
            Err(WriteError::Table(error)) => Err(error.into()),
        }
    }
}

fn unchanged(record: &Record, kept: Vec<KeptField>) -> Applied {
    Applied {
        outcome: ApplyOutcome::Unchanged,
        generation: record.generation,
        resource_version: record.version.to_string(),
        changes: Vec::new(),
        kept,
    }
}

/// Where the result differs from the file, and who is the reason.
fn kept(file: &Value, merged: &Value, record: &Record) -> Vec<KeptField> {
    diff(file, merged)
        .into_iter()
        .map(|field| KeptField {
            set_by: record.set_by(&field.path).cloned(),
            path: field.path,
            in_file: field.left,
            in_table: field.right,
        })
        .collect()
}

impl From<super::merge::Divergence> for FieldChange {
    fn from(change: super::merge::Divergence) -> Self {
        Self {
            path: change.path,
            from: change.left,
            to: change.right,
        }
    }
}
