//! How many were told, and how many wait.

use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::{Error, IntCounterVec, IntGauge, Opts};

use crate::resource::notification::NotificationEvent;

/// How somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// A webhook.
    Slack,
    /// An SNS topic.
    Sns,
    /// An event bus.
    EventBridge,
    /// Nobody knows: the Environment does not say it any more, or could not be read.
    Unknown,
}

impl TargetKind {
    const ALL: [Self; 4] = [Self::Slack, Self::Sns, Self::EventBridge, Self::Unknown];

    fn label(self) -> &'static str {
        match self {
            Self::Slack => "slack",
            Self::Sns => "sns",
            Self::EventBridge => "eventbridge",
            Self::Unknown => "unknown",
        }
    }
}

/// What came of an attempt to tell somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It was taken.
    Sent,
    /// It is tried again.
    Failed,
    /// It is not tried again.
    Dropped,
}

impl What {
    const ALL: [Self; 3] = [Self::Sent, Self::Failed, Self::Dropped];

    fn label(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// Counters of notifications. Cheap to clone. The default counts nothing.
#[derive(Clone, Debug, Default)]
pub struct NotificationMetrics(Option<Arc<Families>>);

#[derive(Debug)]
struct Families {
    total: IntCounterVec,
    undelivered: IntGauge,
}

impl NotificationMetrics {
    /// Makes the metrics: `evenkeel_notifications_total{target,event,outcome}` and
    /// `evenkeel_notifications_undelivered`.
    ///
    /// # Errors
    /// When one of them cannot be made.
    pub(in crate::controller) fn new() -> Result<Self, Error> {
        let total = IntCounterVec::new(
            Opts::new(
                "evenkeel_notifications_total",
                "Attempts to tell somebody of a release: sent, failed (and tried again), or \
                 dropped.",
            ),
            &["target", "event", "outcome"],
        )?;
        let undelivered = IntGauge::new(
            "evenkeel_notifications_undelivered",
            "Messages that this replica has still to send.",
        )?;
        for target in TargetKind::ALL {
            for event in NotificationEvent::ALL {
                for outcome in What::ALL {
                    let labels = [target.label(), event.as_str(), outcome.label()];
                    total.with_label_values(&labels);
                }
            }
        }
        Ok(Self(Some(Arc::new(Families { total, undelivered }))))
    }

    pub(in crate::controller) fn all(&self) -> Vec<Box<dyn Collector>> {
        match &self.0 {
            None => Vec::new(),
            Some(families) => vec![
                Box::new(families.total.clone()),
                Box::new(families.undelivered.clone()),
            ],
        }
    }

    /// Somebody was told, or not.
    pub fn count(&self, target: TargetKind, event: NotificationEvent, what: What) {
        if let Some(families) = &self.0 {
            let labels = [target.label(), event.as_str(), what.label()];
            families.total.with_label_values(&labels).inc();
        }
    }

    /// How many messages wait.
    pub fn undelivered(&self, count: usize) {
        if let Some(families) = &self.0 {
            families
                .undelivered
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}
