//! Tells people, beside the passes and never in their way.
//!
//! What is to be told lies in the table from the moment on at which it happened. This replica hears
//! of what it writes there itself, and looks there when it takes a lease, for what another left.
//! Each of those who are told has a line of its own, one message after the other: one who does not
//! answer keeps nobody else waiting, and is tried again with growing pauses.

mod courier;
mod lines;
mod metrics;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::backoff::Pauses;
use super::leadership::Leadership;
use crate::model::notice::Outgoing;
use crate::reconcile::{Posted, Reconciler};
use crate::store::{StoreError, keys};
use courier::{Attempt, Courier, Errand};
use lines::{Line, Lines, Recipient};

pub use metrics::{NotificationMetrics, TargetKind, What};

/// How long it is remembered that somebody was told: a list that was read before may still name it.
const REMEMBERED: Duration = Duration::from_secs(600);

/// How soon the table is looked at after a write whose answer was lost.
const SOON: Duration = Duration::from_secs(1);

/// What the passes of a controller post.
pub type Posts = Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Posted>>>;

/// Sends, until it is asked to end or dropped.
pub struct Notifier {
    stop: Option<oneshot::Sender<Instant>>,
    task: JoinSet<()>,
}

impl Notifier {
    /// Begins to send what is posted, with the leases that this replica holds.
    pub fn start(
        reconciler: &Reconciler,
        leadership: Leadership,
        posts: Posts,
        metrics: NotificationMetrics,
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        let sender = Sender {
            courier: Courier::new(reconciler, leadership.clone()),
            leadership,
            metrics,
            lines: Lines::default(),
            done: HashMap::new(),
            errands: JoinSet::new(),
            lists: JoinSet::new(),
            list_at: None,
            pauses: Pauses::default(),
        };
        let mut task = JoinSet::new();
        task.spawn(Box::pin(sender.run(posts, stopped)));
        Self {
            stop: Some(stop),
            task,
        }
    }

    /// Sends what waits for nobody who failed before, for so long at most, and ends.
    pub async fn finish(mut self, grace: Duration) {
        let end = Instant::now() + grace;
        if let Some(stop) = self.stop.take() {
            // It has ended by itself if nobody listens.
            let _ = stop.send(end);
        }
        let ended = tokio::time::timeout_at(end, self.task.join_next());
        if ended.await.is_err() {
            tracing::info!("some notifications are left to the next controller");
        }
    }
}

/// The state of the loop.
struct Sender {
    courier: Courier,
    leadership: Leadership,
    metrics: NotificationMetrics,
    lines: Lines,
    /// Who was told of what, and when.
    done: HashMap<String, Instant>,
    errands: JoinSet<Ended>,
    lists: JoinSet<Result<Vec<Outgoing>, StoreError>>,
    /// When the table is looked at.
    list_at: Option<Instant>,
    pauses: Pauses,
}

/// What came of an errand.
struct Ended {
    recipient: Recipient,
    errand: Errand,
    kind: TargetKind,
    attempt: Attempt,
}

