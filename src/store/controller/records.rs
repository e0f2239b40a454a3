//! The controller's records, one by one.

use serde_json::{Value, json};

use super::{ControllerStore, Refusal};
use crate::aws::dynamodb::{Condition, Write};
use crate::model::desired::Binding;
use crate::model::hook::PipelineJob;
use crate::model::ledger::{Claim, MigrationRun, Registration, Revision, Rollout};
use crate::resource::meta::ReleaseKey;
use crate::resource::status::ReleaseStatus;
use crate::store::objects::{BindingRecord, StatusRecord};
use crate::store::record::{still, to_item};
use crate::store::{ObjectRef, StoreError, Telling, keys};

/// Who holds a service or rule after a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// The Release that claimed it.
    Held,
    /// Another Release, which was first.
    HeldBy(ReleaseKey),
}

/// Attribute of a claim item by which its holder is told.
const HOLDER: &str = "holder";

impl ControllerStore {
    /// Writes a Release's status over the version `read` ([`StoredRelease::status_version`]), and
    /// returns the new version. The spec is not touched, and a spec write does not touch this.
    /// What people are to be told on account of it is written with it, or not at all.
    ///
    /// [`StoredRelease::status_version`]: crate::store::StoredRelease::status_version
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no Release of that name and `uid` any more;
    /// [`StoreError::Conflict`] when the status was written in between;
    /// [`StoreError::LostLease`].
    pub async fn put_status(
        &self,
        key: &ReleaseKey,
        uid: &str,
        status: &ReleaseStatus,
        telling: &Telling,
        read: u64,
    ) -> Result<u64, StoreError> {
        let version = read + 1;
        let record = StatusRecord {
            uid: uid.to_owned(),
            version,
            status: status.clone(),
            announced: telling.announced.clone(),
        };
        let item = to_item(&keys::status(key), &record)?;
        let mut writes = vec![
            Write::Check {
                key: keys::release(key),
                condition: Condition::Equals("uid", uid.into()),
            },
            Write::Put {
                item,
                condition: Some(still(read)),
            },
        ];
        writes.extend(telling.writes()?);
        match self.write(writes).await {
            Ok(()) => Ok(version),
            Err(Refusal::Condition(0)) => Err(StoreError::NotFound(format!(
                "{} with uid {uid}",
                ObjectRef::release(key)
            ))),
            Err(refusal) => Err(refusal.or_conflict(&format!("the status of {key}"))),
        }
    }

    /// Writes a revision over the version it was read with; returns it with the new one.
    ///
    /// # Errors
    /// [`StoreError::Conflict`], [`StoreError::LostLease`], or what became of the call.
    pub async fn put_revision(
        &self,
        key: &ReleaseKey,
        revision: &Revision,
    ) -> Result<Revision, StoreError> {
        let place = keys::revision(key, revision.number);
        let what = format!("revision {} of {key}", revision.number);
        self.put(&place, revision, revision.version, &what).await?;
        Ok(Revision {
            version: revision.version + 1,
            ..revision.clone()
        })
    }

    /// Forgets a revision. One that is gone already is as good as forgotten.
    ///
    /// # Errors
    /// [`StoreError::Conflict`], [`StoreError::LostLease`], or what became of the call.
    pub async fn delete_revision(
        &self,
        key: &ReleaseKey,
        revision: &Revision,
    ) -> Result<(), StoreError> {
        let write = Write::Delete {
            key: keys::revision(key, revision.number),
            condition: Some(Condition::Any(vec![
                Condition::Absent,
                still(revision.version),
            ])),
        };
        let what = format!("revision {} of {key}", revision.number);
        self.write(vec![write])
            .await
            .map_err(|refusal| refusal.or_conflict(&what))
    }

