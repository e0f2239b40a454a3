//! More than a controller keeps in mind for one of those who are told.

use evenkeel::controller::ControllerOptions;
use evenkeel::model::notice::{Notice, Outgoing};
use evenkeel::resource::notification::NotificationEvent;
use evenkeel::sandbox::WebhookAnswer;
use evenkeel::store::Telling;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{slack, told};
use crate::running::beside;
use crate::shop::{Stands, key, minutes, pass, web};
use crate::world::World;

const MANY: i64 = 1100;

/// One of many messages.
fn outgoing(number: i64, since: Timestamp) -> Outgoing {
    let notice = Notice {
        id: format!("{number:032}"),
        release: key(),
        event: NotificationEvent::Ready,
        reason: number.to_string(),
        message: String::new(),
        generation: 1,
        revision: Some(1),
        images: [].into(),
        source: None,
        applier: None,
        again: false,
        at: since + SignedDuration::from_millis(number),
    };
    let notification = "team".to_owned();
    Outgoing {
        notification,
        notice,
    }
}

impl World {
    /// Writes so many messages down, as passes do.
    async fn has_much_to_tell(&self) {
        let writer = self.writer().await;
        let stored = self.store.release(&key()).await.expect("reads");
        let stored = stored.expect("is there");
        let status = stored.release.status.clone().unwrap_or_default();
        let mut version = stored.status_version;
        let since = self.sandbox.now();
        for first in (0..MANY).step_by(50) {
            let outgoing = (first..first + 50).map(|number| outgoing(number, since));
            let telling = Telling {
                announced: stored.announced.clone(),
                outgoing: outgoing.collect(),
            };
            let key = key();
            let put = writer.put_status(&key, stored.uid(), &status, &telling, version);
            version = put.await.expect("writes");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn everything_is_told_in_its_turn_however_much_it_is() {
    let world = told(&json!([slack(&json!({}))])).await;
    world.put(&web("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let before = world.heard().len();
    world.has_much_to_tell().await;
    let dead = WebhookAnswer::Status(503);
    world.sandbox.answer_webhooks("hooks.slack.com", dead);
    let controller = world.controller_with(ControllerOptions::default());
    beside(&controller, async {
        pass(minutes(2)).await;
        assert_eq!(world.heard().len(), before);
        let well = WebhookAnswer::Status(200);
        world.sandbox.answer_webhooks("hooks.slack.com", well);
        pass(minutes(20)).await;
    })
    .await;
    let told: Vec<String> = (0..MANY)
        .map(|number| format!("Ready 1 {number}"))
        .collect();
    assert_eq!(world.heard()[before..], told);
    assert_eq!(world.unsent().await, 0);
}