impl Sender {
    async fn run(mut self, posts: Posts, mut stop: oneshot::Receiver<Instant>) {
        let mut posts = posts.lock().await;
        let mut leases = self.leadership.changes();
        self.list_at = Some(Instant::now());
        let mut stopping = false;
        loop {
            self.begin();
            self.metrics.undelivered(self.lines.len());
            if stopping && self.is_idle() && posts.is_empty() {
                return;
            }
            let due = self.next_due();
            let due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(ended) = self.errands.join_next() => match ended {
                    Ok(ended) => self.ended(ended),
                    Err(error) => self.lost(&error),
                },
                Some(listed) = self.lists.join_next() => self.listed(listed.ok()),
                Some(posted) = posts.recv() => self.posted(posted),
                Ok(()) = leases.changed() => self.leases_changed(),
                () = due => {}
                _ = &mut stop, if !stopping => stopping = true,
            }
        }
    }

    fn posted(&mut self, posted: Posted) {
        match posted {
            Posted::Written(all) => {
                for outgoing in all {
                    let place = keys::outgoing(&outgoing).sk;
                    // A list may have told of it, and it is sent by now.
                    if !self.done.contains_key(&place) {
                        self.add(errand(place, outgoing, false), false);
                    }
                }
            }
            Posted::Perhaps => self.list_after(SOON),
        }
    }

    /// Others look after some of the keys now, or this replica after others.
    fn leases_changed(&mut self) {
        let leadership = &self.leadership;
        self.lines
            .retain(|outgoing| leadership.writer(&outgoing.notice.release).is_some());
        self.pauses.reset();
        self.list_after(Duration::ZERO);
    }

    fn list_after(&mut self, pause: Duration) {
        let at = Instant::now() + pause;
        self.list_at = Some(self.list_at.map_or(at, |earlier| earlier.min(at)));
    }

    fn listed(&mut self, listed: Option<Result<Vec<Outgoing>, StoreError>>) {
        match listed {
            Some(Ok(found)) => {
                self.pauses.reset();
                found.into_iter().for_each(|it| self.found(it));
                self.lines.list_ended();
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "what people are still to be told cannot be read");
                self.list_failed();
            }
            None => self.list_failed(),
        }
    }

    fn list_failed(&mut self) {
        self.lines.list_failed();
        let pause = self.pauses.next();
        self.list_after(pause);
    }

    /// Something lies in the table. What was sent already was listed before it was taken away, or
    /// could not be: that is done again.
    fn found(&mut self, outgoing: Outgoing) {
        let place = keys::outgoing(&outgoing).sk;
        let sent = self.done.contains_key(&place);
        self.add(errand(place, outgoing, sent), true);
    }

    /// Puts a message in line, unless it is there, or for another replica to send.
    fn add(&mut self, errand: Errand, listed: bool) {
        let release = &errand.outgoing.notice.release;
        if self.leadership.writer(release).is_some() {
            self.lines.add(errand, listed);
        }
    }

    /// Begins what may begin now.
    fn begin(&mut self) {
        let now = Instant::now();
        if self.lists.is_empty() && self.list_at.is_none() && self.lines.run_short() {
            self.list_at = Some(now);
        }
        if self.lists.is_empty() && self.list_at.is_some_and(|at| at <= now) {
            self.list_at = None;
            if self.leadership.leads() {
                self.lines.list_begins();
                let store = self.courier.store().clone();
                self.lists.spawn(async move { store.outbox().await });
            } else {
                self.lines.leave();
            }
        }
        while let Some((recipient, errand)) = self.lines.take(now) {
            let courier = self.courier.clone();
            let run = async move {
                let (kind, attempt) = courier.run(&errand).await;
                Ended {
                    recipient,
                    errand,
                    kind,
                    attempt,
                }
            };
            self.errands.spawn(Box::pin(run));
        }
    }

    fn ended(&mut self, ended: Ended) {
        let Ended {
            recipient,
            errand,
            kind,
            attempt,
        } = ended;
        let event = errand.outgoing.notice.event;
        let count = |what| self.metrics.count(kind, event, what);
        let notice = &errand.outgoing.notice;
        let (release, id) = (&notice.release, &notice.id);
        let notification = &errand.outgoing.notification;
        let Some(line) = self.lines.back(&recipient) else {
            return;
        };
        match attempt {
            Attempt::Delivered | Attempt::Untaken(_) | Attempt::NotOurs { sent: true }
                if !errand.sent =>
            {
                count(What::Sent);
                tracing::info!(%release, %event, notification, id, "told");
            }
            _ => {}
        }
        match attempt {
            Attempt::Delivered => {
                line.succeeded();
                self.forget(&errand.place);
            }
            Attempt::Untaken(error) => {
                tracing::warn!(%release, %event, notification, id, %error, "told, and not noted yet");
                self.done.insert(errand.place.clone(), Instant::now());
                line.again(
                    Errand {
                        sent: true,
                        ..errand
                    },
                    None,
                );
            }
            Attempt::Dropped(why) => {
                count(What::Dropped);
                tracing::warn!(%release, %event, notification, id, why, "given up: nobody is told");
                self.forget(&errand.place);
            }
            Attempt::NotOurs { sent: true } => self.forget(&errand.place),
            Attempt::NotOurs { sent: false } => self.lines.forget(&errand.place),
            Attempt::Failed { why, after } => {
                count(What::Failed);
                let attempt = errand.attempts + 1;
                tracing::warn!(%release, %event, notification, id, attempt, why, "not told yet");
                let next = Errand {
                    attempts: attempt,
                    ..errand
                };
                line.again(next, after);
            }
            Attempt::Unread(error) => {
                tracing::debug!(%release, %event, notification, %error, "not told yet");
                line.again(errand, None);
            }
        }
    }

    /// An errand panicked: what it was for is in the table still.
    fn lost(&mut self, error: &tokio::task::JoinError) {
        if error.is_panic() {
            tracing::error!("telling somebody panicked; it is tried again");
            self.lines.free_all();
            self.list_after(SOON);
        }
    }

    /// A message was sent, or given up.
    fn forget(&mut self, place: &str) {
        self.done.retain(|_, at| at.elapsed() < REMEMBERED);
        self.done.insert(place.to_owned(), Instant::now());
        self.lines.forget(place);
    }

    fn next_due(&self) -> Option<Instant> {
        let list = self.list_at.filter(|_| self.lists.is_empty());
        [self.lines.next_due(), list].into_iter().flatten().min()
    }

    /// Whether nothing is under way, and nobody waits but those who failed before.
    fn is_idle(&self) -> bool {
        self.errands.is_empty()
            && self.lists.is_empty()
            && self.list_at.is_none_or(|at| at > Instant::now())
            && self.lines.all(Line::is_waiting_for_its_turn)
    }
}

/// A message that was not tried to be sent yet, or was before it was listed.
fn errand(place: String, outgoing: Outgoing, sent: bool) -> Errand {
    Errand {
        place,
        outgoing,
        attempts: 0,
        sent,
    }
}
