//! `run`: works for ever. Notices what changes, sweeps over everything now and then, and hands
//! keys to the workers.

mod sweeps;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::engine::{Ended, Engine};
use super::events::Concern;
use super::inbox::Inbox;
use super::index::Index;
use super::list::{Listed, Listing};
use super::queue::Look;
use super::watch::{Notice, Watch};
use super::{Controller, due};
use crate::model::desired::Access;
use crate::reconcile::{Pass, ReconcileError, Settled};
use crate::resource::conditions::{ConditionType, is_true};
use crate::resource::meta::ReleaseKey;
use crate::store::{Changed, StoreError};

/// How long it is waited for more events of the same kind: they come in bursts, and one look does
/// for all of them.
const EVENTS: Duration = Duration::from_secs(1);

/// How long a list will do to begin with that was read before the lease came: reading both at once
/// lets the work begin sooner. Just as long after that it is listed again, for what it missed.
const EARLY: Duration = Duration::from_secs(1);

/// How long after the start it is looked for namespaces that no Environment names: that takes long,
/// and whoever takes over from another has more urgent things to do.
const SEARCH_AFTER: Duration = Duration::from_secs(30);

/// How often it is looked for namespaces that no Environment names. The watch tells of their
/// Releases when they are written.
const SEARCH: Duration = Duration::from_secs(60 * 60);

/// How many notices of the watch wait for the loop.
const NOTICES: usize = 1024;

/// What the loop is told.
enum Message {
    /// The table was listed, for a sweep or not.
    Listed {
        result: Result<Listed, StoreError>,
        sweep: bool,
    },
    /// There are other namespaces without Environment than before.
    Strays,
    /// Another replica has made a Release ready.
    Ready(ReleaseKey),
    /// What these keys look at in one account has been read since then.
    Swept {
        place: (Access, String),
        keys: Vec<ReleaseKey>,
        since: Instant,
    },
}

/// The state of the loop.
pub struct Service<'a> {
    controller: &'a Controller,
    engine: Engine,
    /// Every Release that was listed, with what changes whenever it does.
    known: BTreeMap<ReleaseKey, String>,
    index: Index,
    /// Those whose last pass found nothing to do.
    settled: HashMap<ReleaseKey, Settled>,
    /// What the other replicas were told of just now.
    hinted: HashMap<Concern, Instant>,
    messages: mpsc::UnboundedReceiver<Message>,
    sender: mpsc::UnboundedSender<Message>,
    notices: mpsc::Receiver<Notice>,
    /// Runs as long as this replica has any lease: others need not know what changes, and few may
    /// read a stream at once.
    watch: Option<AbortHandle>,
    concerns: mpsc::Receiver<Concern>,
    /// Runs as long as this replica has any lease.
    inbox: Option<AbortHandle>,
    /// Lists and sweeps that go on.
    tasks: JoinSet<()>,
    listing: Listing,
    /// Accounts and Regions that are being read.
    sweeping: HashSet<(Access, String)>,
    next_search: Instant,
    next_sweep: Instant,
    listed: bool,
    /// What was listed while no lease was held, and when that came.
    early: Option<(Instant, Listed)>,
}

impl<'a> Service<'a> {
    /// The loop of this controller; nothing is called yet.
    pub fn new(controller: &'a Controller) -> Self {
        let (sender, messages) = mpsc::unbounded_channel();
        Self {
            engine: controller.engine(),
            controller,
            known: BTreeMap::new(),
            index: Index::default(),
            settled: HashMap::new(),
            hinted: HashMap::new(),
            messages,
            sender,
            notices: mpsc::channel(1).1,
            watch: None,
            concerns: mpsc::channel(1).1,
            inbox: None,
            tasks: JoinSet::new(),
            listing: Listing::default(),
            sweeping: HashSet::new(),
            next_search: Instant::now() + SEARCH_AFTER,
            next_sweep: Instant::now(),
            listed: false,
            early: None,
        }
    }

