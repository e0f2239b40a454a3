//! The watch: tells the loop what changed in the table.
//!
//! List and watch, as Kubernetes has it. The places in the stream are taken first and the loop is
//! told to list after that, so that no change falls between the two. Wherever records were lost
//! the loop lists again, and as long as the stream cannot be read, whole or in part, it lists every
//! few seconds. A notice says what to look at and holds no state: one too many costs a look.
//!
//! Each shard is read by a task of its own. AWS bills each read and serves two readers of a shard
//! well; with more replicas than that each one slows down when it is throttled.

mod reader;
mod shards;
mod standing;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::backoff::Pauses;
use crate::aws::streams::{Located, Start, Stream};
use crate::aws::{AwsError, ErrorClass};
use crate::store::{Changed, Store, StoreError};
use reader::{Outcome, Reader};
use shards::Progress;
use standing::Standing;

/// How long the loop waits for the stream before it lists for the first time without it: where the
/// stream's endpoint cannot be reached, that takes seconds to show.
const PATIENCE: Duration = Duration::from_millis(250);
/// Failures in a row after which something counts as broken: one lost answer is no news.
const FAILURES: u32 = 3;

/// What the loop is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Something changed; never [`Changed::Other`].
    Changed(Changed),
    /// Changes may have been missed: everything is to be listed and compared.
    List,
}

/// How often what is looked at.
#[derive(Clone, Debug)]
pub struct WatchOptions {
    /// How often each shard is read.
    pub read: Duration,
    /// How often it is read once nothing has been heard of for a while that matters.
    pub idle: Duration,
    /// How seldom at most, where AWS throttles.
    pub slowest: Duration,
    /// How often the loop lists while the stream cannot be read.
    pub poll: Duration,
    /// How often new shards are looked for, besides whenever one ends.
    pub rescan: Duration,
    /// How long until a stream is tried again that is off, or may not be read.
    pub retry: Duration,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            read: Duration::from_millis(200),
            idle: Duration::from_millis(400),
            slowest: Duration::from_secs(2),
            poll: Duration::from_secs(5),
            rescan: Duration::from_secs(60),
            retry: Duration::from_secs(300),
        }
    }
}

/// Watches one table.
#[derive(Debug)]
pub struct Watch {
    store: Store,
    options: WatchOptions,
}

/// Why the stream is not read any more.
enum Unread {
    /// It is off.
    Off,
    /// It could not be opened.
    Failed(StoreError),
    /// It was read and is over or gone, as when it was turned off or the table made anew.
    Gone,
}

impl Watch {
    /// Watches the table of `store`. Nothing is called yet.
    pub fn new(store: Store, options: WatchOptions) -> Self {
        Self { store, options }
    }

    /// Sends notices until nobody receives them any more. Failures end nothing: they are logged
    /// when they begin and when they are over.
    pub async fn run(self, notices: Sender<Notice>) {
        let standing = Arc::new(Standing::default());
        tokio::select! {
            () = notices.closed() => {}
            () = self.poll(&standing, &notices) => {}
            () = self.watch(&standing, &notices) => {}
        }
    }

    /// Lets the loop list at intervals for as long as the stream is not wholly read.
    async fn poll(&self, standing: &Standing, notices: &Sender<Notice>) {
        let mut pause = PATIENCE;
        loop {
            let _broke_or_due = tokio::time::timeout(pause, standing.broke()).await;
            if !standing.is_whole() && notices.send(Notice::List).await.is_err() {
                return;
            }
            pause = self.options.poll;
        }
    }

