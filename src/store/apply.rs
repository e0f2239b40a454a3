//! `apply`: three-way, per applier.
//!
//! An object is read, merged and checked; what comes of that is a [`Step`], and writing it is all
//! that is left. So what an apply would make can be told without making it.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::check;
use super::merge::{Divergence, diff, merge};
use super::objects::{self, BindingRecord};
use super::record::{LastApplied, Record, document, from_item, still, to_item};
use super::rejections::{Rejections, Writer};
use super::{
    Applied, ApplyOutcome, FieldChange, KeptField, ObjectRef, SetBy, Store, StoreError,
    StoredRelease, keys,
};
use crate::aws::dynamodb::{Key, Write, WriteError};
use crate::resource::environment::{EnvironmentSpec, cluster_name};
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
    /// Writes the file as it is, over what others set, and has it tried again where it was rejected
    /// or gone back from.
    pub force: bool,
    /// The time.
    pub now: Timestamp,
}

/// Writes that go with an object's, or why it may not be written.
type Guard<'a, Spec> = Box<dyn Fn(&Spec) -> Result<Vec<Write>, StoreError> + Send + Sync + 'a>;

impl Store {
    /// Applies a Release from a manifest. An unchanged manifest writes nothing.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when its Environment is missing (if the caller may know), when it
    /// is being deleted, when the manifest states a stale `resourceVersion`, when the merged spec is
    /// none, or when it was rejected or gone back from and is not forced.
    pub async fn apply_release(
        &self,
        manifest: &Release,
        options: &ApplyOptions,
    ) -> Result<Applied, StoreError> {
        let rejections = self.rejections(&manifest.release_key()).await?;
        let apply = self.release_apply(manifest, options, rejections);
        self.environment_is_there(&apply.object).await?;
        apply.run().await
    }

    /// Why applying a manifest would be refused of which something was rejected before, if so.
    ///
    /// # Errors
    /// When a call fails, or an item cannot be read.
    pub async fn refusal(
        &self,
        manifest: &Release,
        options: &ApplyOptions,
    ) -> Result<Option<String>, StoreError> {
        let rejections = self.rejections(&manifest.release_key()).await?;
        if rejections.is_empty() {
            return Ok(None);
        }
        let apply = self.release_apply(manifest, options, rejections);
        match apply.foresee().await {
            Ok(_) => Ok(None),
            Err(StoreError::Refused(why)) => Ok(Some(why)),
            Err(error) => Err(error),
        }
    }

    /// The Release that applying a manifest would make: read, merged and checked as
    /// [`Store::apply_release`] does it, and not written. Whether its Environment is there is not
    /// looked at: it may be among the files.
    ///
    /// # Errors
    /// As [`Store::apply_release`].
    pub async fn release_if_applied(
        &self,
        manifest: &Release,
        options: &ApplyOptions,
    ) -> Result<StoredRelease, StoreError> {
        let key = manifest.release_key();
        let status = self.table.get(&keys::status(&key)).await?;
        let rejections = Rejections::of(status.clone())?;
        let apply = self.release_apply(manifest, options, rejections);
        let step = apply.foresee().await?;
        objects::release(&key, step.record, status)
    }

