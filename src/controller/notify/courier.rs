//! One errand: tells one of those who are told of one thing, and notes it.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::TargetKind;
use crate::aws::error::ErrorClass;
use crate::aws::events::Event;
use crate::aws::post::{Answer, PostError, Poster};
use crate::aws::secrets::{Secret, SecretError, Secrets};
use crate::aws::sns::Message;
use crate::aws::{Aws, AwsError};
use crate::controller::leadership::Leadership;
use crate::model::desired::Access;
use crate::model::notice::{Notice, Outgoing};
use crate::plan::notices::{render, subject};
use crate::reconcile::Reconciler;
use crate::resource::environment::EnvironmentSpec;
use crate::resource::notification::{EventBridgeTarget, Notification, SlackTarget, SnsTarget};
use crate::store::{Store, StoreError};

/// How old something may get that could not be told: it is no news by then.
const OLDEST: SignedDuration = SignedDuration::from_hours(6);
/// How often it is tried at the most.
const ATTEMPTS: u32 = 60;
/// How long an errand may take in all.
const PATIENCE: Duration = Duration::from_secs(45);

/// The source of events, unless the Environment names another.
const SOURCE: &str = "evenkeel";
/// The kind of events.
const DETAIL_TYPE: &str = "evenkeel Release State Change";

/// A message that is to be sent.
#[derive(Clone, Debug)]
pub struct Errand {
    /// Where it lies in the table.
    pub place: String,
    /// The message, and for whom.
    pub outgoing: Outgoing,
    /// How often it failed.
    pub attempts: u32,
    /// Whether it was sent, and only has to be taken out of the table.
    pub sent: bool,
}

/// What came of an errand.
#[derive(Debug)]
pub enum Attempt {
    /// It was taken, and that is noted.
    Delivered,
    /// It was taken, and that could not be noted.
    Untaken(StoreError),
    /// It is not sent any more.
    Dropped(String),
    /// The lease is another's now, and with it the message, which may have been sent before.
    NotOurs {
        /// Whether it was.
        sent: bool,
    },
    /// It was not taken, or nobody knows.
    Failed {
        /// Why; no secret.
        why: String,
        /// When its recipient wants to be asked again.
        after: Option<Duration>,
    },
    /// The table could not be read, so nothing was tried.
    Unread(StoreError),
}

/// Why somebody was not told.
struct Failure {
    why: String,
    after: Option<Duration>,
    /// It is refused again as it is, for ever.
    for_good: bool,
}

impl Failure {
    fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            after: None,
            for_good: false,
        }
    }
}

/// Runs errands. Cheap to clone.
#[derive(Clone)]
pub struct Courier {
    reconciler: Reconciler,
    leadership: Leadership,
    secrets: Secrets,
    poster: Poster,
}

impl Courier {
    /// Tells people with what `reconciler` reaches, as far as `leadership` goes.
    pub fn new(reconciler: &Reconciler, leadership: Leadership) -> Self {
        let aws = reconciler.aws();
        Self {
            secrets: Secrets::new(aws.clone()),
            poster: Poster::new(aws),
            reconciler: reconciler.clone(),
            leadership,
        }
    }

    /// The table.
    pub fn store(&self) -> &Store {
        self.reconciler.store()
    }

    fn aws(&self) -> &Aws {
        self.reconciler.aws()
    }

    /// Sends a message, and takes it out of the table.
    pub async fn run(&self, errand: &Errand) -> (TargetKind, Attempt) {
        if errand.sent {
            return (TargetKind::Unknown, self.take_away(errand).await);
        }
        let Some((environment, notification)) = (match self.told(errand).await {
            Ok(found) => found,
            Err(attempt) => return (TargetKind::Unknown, attempt),
        }) else {
            let why = "the environment does not have this notification any more";
            return (TargetKind::Unknown, self.drop(errand, why.to_owned()).await);
        };
        let kind = kind(&notification);
        let age = self
            .reconciler
            .now()
            .duration_since(errand.outgoing.notice.at);
        if age > OLDEST || errand.attempts >= ATTEMPTS {
            let why = format!("it could not be sent in {} attempts", errand.attempts);
            return (kind, self.drop(errand, why).await);
        }
        let notice = &errand.outgoing.notice;
        let sent = self.send(&environment, &notification, notice);
        let sent = tokio::time::timeout(PATIENCE, sent).await;
        let attempt = match sent.unwrap_or_else(|_| Err(Failure::new("it took too long"))) {
            Ok(()) => self.take_away(errand).await,
            Err(failure) if failure.for_good => self.drop(errand, failure.why).await,
            Err(Failure { why, after, .. }) => Attempt::Failed { why, after },
        };
        (kind, attempt)
    }

