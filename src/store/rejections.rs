//! A spec that was rejected, or that people went back from, is not applied again by itself.
//!
//! The Release's status says which they are. Who says `--force` has the controller try it again: the
//! request goes into the table together with the spec, or alone where the spec is there already.

use jiff::Timestamp;
use serde_json::Value;

use super::objects::StatusRecord;
use super::record::{Record, from_item};
use super::{ObjectRef, Store, StoreError, check, keys};
use crate::aws::dynamodb::{Item, Write};
use crate::model::hash;
use crate::model::ledger::RequestKind;
use crate::resource::meta::ReleaseKey;
use crate::resource::release::ReleaseSpec;
use crate::resource::status::Rejection;

/// What was rejected of one object.
#[derive(Clone, Debug, Default)]
pub(super) struct Rejections {
    uid: String,
    list: Vec<Rejection>,
}

/// Who writes, and what they said about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writer<'a> {
    pub name: &'a str,
    pub force: bool,
    pub now: Timestamp,
}

impl Store {
    /// What was rejected of a Release. Who may not read its status is not told beforehand.
    pub(super) async fn rejections(&self, key: &ReleaseKey) -> Result<Rejections, StoreError> {
        let found = match self.table.get(&keys::status(key)).await {
            Ok(found) => found,
            Err(error) if error.is_access_denied() => None,
            Err(error) => return Err(error.into()),
        };
        Rejections::of(found)
    }
}

impl Rejections {
    /// Those that a status tells.
    pub fn of(status: Option<Item>) -> Result<Self, StoreError> {
        let Some(status) = status else {
            return Ok(Rejections::default());
        };
        let record: StatusRecord = from_item(status)?;
        Ok(Rejections {
            uid: record.uid,
            list: record.status.rejections,
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Judges a spec that is about to be written over `before`: refuses it where it was turned down
    /// and nobody forces it. Where somebody does, the request that goes with it is returned; its
    /// generation is the one of `record`.
    pub fn judge(
        &self,
        object: &ObjectRef,
        record: &Record,
        before: &Value,
        writer: Writer<'_>,
    ) -> Result<Option<Write>, StoreError> {
        let Some((spec, rejection)) = self.find(object, record, before)? else {
            return Ok(None);
        };
        if !writer.force {
            if rejection.only_images {
                return Ok(None);
            }
            return Err(StoreError::Refused(sentence(object, rejection)));
        }
        let generation = record.generation;
        let kind = RequestKind::TryAgain { generation, spec };
        let key = object.release_key();
        let (_, write) = super::requests::asked(&key, kind, writer.name, writer.now)?;
        Ok(Some(write))
    }

    /// What turned down the spec of `record`. Suspending and resuming is free: nothing is tried
    /// again by it.
    fn find(
        &self,
        object: &ObjectRef,
        record: &Record,
        before: &Value,
    ) -> Result<Option<(String, &Rejection)>, StoreError> {
        if self.list.is_empty() || self.uid != record.uid {
            return Ok(None);
        }
        let hash = |spec: &Value| -> Result<String, StoreError> {
            let spec: ReleaseSpec = check::typed(object, spec.clone())?;
            Ok(hash::of_spec(&spec))
        };
        let spec = hash(&record.spec)?;
        let found = self.list.iter().rev().find(|known| known.spec == spec);
        let Some(rejection) = found else {
            return Ok(None);
        };
        let only_suspends = record.spec != *before && hash(before).is_ok_and(|it| it == spec);
        Ok((!only_suspends).then_some((spec, rejection)))
    }
}

fn sentence(object: &ObjectRef, rejection: &Rejection) -> String {
    let Rejection {
        revision,
        generation,
        at,
        message,
        reason,
        ..
    } = rejection;
    let message = message.trim_end_matches('.');
    format!(
        "{object}: this very spec was turned down at {at} (revision {revision} of generation \
         {generation}, {reason}): {message}. Apply a fix instead, or say --force to have it tried \
         again"
    )
}