    fn release_apply<'a>(
        &'a self,
        manifest: &'a Release,
        options: &'a ApplyOptions,
        rejections: Rejections,
    ) -> Apply<'a, ReleaseSpec> {
        let object = ObjectRef::release(&manifest.release_key());
        let checked = object.clone();
        Apply {
            store: self,
            object,
            metadata: &manifest.metadata,
            spec: &manifest.spec,
            options,
            rejections,
            guard: Box::new(move |spec| {
                check::valid(&checked, &check::release(&manifest.metadata, spec))?;
                Ok(Vec::new())
            }),
        }
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
        let binding = self.binding(&manifest.metadata.name).await?;
        let apply = self.environment_apply(manifest, options, binding.as_ref());
        apply.await?.run().await
    }

    /// The Environment that applying a manifest would make: as [`Store::release_if_applied`].
    ///
    /// # Errors
    /// As [`Store::apply_environment`].
    pub async fn environment_if_applied(
        &self,
        manifest: &Environment,
        options: &ApplyOptions,
    ) -> Result<Environment, StoreError> {
        let name = &manifest.metadata.name;
        let binding = self.binding(name).await?;
        let apply = self.environment_apply(manifest, options, binding.as_ref());
        let step = apply.await?.foresee().await?;
        let moves = step.writes.contains(&unbind(name));
        objects::environment(name, step.record, binding.filter(|_| !moves))
    }

    async fn environment_apply<'a>(
        &'a self,
        manifest: &'a Environment,
        options: &'a ApplyOptions,
        binding: Option<&'a BindingRecord>,
    ) -> Result<Apply<'a, EnvironmentSpec>, StoreError> {
        let name = &manifest.metadata.name;
        let object = ObjectRef::environment(name);
        let in_use = binding.is_some()
            && self
                .table
                .any(&keys::specs(name), keys::RELEASE_PREFIX)
                .await?;
        let checked = object.clone();
        Ok(Apply {
            store: self,
            object,
            metadata: &manifest.metadata,
            spec: &manifest.spec,
            options,
            rejections: Rejections::default(),
            guard: Box::new(move |spec| {
                check::valid(&checked, &check::environment(&manifest.metadata, spec))?;
                match binding {
                    Some(binding) => leave(&checked, binding, spec, in_use),
                    None => Ok(Vec::new()),
                }
            }),
        })
    }

    /// Refuses a Release whose Environment is missing. CI may be unable to read Environments; then
    /// the controller will tell.
    async fn environment_is_there(&self, object: &ObjectRef) -> Result<(), StoreError> {
        let namespace = object.namespace.as_deref().unwrap_or_default();
        match self.table.get(&keys::environment(namespace)).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(self.no_environment(object)),
            Err(error) if error.is_access_denied() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Why a Release without Environment is refused.
    pub fn no_environment(&self, object: &ObjectRef) -> StoreError {
        StoreError::Refused(format!(
            "{object}: there is no Environment {} in table {}: apply it first, or together with \
             the release",
            object.namespace.as_deref().unwrap_or_default(),
            self.table.name()
        ))
    }
}

/// What an Environment leaves behind when it moves, or why it may not move.
fn leave(
    object: &ObjectRef,
    binding: &BindingRecord,
    spec: &EnvironmentSpec,
    in_use: bool,
) -> Result<Vec<Write>, StoreError> {
    let same = spec.region == binding.region
        && spec
            .account
            .as_ref()
            .is_none_or(|account| *account == binding.account)
        && cluster_name(&spec.cluster) == cluster_name(&binding.cluster);
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
    Ok(vec![unbind(&object.name)])
}

fn unbind(name: &str) -> Write {
    Write::Delete {
        key: keys::binding(name),
        condition: None,
    }
}

/// One manifest on its way into the table.
struct Apply<'a, Spec> {
    store: &'a Store,
    object: ObjectRef,
    metadata: &'a ObjectMeta,
    spec: &'a Spec,
    options: &'a ApplyOptions,
    rejections: Rejections,
    guard: Guard<'a, Spec>,
}

/// What an apply comes to.
struct Step {
    /// What is told of it.
    applied: Applied,
    /// The object as it is then.
    record: Record,
    /// What has to be written; nothing for an unchanged file.
    writes: Vec<Write>,
}