    /// Who is told, as the Environment has it now; none where it does not any more. Looks first
    /// whether the Release is this replica's to speak of.
    async fn told(
        &self,
        errand: &Errand,
    ) -> Result<Option<(EnvironmentSpec, Notification)>, Attempt> {
        let outgoing = &errand.outgoing;
        let release = &outgoing.notice.release;
        // Let go of at once: a lease that goes to another replica would wait for whoever hangs.
        match self.leadership.writer(release) {
            Some(writer) => writer.may_write().await.map_err(not_read)?,
            None => return Err(Attempt::NotOurs { sent: false }),
        }
        let found = self.store().environment(&release.namespace).await;
        let environment = match found {
            Ok(Some(found)) => found.spec,
            Ok(None) => return Ok(None),
            Err(error) => return Err(not_read(error)),
        };
        let mut all = environment.notifications.iter();
        let found = all.find(|it| it.name == outgoing.notification).cloned();
        Ok(found.map(|found| (environment, found)))
    }

    async fn take_away(&self, errand: &Errand) -> Attempt {
        let release = &errand.outgoing.notice.release;
        let Some(writer) = self.leadership.writer(release) else {
            return Attempt::NotOurs { sent: true };
        };
        match writer.take_from_outbox(&errand.outgoing).await {
            Ok(()) => Attempt::Delivered,
            Err(StoreError::LostLease { .. }) => Attempt::NotOurs { sent: true },
            Err(error) => Attempt::Untaken(error),
        }
    }

    /// Gives a message up. One that could not be taken away is found again by the next controller,
    /// or expires.
    async fn drop(&self, errand: &Errand, why: String) -> Attempt {
        match self.take_away(errand).await {
            Attempt::NotOurs { .. } => Attempt::NotOurs { sent: false },
            Attempt::Untaken(error) => Attempt::Unread(error),
            _ => Attempt::Dropped(why),
        }
    }

    async fn send(
        &self,
        environment: &EnvironmentSpec,
        notification: &Notification,
        notice: &Notice,
    ) -> Result<(), Failure> {
        let place = Place {
            access: Access {
                role_arn: environment.role_arn.clone(),
                external_id: environment.external_id.clone(),
            },
            region: &environment.region,
        };
        let template = notification.template.as_deref();
        if let Some(slack) = &notification.slack {
            let text = render(template, notice, escaped);
            return self.slack(&place, slack, notice, &text).await;
        }
        let text = render(template, notice, str::to_owned);
        if let Some(sns) = &notification.sns {
            return self.sns(&place, sns, notice, &text).await;
        }
        match &notification.event_bridge {
            Some(bus) => self.event_bridge(&place, bus, notice, &text).await,
            None => Err(Failure::new("the notification names nobody")),
        }
    }

    /// A webhook whose URL was changed is asked for once more, with the one that holds now.
    async fn slack(
        &self,
        place: &Place<'_>,
        slack: &SlackTarget,
        notice: &Notice,
        text: &str,
    ) -> Result<(), Failure> {
        let secret = &slack.webhook_url;
        let (access, region) = (&place.access, place.region);
        let get = || self.secrets.get(access, region, secret);
        let url = get().await.map_err(unread)?;
        let first = self.post(&url, notice, text).await;
        if !first.as_ref().is_ok_and(|answer| is_refused(answer.status)) {
            return judge(first);
        }
        self.secrets.refused(access, region, secret, &url).await;
        let next = get().await.map_err(unread)?;
        if next == url {
            return judge(first);
        }
        judge(self.post(&next, notice, text).await)
    }

