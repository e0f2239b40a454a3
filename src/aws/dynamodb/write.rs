//! Conditional writes, one by one or several in a transaction.

use aws_sdk_dynamodb::error::{BuildError, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{CancellationReason, ConditionCheck, Delete, Put, TransactWriteItem};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use serde_json::Value;

use super::condition::{Condition, Expression};
use super::item::{MAX_ITEM_BYTES, size_of, to_attributes};
use super::{Item, Key, Pause, Table, TableError, WRITE_ID, WriteError};
use crate::aws::ErrorClass;

/// How many writes fit into one transaction.
pub const MAX_TRANSACTION: usize = 100;

/// One write, or one condition, of a call that does all or nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Puts an item whole.
    Put {
        /// The item, with `pk` and `sk`.
        item: Item,
        /// What must hold of the item that is there.
        condition: Option<Condition>,
    },
    /// Deletes an item; one that is not there counts as deleted unless the condition says else.
    Delete {
        /// Its key.
        key: Key,
        /// What must hold of it.
        condition: Option<Condition>,
    },
    /// Writes nothing; the condition must hold for the others to be done.
    Check {
        /// The item's key.
        key: Key,
        /// What must hold of it.
        condition: Condition,
    },
}

/// What came of sending.
enum Sent {
    ConditionFailed(usize),
    /// Another transaction touched one of the items in the same moment.
    Contended,
    Failed(TableError),
}

impl Table {
    /// Does all of the writes or none: one as a single call, several as a transaction.
    ///
    /// A transaction that met another one is sent again after a pause. When the answer was lost,
    /// or a condition fails that may have failed because of this very write, the item is read
    /// again and its write id tells which it was.
    ///
    /// # Errors
    /// [`WriteError::ConditionFailed`] with the place of the first write whose condition did not
    /// hold; else what became of the call.
    pub async fn write(&self, mut writes: Vec<Write>) -> Result<(), WriteError> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        for write in &mut writes {
            self.prepare(write, &id)?;
        }
        let mut pause = Pause::default();
        loop {
            let sent = match writes.as_slice() {
                [] => return Ok(()),
                [Write::Put { item, condition }] => self.put(item, condition.as_ref()).await,
                [Write::Delete { key, condition }] => self.delete(key, condition.as_ref()).await,
                several => self.transact(several, &id).await,
            };
            match sent {
                Ok(()) => return Ok(()),
                Err(Sent::Contended) if pause.take().await => {}
                Err(Sent::Contended) => {
                    let why = "other writers keep touching the same items";
                    let key = writes.last().map(key_of);
                    return Err(self
                        .unexpected(
                            operation_of(&writes),
                            key.as_ref(),
                            ErrorClass::Conflict,
                            why,
                        )
                        .into());
                }
                Err(Sent::ConditionFailed(index)) => {
                    return match self.landed(&writes, &id).await {
                        Ok(true) => Ok(()),
                        Ok(false) => Err(WriteError::ConditionFailed { index }),
                        Err(error) => Err(error.into()),
                    };
                }
                Err(Sent::Failed(error)) => {
                    let landed =
                        error.is_ambiguous() && self.landed(&writes, &id).await.unwrap_or(false);
                    return if landed { Ok(()) } else { Err(error.into()) };
                }
            }
        }
    }

    /// Stamps a put with the write's id, and refuses what DynamoDB would refuse.
    fn prepare(&self, write: &mut Write, id: &str) -> Result<(), TableError> {
        let Write::Put { item, .. } = write else {
            return Ok(());
        };
        item.insert(WRITE_ID.to_owned(), Value::String(id.to_owned()));
        let bytes = size_of(item);
        if bytes > MAX_ITEM_BYTES {
            let table = self.name().to_owned();
            return Err(TableError::TooLarge {
                table,
                key: Key::of(item),
                bytes,
            });
        }
        Ok(())
    }

    /// Whether a write was carried out, as its first put tells.
    async fn landed(&self, writes: &[Write], id: &str) -> Result<bool, TableError> {
        let put = writes.iter().find_map(|write| match write {
            Write::Put { item, .. } => Some(Key::of(item)),
            _ => None,
        });
        let Some(key) = put else { return Ok(false) };
        let found = self.get(&key).await?;
        Ok(found.is_some_and(|item| item.get(WRITE_ID).and_then(Value::as_str) == Some(id)))
    }

    async fn put(&self, item: &Item, condition: Option<&Condition>) -> Result<(), Sent> {
        let expression = Expression::of(condition);
        self.client
            .put_item()
            .table_name(self.name())
            .set_item(Some(to_attributes(item)))
            .set_condition_expression(expression.text)
            .set_expression_attribute_names(expression.names)
            .set_expression_attribute_values(expression.values)
            .send()
            .await
            .map(|_| ())
            .map_err(|error| single(self.failed("PutItem", Some(&Key::of(item)), error)))
    }

    async fn delete(&self, key: &Key, condition: Option<&Condition>) -> Result<(), Sent> {
        let expression = Expression::of(condition);
        self.client
            .delete_item()
            .table_name(self.name())
            .set_key(Some(key.attributes()))
            .set_condition_expression(expression.text)
            .set_expression_attribute_names(expression.names)
            .set_expression_attribute_values(expression.values)
            .send()
            .await
            .map(|_| ())
            .map_err(|error| single(self.failed("DeleteItem", Some(key), error)))
    }

    async fn transact(&self, writes: &[Write], id: &str) -> Result<(), Sent> {
        let items: Result<Vec<_>, BuildError> = writes
            .iter()
            .map(|write| transact_item(self.name(), write))
            .collect();
        let items =
            items.map_err(|error| Sent::Failed(self.unbuilt("TransactWriteItems", &error)))?;
        self.client
            .transact_write_items()
            .set_transact_items(Some(items))
            .client_request_token(id)
            .send()
            .await
            .map(|_| ())
            .map_err(|error| self.cancelled(writes, error))
    }

    fn cancelled(
        &self,
        writes: &[Write],
        error: SdkError<TransactWriteItemsError, HttpResponse>,
    ) -> Sent {
        let operation = "TransactWriteItems";
        let key = writes.iter().map(key_of).next_back();
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => self.reasons(
                cancelled.cancellation_reasons(),
                key.as_ref(),
                error.to_string(),
            ),
            Some(TransactWriteItemsError::TransactionInProgressException(_)) => Sent::Contended,
            _ => Sent::Failed(self.failed(operation, key.as_ref(), error)),
        }
    }

    /// Why a transaction was cancelled. A condition that failed comes first: trying again would
    /// not help.
    fn reasons(&self, reasons: &[CancellationReason], key: Option<&Key>, said: String) -> Sent {
        let has = |code: &str| {
            reasons
                .iter()
                .position(|reason| reason.code() == Some(code))
        };
        if let Some(index) = has("ConditionalCheckFailed") {
            return Sent::ConditionFailed(index);
        }
        let busy = [
            "TransactionConflict",
            "ThrottlingError",
            "ProvisionedThroughputExceeded",
        ];
        if busy.iter().any(|code| has(code).is_some()) {
            return Sent::Contended;
        }
        let message = reasons
            .iter()
            .find_map(CancellationReason::message)
            .unwrap_or(&said);
        Sent::Failed(self.unexpected("TransactWriteItems", key, ErrorClass::Refused, message))
    }
}