    /// Reads the stream, again and again.
    async fn watch(&self, standing: &Arc<Standing>, notices: &Sender<Notice>) {
        let mut pauses = Pauses::default();
        loop {
            let began = Instant::now();
            let ended = self.follow(standing, notices).await;
            standing.shut();
            if began.elapsed() > self.options.rescan {
                pauses = Pauses::default();
            }
            let pause = match ended {
                Unread::Gone => pauses.next(),
                Unread::Off => {
                    let table = self.store.table().name();
                    standing.breaks(
                        "stream",
                        &format!("the stream of table {table} is off: run `evenkeel init`"),
                    );
                    self.options.retry
                }
                Unread::Failed(error) => {
                    standing.breaks("stream", &error.to_string());
                    let lasting = error.aws().is_some_and(is_lasting);
                    if lasting {
                        self.options.retry
                    } else {
                        pauses.next()
                    }
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Reads the stream from now on.
    async fn follow(&self, standing: &Arc<Standing>, notices: &Sender<Notice>) -> Unread {
        let (stream, mut progress, places) = match self.open().await {
            Ok(opened) => opened,
            Err(unread) => return unread,
        };
        standing.open();
        if notices.send(Notice::List).await.is_err() {
            return Unread::Gone;
        }
        let mut readers = JoinSet::new();
        let reader = |shard: String, start: Start, iterator: Option<String>| {
            let (standing, options) = (Arc::clone(standing), self.options.clone());
            Reader::new(stream.clone(), shard, options, standing, notices.clone())
                .run(start, iterator)
        };
        for (shard, iterator) in places {
            readers.spawn(reader(shard, Start::Latest, Some(iterator)));
        }
        let mut pauses = Pauses::default();
        let mut failures = 0;
        let mut scan = Instant::now() + self.first_scan(&progress);
        loop {
            tokio::select! {
                Some(ended) = readers.join_next() => match ended {
                    Ok((shard, Outcome::Ended)) => {
                        progress.ended(&shard);
                        scan = Instant::now();
                    }
                    // One that panicked has lost its place.
                    Ok((_, Outcome::Gone)) | Err(_) => return Unread::Gone,
                },
                () = tokio::time::sleep_until(scan) => match stream.describe().await {
                    Ok(found) => {
                        failures = 0;
                        standing.works("shards");
                        for shard in progress.scanned(&found.shards) {
                            readers.spawn(reader(shard, Start::Horizon, None));
                        }
                        if !found.enabled && readers.is_empty() {
                            return Unread::Gone;
                        }
                        scan = Instant::now() + if progress.expects_more() {
                            pauses.next()
                        } else {
                            pauses = Pauses::default();
                            self.options.rescan
                        };
                    }
                    Err(error) if error.is_not_found() => return Unread::Gone,
                    Err(error) => {
                        failures += 1;
                        if failures >= FAILURES || is_lasting(&error) {
                            standing.breaks("shards", &error.to_string());
                        }
                        scan = Instant::now() + pauses.next();
                    }
                },
            }
        }
    }

    fn first_scan(&self, progress: &Progress) -> Duration {
        if progress.expects_more() {
            Duration::ZERO
        } else {
            self.options.rescan
        }
    }

    /// The stream, with an iterator for whatever comes from now on in each of its newest shards.
    /// What is in older ones was written before.
    async fn open(&self) -> Result<(Stream, Progress, Vec<(String, String)>), Unread> {
        let failed = |error: AwsError| Unread::Failed(StoreError::Aws(error.into()));
        let stream = self.store.table().stream().await;
        let stream = stream.map_err(|error| Unread::Failed(error.into()))?;
        let stream = stream.ok_or(Unread::Off)?;
        let found = stream.describe().await.map_err(failed)?;
        if !found.enabled {
            return Err(Unread::Off);
        }
        let (mut progress, newest) = Progress::begin(&found.shards);
        let mut places = Vec::new();
        for shard in newest {
            let located = stream.locate(&shard, &Start::Latest).await;
            match located.map_err(failed)? {
                Located::At(iterator) => places.push((shard, iterator)),
                Located::Ended | Located::Trimmed => progress.ended(&shard),
            }
        }
        Ok((stream, progress, places))
    }
}

/// Whether it stays so until a person does something.
fn is_lasting(error: &AwsError) -> bool {
    matches!(error.class, ErrorClass::Denied | ErrorClass::Refused)
}

#[cfg(test)]
#[cfg(feature = "sandbox")]
mod tests;
