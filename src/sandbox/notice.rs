//! What AWS's services tell EventBridge.

use jiff::Timestamp;
use serde_json::{Value, json};

/// Something that happened, before it is an event of an account and Region.
#[derive(Debug, Clone)]
pub(super) struct Notice {
    pub at: Timestamp,
    /// `aws.ecs`
    pub source: String,
    /// `detail-type`
    pub kind: String,
    pub resources: Vec<String>,
    pub detail: Value,
}

impl Notice {
    /// The event as EventBridge sends it.
    pub fn event(self, id: &str, account: &str, region: &str) -> Value {
        json!({
            "version": "0",
            "id": id,
            "detail-type": self.kind,
            "source": self.source,
            "account": account,
            // To the second, as EventBridge has it.
            "time": self.at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "region": region,
            "resources": self.resources,
            "detail": self.detail,
        })
    }
}

/// Notices of one service in one Region, oldest first.
#[derive(Debug, Default)]
pub(super) struct Notices {
    /// Whether anybody listens: else none is made, of the thousands that a large account makes.
    pub wanted: bool,
    told: Vec<Notice>,
}

impl Notices {
    /// Tells what `make` says.
    pub fn tell(&mut self, make: impl FnOnce() -> Notice) {
        if self.wanted {
            self.told.push(make());
        }
    }

    /// Takes what was told since.
    pub fn take(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.told)
    }
}