    /// Stores a task definition's content under its hash; content that is there stays.
    ///
    /// # Errors
    /// [`StoreError::LostLease`], or what became of the call.
    pub async fn put_definition(&self, hash: &str, content: &Value) -> Result<(), StoreError> {
        let item = to_item(
            &keys::definition(hash),
            &json!({ "content": content.to_string() }),
        )?;
        match self
            .write(vec![Write::Put {
                item,
                condition: Some(Condition::Absent),
            }])
            .await
        {
            Ok(()) | Err(Refusal::Condition(_)) => Ok(()),
            Err(Refusal::Error(error)) => Err(error),
        }
    }

    /// Writes a migration's run over the version it was read with; returns it with the new one.
    ///
    /// # Errors
    /// [`StoreError::Conflict`], [`StoreError::LostLease`], or what became of the call.
    pub async fn put_migration(
        &self,
        key: &ReleaseKey,
        run: &MigrationRun,
    ) -> Result<MigrationRun, StoreError> {
        let place = keys::migration(key, &run.kept_as(), &run.run_key);
        let what = format!("{} of {key}", run.resource());
        self.put(&place, run, run.version, &what).await?;
        Ok(MigrationRun {
            version: run.version + 1,
            ..run.clone()
        })
    }

    /// Forgets the run of a hook's task. One that is gone already is as good as forgotten.
    ///
    /// # Errors
    /// [`StoreError::Conflict`], [`StoreError::LostLease`], or what became of the call.
    pub async fn forget_run(&self, key: &ReleaseKey, run: &MigrationRun) -> Result<(), StoreError> {
        let write = Write::Delete {
            key: keys::migration(key, &run.kept_as(), &run.run_key),
            condition: Some(Condition::Any(vec![Condition::Absent, still(run.version)])),
        };
        let what = format!("{} of {key}", run.resource());
        self.write(vec![write])
            .await
            .map_err(|refusal| refusal.or_conflict(&what))
    }

    /// Writes the CodePipeline job over the version it was read with; returns it with the new one.
    ///
    /// # Errors
    /// [`StoreError::Conflict`], [`StoreError::LostLease`], or what became of the call.
    pub async fn put_job(
        &self,
        key: &ReleaseKey,
        job: &PipelineJob,
    ) -> Result<PipelineJob, StoreError> {
        let place = keys::pipeline_job(key);
        let what = format!("the pipeline job of {key}");
        self.put(&place, job, job.version, &what).await?;
        Ok(PipelineJob {
            version: job.version + 1,
            ..job.clone()
        })
    }

    /// Writes a service's newest rollout over the version it was read with; returns it with the
    /// new one.
    ///
    /// # Errors
    /// [`StoreError::Conflict`], [`StoreError::LostLease`], or what became of the call.
    pub async fn put_rollout(
        &self,
        key: &ReleaseKey,
        rollout: &Rollout,
    ) -> Result<Rollout, StoreError> {
        let place = keys::rollout(key, &rollout.service);
        let what = format!("the rollout of service {} of {key}", rollout.service);
        self.put(&place, rollout, rollout.version, &what).await?;
        Ok(Rollout {
            version: rollout.version + 1,
            ..rollout.clone()
        })
    }

    /// Writes a registration over the version it was read with; returns it with the new one.
    ///
    /// # Errors
    /// [`StoreError::Conflict`], [`StoreError::LostLease`], or what became of the call.
    pub async fn put_registration(
        &self,
        registration: &Registration,
    ) -> Result<Registration, StoreError> {
        let Registration {
            account,
            region,
            family,
            definition,
            version,
            ..
        } = registration;
        let place = keys::registration(account, region, family, definition);
        let what = format!("the registration of {definition} in family {family}");
        self.put(&place, registration, *version, &what).await?;
        Ok(Registration {
            version: version + 1,
            ..registration.clone()
        })
    }

