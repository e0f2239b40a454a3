//! `init`: the table and the installation's id.

use serde_json::json;

use super::record::to_item;
use super::{Store, StoreError, keys};
use crate::aws::dynamodb::{Condition, Repair, Write, WriteError};

/// What `init` did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitReport {
    /// The table's name.
    pub table: String,
    /// Its Region.
    pub region: String,
    /// Whether it was made; else it was there and was checked.
    pub created: bool,
    /// What was put right.
    pub repaired: Vec<Repair>,
    /// The installation's id, which is in the tags of what evenkeel owns.
    pub installation: String,
}

impl Store {
    /// Makes the table, or checks it and puts it right. May be run again at any time.
    ///
    /// # Errors
    /// When a call fails, or a table of that name is not evenkeel's.
    pub async fn init(&self) -> Result<InitReport, StoreError> {
        let there = self.table.describe().await?.is_some();
        let created = !there && self.table.create_table().await?;
        let mut repaired = self.table.repair().await?;
        if created {
            // Expiry cannot be asked for together with the table: turning it on repairs nothing.
            repaired.clear();
        }
        Ok(InitReport {
            table: self.table.name().to_owned(),
            region: self.table.region(),
            created,
            repaired,
            installation: self.establish().await?,
        })
    }

    /// The installation's id: what tells the rules of one table from those of another.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the table was never initialised.
    pub async fn installation(&self) -> Result<String, StoreError> {
        let refused = || {
            StoreError::Refused(format!(
                "table {} in {} was not made by evenkeel, or only half: run `evenkeel init`",
                self.table.name(),
                self.table.region()
            ))
        };
        self.recorded_installation().await?.ok_or_else(refused)
    }

    async fn recorded_installation(&self) -> Result<Option<String>, StoreError> {
        let item = self.table.get(&keys::installation()).await?;
        Ok(item.and_then(|item| Some(item.get("id")?.as_str()?.to_owned())))
    }

    /// Gives the installation an id, once and for all.
    async fn establish(&self) -> Result<String, StoreError> {
        if let Some(id) = self.recorded_installation().await? {
            return Ok(id);
        }
        let id = uuid::Uuid::new_v4().to_string();
        let item = to_item(&keys::installation(), &json!({ "id": id, "version": 1 }))?;
        match self
            .table
            .write(vec![Write::Put {
                item,
                condition: Some(Condition::Absent),
            }])
            .await
        {
            Ok(()) => Ok(id),
            Err(WriteError::ConditionFailed { .. }) => self.installation().await,
            Err(WriteError::Table(error)) => Err(error.into()),
        }
    }
}
