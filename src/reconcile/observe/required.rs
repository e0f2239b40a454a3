//! Releases that have to be ready first.

use std::collections::{BTreeSet, VecDeque};

use super::{Look, LookError};
use crate::model::known::Known;
use crate::model::ledger::RevisionOutcome;
use crate::model::observed::Required;
use crate::resource::conditions::{ConditionType, is_true};
use crate::resource::meta::ReleaseKey;
use crate::resource::validate;
use crate::store::{StoreError, StoredRelease};

/// Most Releases that are looked at for one, to find out whether they wait for each other.
const LIMIT: usize = 100;

impl Look<'_> {
    /// What the table says of Releases that a new revision waits for, and of those that these
    /// require. What has begun or ended waits for nobody.
    pub(super) async fn required(&mut self) -> Result<(), LookError> {
        let waits = self.current().is_none_or(|revision| {
            revision.outcome == RevisionOutcome::Pending && revision.begun_at.is_none()
        });
        if !waits {
            return Ok(());
        }
        let direct = self.desired.requires.iter();
        let direct: BTreeSet<ReleaseKey> = direct.map(|it| it.release.clone()).collect();
        let mut open: VecDeque<ReleaseKey> = direct.into_iter().collect();
        while let Some(key) = open.pop_front() {
            let known = &self.observed.required;
            if known.contains_key(&key) || key == self.desired.key || known.len() >= LIMIT {
                continue;
            }
            let found = match self.store.release(&key).await {
                Ok(Some(stored)) => Known::Present(required(&stored)),
                Ok(None) => Known::Absent,
                Err(error @ StoreError::Malformed { .. }) => Known::Unknown(error.to_string()),
                Err(error) => return Err(error.into()),
            };
            open.extend(
                found
                    .present()
                    .into_iter()
                    .flat_map(|it| it.requires.clone()),
            );
            // Whether it is in a circle is up to all of them.
            self.interest.releases.insert(key.clone());
            self.observed.required.insert(key, found);
        }
        Ok(())
    }
}

fn required(stored: &StoredRelease) -> Required {
    let generation = stored.generation();
    let status = stored.release.status.as_ref();
    let ready = status.is_some_and(|status| {
        status.observed_generation == Some(generation)
            && is_true(&status.conditions, ConditionType::Ready)
    });
    Required {
        generation,
        ready: (ready && stored.deleting.is_none()).then_some(generation),
        requires: validate::requires(&stored.release),
    }
}