    /// Claims an ECS service or rule for a Release, unless another one holds it. Claiming what is
    /// held already is fine.
    ///
    /// # Errors
    /// [`StoreError::LostLease`], or what became of the call.
    pub async fn claim(&self, claim: &Claim) -> Result<ClaimOutcome, StoreError> {
        let free = Condition::Any(vec![Condition::Absent, held_by(&claim.release)]);
        let mut item = to_item(&keys::claim(&claim.arn), claim)?;
        item.insert(HOLDER.to_owned(), claim.release.to_string().into());
        let mirror = to_item(&keys::claim_in_ledger(&claim.release, &claim.arn), claim)?;
        let writes = vec![
            Write::Put {
                item,
                condition: Some(free),
            },
            Write::Put {
                item: mirror,
                condition: None,
            },
        ];
        match self.write(writes).await {
            Ok(()) => Ok(ClaimOutcome::Held),
            Err(Refusal::Error(error)) => Err(error),
            Err(Refusal::Condition(_)) => match self.store.claim(&claim.arn).await? {
                Some(other) if other.release != claim.release => {
                    Ok(ClaimOutcome::HeldBy(other.release))
                }
                // Given back in this very moment: the next pass gets it.
                _ => Err(StoreError::Conflict(format!("the claim on {}", claim.arn))),
            },
        }
    }

    /// Gives a claim back; another Release's stays.
    ///
    /// # Errors
    /// [`StoreError::LostLease`], or what became of the call.
    pub async fn unclaim(&self, claim: &Claim) -> Result<(), StoreError> {
        let mirror = Write::Delete {
            key: keys::claim_in_ledger(&claim.release, &claim.arn),
            condition: None,
        };
        match self.write(vec![give_back(claim), mirror.clone()]).await {
            Ok(()) => Ok(()),
            Err(Refusal::Error(error)) => Err(error),
            // Somebody else's by now: only our own note of it goes.
            Err(Refusal::Condition(_)) => self
                .write(vec![mirror])
                .await
                .map_err(|refusal| refusal.or_conflict(&format!("the claim on {}", claim.arn))),
        }
    }

    /// Removes a request that was carried out.
    ///
    /// # Errors
    /// [`StoreError::LostLease`], or what became of the call.
    pub async fn finish_request(&self, key: &ReleaseKey, id: &str) -> Result<(), StoreError> {
        let write = Write::Delete {
            key: keys::request(key, id),
            condition: None,
        };
        self.write(vec![write])
            .await
            .map_err(|refusal| refusal.or_conflict(&format!("request {id} of {key}")))
    }

    /// Records where an Environment's Releases go, at its first use. Recording the same again is
    /// fine.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when something else is recorded; [`StoreError::NotFound`] without
    /// such an Environment; [`StoreError::LostLease`].
    pub async fn bind_environment(&self, name: &str, binding: &Binding) -> Result<(), StoreError> {
        let record = BindingRecord::from(binding);
        let item = to_item(&keys::binding(name), &record)?;
        let writes = vec![
            Write::Check {
                key: keys::environment(name),
                condition: Condition::Present,
            },
            Write::Put {
                item,
                condition: Some(Condition::Absent),
            },
        ];
        match self.write(writes).await {
            Ok(()) => Ok(()),
            Err(Refusal::Condition(0)) => Err(StoreError::NotFound(
                ObjectRef::environment(name).to_string(),
            )),
            Err(Refusal::Condition(_)) => {
                if self.store.binding(name).await?.as_ref() == Some(&record) {
                    return Ok(());
                }
                Err(StoreError::Conflict(format!(
                    "the recorded place of Environment {name}"
                )))
            }
            Err(Refusal::Error(error)) => Err(error),
        }
    }
}

/// Deletes a claim unless it is another Release's.
pub(super) fn give_back(claim: &Claim) -> Write {
    Write::Delete {
        key: keys::claim(&claim.arn),
        condition: Some(Condition::Any(vec![
            Condition::Absent,
            held_by(&claim.release),
        ])),
    }
}

fn held_by(release: &ReleaseKey) -> Condition {
    Condition::Equals(HOLDER, release.to_string().into())
}
