//! Listening to what is traced and logged, for tests that run beside others.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::dispatcher::{DefaultGuard, Dispatch};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::{Layer, registry};

/// Kept for as long as the process runs, so that nobody who listens is ever alone: two, since one is
/// alone itself until the first who listens comes.
static SILENT: LazyLock<[Dispatch; 2]> =
    LazyLock::new(|| [(); 2].map(|()| Dispatch::new(registry().with(LevelFilter::OFF))));

/// Listens on this thread until what is returned goes.
///
/// While one subscriber alone listens, `tracing` asks that of the *calling* thread, once and for
/// all, whether a line of code interests anybody: a test on another thread that comes there first
/// silences it for everybody (<https://github.com/tokio-rs/tracing/issues/2874>).
pub fn listen(subscriber: impl Subscriber + Send + Sync + 'static) -> DefaultGuard {
    LazyLock::force(&SILENT);
    tracing::dispatcher::set_default(&Dispatch::new(subscriber))
}

static HEARD: AtomicUsize = AtomicUsize::new(0);

struct Counts;

impl<S: Subscriber> Layer<S> for Counts {
    fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
        HEARD.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn what_another_thread_came_to_first_is_heard() {
    let _listening = listen(registry().with(Counts));
    let tell = || tracing::info!("told");
    std::thread::spawn(tell).join().unwrap();
    tell();
    assert_eq!(HEARD.load(Ordering::Relaxed), 1);
}