impl<Spec: Serialize + DeserializeOwned> Apply<'_, Spec> {
    async fn run(&self) -> Result<Applied, StoreError> {
        for _ in 0..ATTEMPTS {
            let Step {
                applied, writes, ..
            } = self.foresee().await?;
            if writes.is_empty() || self.write(writes).await? {
                return Ok(applied);
            }
        }
        Err(StoreError::Conflict(self.object.to_string()))
    }

    /// The manifest as a document.
    fn file(&self) -> Result<Value, StoreError> {
        check::names(&self.object)?;
        check::applier(&self.options.applier)?;
        Ok(document(
            &self.metadata.labels,
            &self.metadata.annotations,
            &check::written(&self.object, self.spec)?,
        ))
    }

    /// Reads, merges and checks; writes nothing.
    async fn foresee(&self) -> Result<Step, StoreError> {
        let file = self.file()?;
        let record: Option<Record> = self.read(&keys::object(&self.object)).await?;
        let last = keys::applied(&self.object, &self.options.applier);
        let last: Option<LastApplied> = self.read(&last).await?;
        let last_version = last.as_ref().map_or(0, |last| last.version);
        self.check_against(record.as_ref())?;
        let Some(record) = record else {
            return self.create(&file, last_version);
        };
        let base = last
            .filter(|last| last.uid == record.uid)
            .map_or(Value::Null, |last| last.document);
        let merged = self.merged(&base, &file, &record)?;
        let kept = kept(&file, &merged, &record);
        let mut writes = Vec::new();
        if base != file {
            writes.push(self.last_applied(&record.uid, &file, last_version)?);
        }
        self.change(record, &merged, kept, writes)
    }

    async fn read<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, StoreError> {
        let found = self.store.table.get(key).await?;
        found.map(from_item).transpose()
    }

    /// The file, what this applier applied last and what is there, in one.
    fn merged(&self, base: &Value, file: &Value, record: &Record) -> Result<Value, StoreError> {
        let mut merged = if self.options.force {
            file.clone()
        } else {
            merge(base, file, &record.document())
        };
        merged["spec"] = check::canonical::<Spec>(&self.object, merged["spec"].take())
            .map_err(|error| self.explain(error))?;
        Ok(merged)
    }

    /// Whether the manifest speaks of what is there.
    fn check_against(&self, record: Option<&Record>) -> Result<(), StoreError> {
        let object = &self.object;
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

    /// What an object that is not there yet begins with.
    fn create(&self, file: &Value, last_version: u64) -> Result<Step, StoreError> {
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
        let mut writes = self.guard(&record.spec)?;
        writes.push(self.last_applied(&record.uid, file, last_version)?);
        writes.push(Write::Put {
            item: to_item(&keys::object(&self.object), &record)?,
            condition: Some(still(0)),
        });
        Ok(Step::new(ApplyOutcome::Created, record, writes))
    }

    /// What the merged document makes of the object that is there.
    fn change(
        &self,
        mut record: Record,
        merged: &Value,
        kept: Vec<KeptField>,
        mut writes: Vec<Write>,
    ) -> Result<Step, StoreError> {
        let key = keys::object(&self.object);
        let condition = still(record.version);
        let before = record.spec.clone();
        let changes = diff(&record.document(), merged);
        let outcome = if changes.is_empty() {
            let again = self.again(&record, &before)?;
            let outcome = match again {
                Some(_) => ApplyOutcome::TriedAgain,
                None => ApplyOutcome::Unchanged,
            };
            writes.extend(again);
            // What the applier's next apply is compared with must belong to what it saw.
            if !writes.is_empty() {
                writes.push(Write::Check { key, condition });
            }
            outcome
        } else {
            let guard = self.guard(&merged["spec"]);
            writes.extend(guard.map_err(|error| match kept.is_empty() {
                true => error,
                false => self.explain(error),
            })?);
            self.advance(&mut record, merged, &changes)?;
            writes.extend(self.again(&record, &before)?);
            let item = to_item(&key, &record)?;
            writes.push(Write::Put {
                item,
                condition: Some(condition),
            });
            ApplyOutcome::Configured
        };
        let mut step = Step::new(outcome, record, writes);
        step.applied.changes = changes.into_iter().map(FieldChange::from).collect();
        step.applied.kept = kept;
        Ok(step)
    }

    /// The request to try again what was turned down before, which has to be forced.
    fn again(&self, record: &Record, before: &Value) -> Result<Option<Write>, StoreError> {
        let ApplyOptions {
            applier,
            force,
            now,
            ..
        } = self.options;
        let writer = Writer {
            name: applier,
            force: *force,
            now: *now,
        };
        self.rejections.judge(&self.object, record, before, writer)
    }

    /// Puts the merged document into the record.
    fn advance(
        &self,
        record: &mut Record,
        merged: &Value,
        changes: &[Divergence],
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

    /// The write of what the applier's next apply is compared with.
    fn last_applied(&self, uid: &str, file: &Value, read: u64) -> Result<Write, StoreError> {
        let last = LastApplied {
            uid: uid.to_owned(),
            version: read + 1,
            document: file.clone(),
            at: self.options.now,
        };
        let key = keys::applied(&self.object, &self.options.applier);
        Ok(Write::Put {
            item: to_item(&key, &last)?,
            condition: Some(still(read)),
        })
    }

    fn guard(&self, spec: &Value) -> Result<Vec<Write>, StoreError> {
        (self.guard)(&check::typed(&self.object, spec.clone())?)
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

impl Step {
    fn new(outcome: ApplyOutcome, record: Record, writes: Vec<Write>) -> Self {
        Self {
            applied: Applied {
                outcome,
                generation: record.generation,
                resource_version: record.version.to_string(),
                changes: Vec::new(),
                kept: Vec::new(),
            },
            record,
            writes,
        }
    }
}

/// Where the result differs from the file, and who is the reason.
fn kept(file: &Value, merged: &Value, record: &Record) -> Vec<KeptField> {
    diff(file, merged)
        .into_iter()
        .map(|field| {
            let (in_file, in_table) = field.told();
            KeptField {
                set_by: record.set_by(&field.path).cloned(),
                path: field.path,
                in_file,
                in_table,
            }
        })
        .collect()
}

impl From<Divergence> for FieldChange {
    fn from(change: Divergence) -> Self {
        let (from, to) = change.told();
        Self {
            path: change.path,
            from,
            to,
        }
    }
}