    async fn post(&self, url: &Secret, notice: &Notice, text: &str) -> Result<Answer, PostError> {
        let headers = [
            ("content-type", "application/json; charset=utf-8"),
            ("idempotency-key", notice.id.as_str()),
        ];
        let body = json!({ "text": text }).to_string();
        self.poster.post(url.expose(), &headers, body).await
    }

    async fn sns(
        &self,
        place: &Place<'_>,
        sns: &SnsTarget,
        notice: &Notice,
        text: &str,
    ) -> Result<(), Failure> {
        let release = notice.release.to_string();
        let topic = &sns.topic_arn;
        let clients = self.aws().at(&place.access, place.of(topic));
        let attributes = [
            ("release", release.as_str()),
            ("event", notice.event.as_str()),
            ("id", &notice.id),
        ];
        let message = Message {
            topic,
            id: &notice.id,
            group: &release,
            subject: &subject(notice),
            text,
            attributes: &attributes,
        };
        clients.sns.publish(&message).await.map_err(failed)
    }

    async fn event_bridge(
        &self,
        place: &Place<'_>,
        bus: &EventBridgeTarget,
        notice: &Notice,
        text: &str,
    ) -> Result<(), Failure> {
        let name = &bus.event_bus_name;
        let clients = self.aws().at(&place.access, place.of(name));
        let detail = detail(notice, text);
        let event = Event {
            bus: name,
            source: bus.source.as_deref().unwrap_or(SOURCE),
            kind: DETAIL_TYPE,
            detail: &detail,
            at: notice.at,
        };
        clients.events.put_event(&event).await.map_err(failed)
    }
}

/// With whose credentials, and from where, an Environment's people are told.
struct Place<'a> {
    access: Access,
    region: &'a str,
}

impl<'a> Place<'a> {
    /// The Region that an ARN names, or the Environment's.
    fn of(&self, arn: &'a str) -> &'a str {
        let named = arn.strip_prefix("arn:");
        let region = named.and_then(|rest| rest.split(':').nth(2));
        region.unwrap_or(self.region)
    }
}

fn kind(notification: &Notification) -> TargetKind {
    if notification.slack.is_some() {
        TargetKind::Slack
    } else if notification.sns.is_some() {
        TargetKind::Sns
    } else {
        TargetKind::EventBridge
    }
}

/// What an event says, for programs.
fn detail(notice: &Notice, text: &str) -> Value {
    json!({
        "id": notice.id,
        "namespace": notice.release.namespace,
        "release": notice.release.name,
        "event": notice.event,
        "reason": notice.reason,
        "message": notice.message,
        "generation": notice.generation,
        "revision": notice.revision,
        "images": notice.images,
        "source": notice.source,
        "applier": notice.applier,
        "at": notice.at,
        "text": text,
    })
}

/// Slack's own escapes: whatever a message holds is no link and calls nobody.
fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;")
}

/// Whether a webhook answers that it does not know the URL, or not any more.
fn is_refused(status: u16) -> bool {
    matches!(status, 401 | 403 | 404 | 410)
}

fn judge(answer: Result<Answer, PostError>) -> Result<(), Failure> {
    let answer = answer.map_err(|error| Failure::new(error.to_string()))?;
    let status = answer.status;
    if (200..300).contains(&status) {
        return Ok(());
    }
    let later = matches!(status, 408 | 409 | 425 | 429) || is_refused(status);
    Err(Failure {
        why: format!("the webhook answered {status}{}", word(&answer)),
        after: answer.retry_after,
        for_good: (400..500).contains(&status) && !later,
    })
}

/// Slack says why in a word. Whatever else is answered is not told: nobody knows what it holds.
fn word(answer: &Answer) -> String {
    let is_word = |text: &str| {
        (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    };
    match std::str::from_utf8(&answer.body) {
        Ok(text) if is_word(text) => format!(" ({text})"),
        _ => String::new(),
    }
}

fn unread(error: SecretError) -> Failure {
    Failure::new(error.to_string())
}

fn failed(error: AwsError) -> Failure {
    Failure {
        for_good: error.class == ErrorClass::Refused,
        ..Failure::new(error.to_string())
    }
}

fn not_read(error: StoreError) -> Attempt {
    match error {
        StoreError::LostLease { .. } => Attempt::NotOurs { sent: false },
        error => Attempt::Unread(error),
    }
}
