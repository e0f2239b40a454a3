//! What never changes, kept for as long as there is room.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use moka::policy::EvictionPolicy;
use serde_json::Value;
use tokio::time::Instant;

use super::Place;
use crate::model::observed::{Definition, DeploymentRecord};

/// Room for described task definitions and for recorded contents, each, in bytes.
const ROOM: u64 = 16 * 1024 * 1024;

/// How many records of deployments that ended are kept; each takes about a kilobyte.
const RECORDS: u64 = 10_000;

/// How long a described definition is used: its tags can be changed, everything else cannot.
const TAGS_KEPT: Duration = Duration::from_secs(3600);

/// Contents of task definitions. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    definitions: Cache<(Place, String), (Instant, Definition)>,
    contents: Cache<String, Arc<Value>>,
    records: Cache<(Place, String), DeploymentRecord>,
}

impl Kept {
    pub(super) fn new() -> Self {
        Self {
            definitions: Cache::builder()
                .max_capacity(ROOM)
                .eviction_policy(EvictionPolicy::lru())
                .weigher(
                    |(_, arn): &(Place, String), (_, it): &(Instant, Definition)| {
                        weight(arn.len() + size(&it.content))
                    },
                )
                .build(),
            contents: Cache::builder()
                .max_capacity(ROOM)
                .eviction_policy(EvictionPolicy::lru())
                .weigher(|hash: &String, content: &Arc<Value>| weight(hash.len() + size(content)))
                .build(),
            records: Cache::builder()
                .max_capacity(RECORDS)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
        }
    }

    /// A definition that is known to be ACTIVE.
    pub(super) async fn active(&self, place: &Place, arn: &str) -> Option<Definition> {
        let key = (place.clone(), arn.to_owned());
        let (read, definition) = self.definitions.get(&key).await?;
        let status = "ACTIVE".to_owned();
        (read.elapsed() <= TAGS_KEPT).then_some(Definition {
            status,
            ..definition
        })
    }

    pub(super) async fn describe(&self, place: &Place, read: Instant, definition: &Definition) {
        let key = (place.clone(), definition.arn.clone());
        self.definitions
            .insert(key, (read, definition.clone()))
            .await;
    }

    /// What became of a deployment that ended.
    pub(super) async fn record_of(&self, place: &Place, arn: &str) -> Option<DeploymentRecord> {
        self.records.get(&(place.clone(), arn.to_owned())).await
    }

    /// A deployment ended, and nothing of its record changes any more.
    pub(super) async fn ended(&self, place: &Place, record: &DeploymentRecord) {
        let key = (place.clone(), record.arn.clone());
        self.records.insert(key, record.clone()).await;
    }

    pub(super) async fn content(&self, hash: &str) -> Option<Arc<Value>> {
        self.contents.get(hash).await
    }

    pub(super) async fn record(&self, hash: &str, content: &Arc<Value>) {
        self.contents.insert(hash.to_owned(), content.clone()).await;
    }
}

fn weight(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// About what a value takes in memory: a member of an object has its key, its hash and its place.
fn size(value: &Value) -> usize {
    let own = size_of::<Value>();
    own + match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| name.len() + 2 * own + size(member))
            .sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(arn: &str, payload: usize) -> Definition {
        Definition {
            arn: arn.to_owned(),
            family: "web".to_owned(),
            status: "INACTIVE".to_owned(),
            registered_by: None,
            content: Arc::new(Value::String("x".repeat(payload))),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_fits_into_its_room_and_the_newest_stays() {
        let kept = Kept::new();
        let (place, now) = (Place::default(), Instant::now());
        for number in 0..100 {
            let large = definition(&format!("web:{number}"), 1024 * 1024);
            kept.describe(&place, now, &large).await;
            kept.definitions.run_pending_tasks().await;
        }
        assert!(kept.definitions.weighted_size() <= ROOM);
        assert!(kept.active(&place, "web:0").await.is_none());
        assert!(kept.active(&place, "web:99").await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_described_definition_is_used_for_an_hour_whatever_its_status_was() {
        let kept = Kept::new();
        let place = Place::default();
        kept.describe(&place, Instant::now(), &definition("web:1", 1))
            .await;
        let found = kept.active(&place, "web:1").await;
        assert_eq!(found.map(|it| it.status).as_deref(), Some("ACTIVE"));
        tokio::time::advance(TAGS_KEPT + Duration::from_secs(1)).await;
        assert!(kept.active(&place, "web:1").await.is_none());
    }
}
