//! How the controller is asked to end: once, and once more by somebody in a hurry.

use std::future::{Future, pending};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::cli::error::CliError;

/// What ends after the grace time: leases are given back, logs and traces written.
const MARGIN: Duration = Duration::from_secs(5);

/// How long after the first signal another one is the same: `timeout` of GNU sends one to its child
/// and one to the child's group, and a terminal's Ctrl-C may come with its shell's.
const ECHO: Duration = Duration::from_millis(200);

/// Counts SIGTERM and Ctrl-C. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<u32>);

impl Stop {
    /// Listens from now on; neither signal ends the process by itself any more.
    pub fn listen() -> Self {
        let (asked, stop) = watch::channel(0);
        let mut signals = Signals::listen();
        tokio::spawn(async move {
            let mut first = None;
            loop {
                signals.next().await;
                if !is_echo(&mut first, Instant::now()) {
                    asked.send_modify(|times| *times += 1);
                }
            }
        });
        Self(stop)
    }

    /// Resolves when the process was asked to end so often.
    pub fn asked(&self, times: u32) -> impl Future<Output = ()> + use<> {
        let mut stop = self.0.clone();
        async move {
            if stop.wait_for(|asked| *asked >= times).await.is_err() {
                pending::<()>().await;
            }
        }
    }

    /// Works on after the first signal, but not past the second, nor much longer than `grace`.
    ///
    /// # Errors
    /// Those of `work`; when it did not end in time.
    pub async fn bound<T>(
        &self,
        work: impl Future<Output = Result<T, CliError>>,
        grace: Duration,
    ) -> Result<T, CliError> {
        let late = async {
            self.asked(1).await;
            tokio::time::sleep(grace + MARGIN).await;
        };
        let why = tokio::select! {
            biased;
            ended = work => return ended,
            () = self.asked(2) => "ended at once, at the second signal".to_owned(),
            () = late => format!("did not end within {} s", (grace + MARGIN).as_secs()),
        };
        Err(CliError::new(why).help(
            "nothing is lost: what was under way is found again at the next start, and leases that \
             were not given back run out by themselves",
        ))
    }

    #[cfg(test)]
    fn test() -> (watch::Sender<u32>, Self) {
        let (asked, stop) = watch::channel(0);
        (asked, Self(stop))
    }
}

/// Whether a signal that comes now says only what the first one said; the first is remembered.
fn is_echo(first: &mut Option<Instant>, now: Instant) -> bool {
    match *first {
        Some(first) => now.duration_since(first) < ECHO,
        None => {
            *first = Some(now);
            false
        }
    }
}

/// Resolves when the process is asked to end.
#[cfg(feature = "sandbox")]
pub async fn signal() {
    Signals::listen().next().await;
}

/// SIGTERM and Ctrl-C, none of them missed.
#[cfg(unix)]
struct Signals([Option<tokio::signal::unix::Signal>; 2]);

#[cfg(unix)]
impl Signals {
    fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        // One that cannot be listened to ends the process by itself, as it does everywhere.
        Self([SignalKind::interrupt(), SignalKind::terminate()].map(|kind| signal(kind).ok()))
    }

    async fn next(&mut self) {
        let [interrupt, terminate] = &mut self.0;
        tokio::select! {
            () = received(interrupt) => {}
            () = received(terminate) => {}
        }
    }
}

#[cfg(unix)]
async fn received(signal: &mut Option<tokio::signal::unix::Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    pending::<()>().await;
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> Self {
        Self
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    const GRACE: Duration = Duration::from_secs(20);

    #[tokio::test(start_paused = true)]
    async fn what_ends_within_the_grace_time_ends_well() {
        let (asked, stop) = Stop::test();
        let work = async {
            stop.asked(1).await;
            sleep(GRACE).await;
            Ok("leases given back")
        };
        asked.send_replace(1);
        assert_eq!(stop.bound(work, GRACE).await.unwrap(), "leases given back");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pass_that_hangs_does_not_keep_the_process() {
        let (asked, stop) = Stop::test();
        let begun = Instant::now();
        let signal = async {
            sleep(Duration::from_secs(100)).await;
            asked.send_replace(1);
        };
        let ended = tokio::join!(stop.bound(pending::<Result<(), _>>(), GRACE), signal).0;
        assert_eq!(begun.elapsed().as_secs(), 125);
        let told = ended.unwrap_err().render();
        assert!(told.contains("did not end within 25 s"), "{told}");
    }

    #[test]
    fn two_signals_at_once_are_one() {
        let start = Instant::now();
        let mut first = None;
        let echoes: Vec<bool> = [0, 3, 199, 200, 201, 5000]
            .map(|millis| is_echo(&mut first, start + Duration::from_millis(millis)))
            .into();
        assert_eq!(echoes, [false, true, true, false, false, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_signal_waits_for_nothing() {
        let (asked, stop) = Stop::test();
        let begun = Instant::now();
        let signals = async {
            asked.send_replace(1);
            sleep(Duration::from_secs(1)).await;
            asked.send_replace(2);
        };
        let ended = tokio::join!(stop.bound(pending::<Result<(), _>>(), GRACE), signals).0;
        assert_eq!(begun.elapsed().as_secs(), 1);
        let told = ended.unwrap_err().render();
        assert!(told.contains("second signal"), "{told}");
    }
}