    /// Works until `shutdown` resolves, and lets the passes that are under way then end.
    ///
    /// # Errors
    /// When at the start there are no credentials, or the table cannot be read.
    pub async fn run(&mut self, shutdown: impl Future<Output = ()>) -> Result<(), ReconcileError> {
        tokio::pin!(shutdown);
        let mut leases = self.controller.leadership.changes();
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.next_sweep = Instant::now() + self.pause();
        self.watch_or_not();
        // One that stands by finds out so that the table lets it in.
        self.list(false);
        loop {
            for key in self.engine.start() {
                self.give_up(&key);
            }
            let next = self.engine.queue.next_due();
            let due = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                ended = self.engine.ended() => self.ended(ended),
                Some(message) = self.messages.recv() => self.told(message)?,
                Ok(()) = leases.changed() => self.leases_changed(),
                _ = second.tick() => self.tidy(),
                Some(notice) = self.notices.recv() => self.noticed(notice),
                Some(concern) = self.concerns.recv() => self.concerned(concern),
                () = tokio::time::sleep_until(self.next_sweep) => self.sweep(),
                () = due => {}
            }
        }
        self.tasks.abort_all();
        self.engine.wind_down(self.controller.options.grace).await;
        Ok(())
    }

    /// Once a second.
    fn tidy(&mut self) {
        self.engine.measure();
        let replicas = self.controller.leadership.replicas();
        self.controller.worker.reconciler().set_replicas(replicas);
        while let Some(ended) = self.tasks.try_join_next() {
            if ended.is_err_and(|error| error.is_panic()) {
                tracing::error!("a list, a sweep or the watch panicked; it is done again");
                self.sweeping.clear();
                self.listing.failed(true);
            }
        }
        for reader in [&mut self.watch, &mut self.inbox] {
            reader.take_if(|reader| reader.is_finished());
        }
        self.watch_or_not();
        self.early.take_if(|(at, _)| at.elapsed() > EARLY);
        self.list_if_asked();
        self.search();
    }

    fn told(&mut self, message: Message) -> Result<(), ReconcileError> {
        match message {
            Message::Listed { result, sweep } => {
                match &result {
                    Ok(_) => self.listing.succeeded(),
                    Err(_) => self.listing.failed(sweep),
                }
                self.list_if_asked();
                let told = result.as_ref().map(|_| ()).map_err(ToString::to_string);
                self.controller.options.health.listed(told);
                match result.map_err(ReconcileError::from) {
                    Ok(listed) if self.controller.leadership.leads() => self.listed(listed, sweep),
                    Ok(listed) => {
                        self.listed = true;
                        self.early = Some((Instant::now(), listed));
                    }
                    // What ails the very first look is told by ending; later it may pass.
                    Err(error) if error.is_final() && !self.listed => return Err(error),
                    Err(error) => tracing::warn!(%error, "the list of releases could not be read"),
                }
            }
            Message::Strays => self.list(false),
            Message::Ready(key) => self.wake_waiting(&key),
            Message::Swept { place, keys, since } => self.swept(&place, keys, since),
        }
        Ok(())
    }

    /// Finds what changed in the table since the last look.
    fn listed(&mut self, listed: Listed, sweep: bool) {
        self.listed = true;
        self.index.rule(self.controller.list.rules());
        let now = Instant::now();
        let leadership = &self.controller.leadership;
        let listed: Listed = listed
            .into_iter()
            .filter(|(key, _)| leadership.writer(key).is_some())
            .collect();
        let changed = listed
            .iter()
            .filter(|(key, version)| self.known.get(key) != Some(version))
            .map(|(key, _)| key.clone());
        // Their last pass finds them gone, and everybody is told.
        let gone = self.known.keys().filter(|key| !listed.contains_key(key));
        let differ: Vec<ReleaseKey> = changed.chain(gone.cloned()).collect();
        for key in differ {
            // Of those of another replica the watch tells, or the sweep finds out.
            self.wake_waiting(&key);
            self.engine.add(key, now, Look::Afresh);
        }
        self.known = listed;
        if sweep {
            self.read_ahead();
        }
    }

    /// Lists the table, beside the loop, now or as soon as that can be.
    fn list(&mut self, sweep: bool) {
        self.listing.ask(sweep);
        self.list_if_asked();
    }

    fn list_if_asked(&mut self) {
        let Some(sweep) = self.listing.take() else {
            return;
        };
        let (list, sender) = (self.controller.list.clone(), self.sender.clone());
        let store = self.controller.worker.reconciler().store().clone();
        self.tasks.spawn(async move {
            let result = list.read(&store).await;
            // Nobody listens any more when the loop has ended.
            let _ = sender.send(Message::Listed { result, sweep });
        });
    }

    /// Looks for namespaces without Environment, beside the loop: that reads the whole table.
    fn search(&mut self) {
        if Instant::now() < self.next_search || !self.controller.leadership.leads() {
            return;
        }
        self.next_search = Instant::now() + SEARCH;
        let (list, sender) = (self.controller.list.clone(), self.sender.clone());
        let store = self.controller.worker.reconciler().store().clone();
        self.tasks.spawn(async move {
            if list.search(&store).await {
                let _ = sender.send(Message::Strays);
            }
        });
    }

    /// Something changed in the table.
    fn noticed(&mut self, notice: Notice) {
        let now = Instant::now();
        let metrics = &self.controller.options.metrics;
        match notice {
            Notice::List => {
                metrics.event("poll");
                self.list(false);
            }
            Notice::Changed(Changed::Release(key)) => {
                metrics.event("table");
                // There is another one, or it waits for others itself.
                self.wake_waiting(&key);
                self.look_at_ours(key);
            }
            Notice::Changed(Changed::Request(key)) => {
                metrics.event("table");
                self.look_at_ours(key);
            }
            Notice::Changed(Changed::Status(key)) => self.stands_otherwise(key),
            Notice::Changed(Changed::Hint(what)) => {
                metrics.event("hint");
                // Another version may say it in other words; the sweep finds what it meant.
                if let Ok(concern) = serde_json::from_str(&what) {
                    self.look_at(&concern);
                }
            }
            Notice::Changed(Changed::Namespace(name)) => {
                metrics.event("table");
                let keys = self.known.keys().filter(|key| key.namespace == name);
                for key in keys.cloned().collect::<Vec<_>>() {
                    self.engine.add(key, now, Look::Afresh);
                }
                // It may be the first that is heard of its Releases.
                self.list(false);
            }
            Notice::Changed(Changed::Lease | Changed::Other) => {}
        }
    }

    /// Something is wanted of a Release that may be another replica's.
    fn look_at_ours(&mut self, key: ReleaseKey) {
        if self.is_ours(&key) {
            // Not yet listed as it is now; what the next list says is news unless a pass has followed it
            // by then. One that is being made may have been past it.
            self.known.entry(key.clone()).or_default();
            if self.listing.is_under_way() {
                self.listing.ask(false);
            }
            self.engine.add(key, Instant::now(), Look::Afresh);
        }
    }

    /// Finds out, beside the loop, whether a Release is ready that some of ours wait for. Of those
    /// that this replica looks after it knows without asking.
    fn stands_otherwise(&mut self, key: ReleaseKey) {
        if self.is_ours(&key) || self.index.waiting_for(&key).is_empty() {
            return;
        }
        let sender = self.sender.clone();
        let store = self.controller.worker.reconciler().store().clone();
        self.tasks.spawn(async move {
            let status = match store.release(&key).await {
                Ok(stored) => stored.and_then(|stored| stored.release.status),
                // Whoever waits for it finds out, or tells what is wrong.
                Err(_) => return drop(sender.send(Message::Ready(key))),
            };
            let conditions = status.map(|status| status.conditions).unwrap_or_default();
            if is_true(&conditions, ConditionType::Ready) {
                let _ = sender.send(Message::Ready(key));
            }
        });
    }

    /// Those that wait for a Release look at it.
    fn wake_waiting(&mut self, key: &ReleaseKey) {
        let now = Instant::now();
        for waiting in self.index.waiting_for(key) {
            self.engine.add(waiting, now, Look::Afresh);
        }
    }

    /// Something happened in AWS.
    fn concerned(&mut self, concern: Concern) {
        self.look_at(&concern);
        // Each event reaches one replica only, whoever works on what it concerns.
        if self.controller.leadership.replicas() < 2 || !self.is_news(&concern) {
            return;
        }
        let Ok(what) = serde_json::to_string(&concern) else {
            return;
        };
        let reconciler = self.controller.worker.reconciler().clone();
        self.tasks.spawn(async move {
            if let Err(error) = reconciler.store().hint(&what, reconciler.now()).await {
                tracing::debug!(%error, "the other replicas are not told of an event");
            }
        });
    }

    /// Whether the others have not been told of it just now: events come in bursts.
    fn is_news(&mut self, concern: &Concern) -> bool {
        self.hinted.retain(|_, at| at.elapsed() < EVENTS);
        let first = !self.hinted.contains_key(concern);
        if first {
            self.hinted.insert(concern.clone(), Instant::now());
        }
        first
    }

    fn look_at(&mut self, concern: &Concern) {
        let due = Instant::now() + EVENTS;
        for key in self.index.concerned(concern) {
            // A rule may name one that is not there, or that is another replica's.
            if self.known.contains_key(&key) {
                self.engine.add(key, due, Look::Afresh);
            }
        }
    }

    fn is_ours(&self, key: &ReleaseKey) -> bool {
        let namespace = self.controller.options.namespace.as_ref();
        namespace.is_none_or(|only| *only == key.namespace)
            && self.controller.leadership.writer(key).is_some()
    }

    /// Other keys are ours now: those that are new are looked at at once.
    fn leases_changed(&mut self) {
        let leadership = &self.controller.leadership;
        let lost = self
            .known
            .keys()
            .filter(|key| leadership.writer(key).is_none());
        for key in lost.cloned().collect::<Vec<_>>() {
            self.give_up(&key);
        }
        self.watch_or_not();
        let early = self.early.take().map(|(_, listed)| listed);
        if early.is_some() || self.listing.is_under_way() {
            self.listing.put_off(Instant::now() + EARLY);
        }
        if let Some(listed) = early
            && self.controller.leadership.leads()
        {
            self.listed(listed, false);
        }
        self.list(false);
    }

    /// Another replica looks after this Release now.
    fn give_up(&mut self, key: &ReleaseKey) {
        self.known.remove(key);
        self.index.remove(key);
        self.settled.remove(key);
        self.engine.queue.remove(key);
        self.controller.worker.forget(key);
    }

    /// Watches the table and reads the queue of events while any lease is held.
    fn watch_or_not(&mut self) {
        if !self.controller.leadership.leads() {
            for reader in [self.watch.take(), self.inbox.take()].into_iter().flatten() {
                reader.abort();
            }
            return;
        }
        let options = &self.controller.options;
        if self.watch.is_none() {
            let (sender, notices) = mpsc::channel(NOTICES);
            let store = self.controller.worker.reconciler().store().clone();
            let watch = Watch::new(store, options.watch.clone());
            self.notices = notices;
            self.watch = Some(self.tasks.spawn(watch.run(sender)));
        }
        if let (None, Some(queue)) = (&self.inbox, &options.events) {
            let (sender, concerns) = mpsc::channel(NOTICES);
            let inbox = Inbox::new(queue.clone());
            self.concerns = concerns;
            self.inbox = Some(self.tasks.spawn(inbox.run(sender, options.metrics.clone())));
        }
    }

    fn ended(&mut self, ended: Ended) {
        let Ended { key, pass } = ended;
        match pass
            .as_ref()
            .and_then(|it| it.as_ref().ok()?.settled.clone())
        {
            Some(settled) => drop(self.settled.insert(key.clone(), settled)),
            None => drop(self.settled.remove(&key)),
        }
        match pass {
            None => drop(self.engine.retry(key, None)),
            // Whoever has the lease now works on it: perhaps this replica again.
            Some(Err(error)) if error.is_lost_lease() => match self.is_ours(&key) {
                true => self.engine.add(key, Instant::now(), Look::Afresh),
                false => self.give_up(&key),
            },
            Some(_) if !self.is_ours(&key) => self.give_up(&key),
            Some(Err(error)) => {
                tracing::warn!(release = %key, %error, "the pass could not be made");
                self.engine.retry(key, None);
            }
            Some(Ok(pass)) if pass.gone => {
                self.engine.queue.settle(&key);
                self.known.remove(&key);
                self.index.remove(&key);
            }
            Some(Ok(mut pass)) => {
                if let Some(followed) = pass.version.take() {
                    self.followed(&key, followed);
                }
                if let Some(interest) = pass.interest.take()
                    && self.index.set(key.clone(), interest)
                {
                    // What became ready before it was known who waits for it woke nobody.
                    self.engine.add(key.clone(), Instant::now(), Look::Afresh);
                }
                // Also where it could not put everything away: the next pass tells nothing new.
                if pass.told_anew && is_ready(&pass) {
                    self.wake_waiting(&key);
                }
                if pass.is_retryable() || (pass.unread && pass.plan.actions.is_empty()) {
                    self.engine.retry(key, pass.got_to());
                    return;
                }
                self.engine.queue.settle(&key);
                // What is settled waits for the next sweep.
                if let Some(due) = due(&pass) {
                    self.engine.add(key, due, Look::Afresh);
                }
            }
        }
    }

    /// A pass followed what people wrote in this version: the next list that says so says nothing new,
    /// neither to this Release nor to those that wait for it.
    fn followed(&mut self, key: &ReleaseKey, version: String) {
        if self.known.get(key) != Some(&version) {
            self.known.insert(key.clone(), version);
            self.wake_waiting(key);
        }
    }
}

/// Whether others need not wait for a Release any more.
fn is_ready(pass: &Pass) -> bool {
    is_true(&pass.plan.status.conditions, ConditionType::Ready)
}