/// Sorts out the answers of single writes that are no failures of the call.
fn single(error: TableError) -> Sent {
    match error.aws().and_then(|error| error.code.as_deref()) {
        Some("ConditionalCheckFailedException") => Sent::ConditionFailed(0),
        Some("TransactionConflictException") => Sent::Contended,
        _ => Sent::Failed(error),
    }
}

/// The operation that does the writes.
fn operation_of(writes: &[Write]) -> &'static str {
    match writes {
        [Write::Put { .. }] => "PutItem",
        [Write::Delete { .. }] => "DeleteItem",
        _ => "TransactWriteItems",
    }
}

fn key_of(write: &Write) -> Key {
    match write {
        Write::Put { item, .. } => Key::of(item),
        Write::Delete { key, .. } | Write::Check { key, .. } => key.clone(),
    }
}

fn transact_item(table: &str, write: &Write) -> Result<TransactWriteItem, BuildError> {
    let built = TransactWriteItem::builder();
    Ok(match write {
        Write::Put { item, condition } => {
            let expression = Expression::of(condition.as_ref());
            let put = Put::builder()
                .table_name(table)
                .set_item(Some(to_attributes(item)))
                .set_condition_expression(expression.text)
                .set_expression_attribute_names(expression.names)
                .set_expression_attribute_values(expression.values);
            built.put(put.build()?).build()
        }
        Write::Delete { key, condition } => {
            let expression = Expression::of(condition.as_ref());
            let delete = Delete::builder()
                .table_name(table)
                .set_key(Some(key.attributes()))
                .set_condition_expression(expression.text)
                .set_expression_attribute_names(expression.names)
                .set_expression_attribute_values(expression.values);
            built.delete(delete.build()?).build()
        }
        Write::Check { key, condition } => {
            let expression = Expression::of(Some(condition));
            let check = ConditionCheck::builder()
                .table_name(table)
                .set_key(Some(key.attributes()))
                .set_condition_expression(expression.text)
                .set_expression_attribute_names(expression.names)
                .set_expression_attribute_values(expression.values);
            built.condition_check(check.build()?).build()
        }
    })
}
