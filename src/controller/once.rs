//! `run --once`: works until every Release is Ready, Stalled, suspended or held.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::due;
use super::engine::{Ended, Engine};
use super::queue::Look;
use crate::model::plan::Plan;
use crate::reconcile::{Pass, ReconcileError};
use crate::resource::conditions::{ConditionStatus, ConditionType, find, is_true};
use crate::resource::meta::ReleaseKey;
use crate::resource::status::ReleaseStatus;

/// It gives up on a Release that failed, or could not be observed, so often in a row without getting on.
const PATIENCE: u32 = 15;

/// How long after a pass a Release that moves is looked at again at the latest.
const LATEST: Duration = Duration::from_secs(5);

/// How every Release stood when `run --once` ended.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Those that are Ready.
    pub ready: Vec<ReleaseKey>,
    /// Those that are Stalled, with reason and message.
    pub stalled: Vec<(ReleaseKey, String, String)>,
    /// Those that are suspended.
    pub suspended: Vec<ReleaseKey>,
    /// Those whose new revision waits for an approval, a window or other Releases, with reason and
    /// message: nothing ails them.
    pub held: Vec<(ReleaseKey, String, String)>,
}

/// How a Release stands after a pass.
enum Standing {
    Ready,
    Stalled(String, String),
    Suspended,
    Held(String, String),
    Gone,
    Moving,
    /// It could not be found out.
    Unknown(String),
}

/// What has come of the Releases so far.
#[derive(Default)]
struct Tally {
    summary: Summary,
    failures: HashMap<ReleaseKey, u32>,
    /// Those that others may still let go on.
    held: BTreeMap<ReleaseKey, (String, String)>,
    /// A Release that cannot be worked on does not keep the others from being.
    given_up: Option<ReconcileError>,
}

/// Works on these keys until each stands. After an error passes may still be under way.
///
/// # Errors
/// When the table cannot be read or written, credentials are missing, or a Release could not be
/// observed for a long time.
pub async fn work(engine: &mut Engine, keys: &[ReleaseKey]) -> Result<Summary, ReconcileError> {
    let now = Instant::now();
    for key in keys {
        engine.add(key.clone(), now, Look::Afresh);
    }
    let mut tally = Tally::default();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        if !engine.start().is_empty() {
            return Err(ReconcileError::NoLease);
        }
        if engine.queue.is_empty() {
            break;
        }
        let next = engine.queue.next_due();
        let due = async {
            match next {
                Some(next) => tokio::time::sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ended = engine.ended() => tally.take(engine, ended)?,
            _ = second.tick() => engine.measure(),
            () = due => {}
        }
    }
    let Tally {
        mut summary,
        given_up,
        held,
        ..
    } = tally;
    let held = held.into_iter();
    summary.held = held
        .map(|(key, (reason, message))| (key, reason, message))
        .collect();
    summary.ready.sort();
    summary.stalled.sort();
    summary.suspended.sort();
    given_up.map_or(Ok(summary), Err)
}

impl Tally {
    fn take(&mut self, engine: &mut Engine, ended: Ended) -> Result<(), ReconcileError> {
        let Ended { key, pass } = ended;
        let Some(pass) = pass else {
            let why = format!("release {key}: the worker panicked");
            self.fail(engine, key, ReconcileError::Invalid(why), None);
            return Ok(());
        };
        let pass = match pass {
            Ok(pass) => pass,
            Err(error) if error.is_final() || error.is_lost_lease() => return Err(error),
            Err(error) => {
                self.fail(engine, key, error, None);
                return Ok(());
            }
        };
        let latest = Instant::now() + LATEST;
        let again = match due(&pass) {
            Some(due) if pass.over_budget.is_some() => due,
            due => due.map_or(latest, |due| due.min(latest)),
        };
        match standing(&pass) {
            _ if pass.is_retryable() => {
                let error = not_done(&key, &pass);
                self.fail(engine, key, error, pass.got_to());
            }
            Standing::Ready => {
                self.summary.ready.push(key);
                self.look_again_at_held(engine);
            }
            Standing::Held(reason, message) => drop(self.held.insert(key, (reason, message))),
            Standing::Suspended => self.summary.suspended.push(key),
            Standing::Stalled(reason, message) => self.summary.stalled.push((key, reason, message)),
            Standing::Gone => {}
            Standing::Moving => {
                self.failures.remove(&key);
                engine.queue.settle(&key);
                engine.add(key, again, Look::Afresh);
            }
            Standing::Unknown(why) => {
                if self.is_patient(&key) {
                    engine.add(key, again, Look::Afresh);
                } else {
                    let why = format!("release {key} could not be observed: {why}");
                    self.given_up.get_or_insert(ReconcileError::Invalid(why));
                }
            }
        }
        Ok(())
    }

    /// Something became Ready: those that wait for others may go on.
    fn look_again_at_held(&mut self, engine: &mut Engine) {
        let now = Instant::now();
        self.held.retain(|key, (reason, _)| {
            let waits = reason == "RequirementNotMet";
            if waits {
                engine.add(key.clone(), now, Look::Afresh);
            }
            !waits
        });
    }

    fn fail(
        &mut self,
        engine: &mut Engine,
        key: ReleaseKey,
        error: ReconcileError,
        got_to: Option<String>,
    ) {
        if engine.retry(key.clone(), got_to) {
            self.failures.remove(&key);
        }
        if !self.is_patient(&key) {
            engine.queue.remove(&key);
            self.given_up.get_or_insert(error);
        }
    }

    fn is_patient(&mut self, key: &ReleaseKey) -> bool {
        let count = self.failures.entry(key.clone()).or_default();
        *count += 1;
        *count < PATIENCE
    }
}

fn standing(pass: &Pass) -> Standing {
    if pass.gone {
        return Standing::Gone;
    }
    let status: &ReleaseStatus = &pass.plan.status;
    let ready = find(&status.conditions, ConditionType::Ready);
    if let Some(stalled) = find(&status.conditions, ConditionType::Stalled)
        && is_true(&status.conditions, ConditionType::Stalled)
        && (pass.failed.is_some() || !is_under_way(&pass.plan))
    {
        return Standing::Stalled(stalled.reason.clone(), stalled.message.clone());
    }
    match ready {
        Some(ready) if ready.reason == "Suspended" && pass.plan.actions.is_empty() => {
            Standing::Suspended
        }
        Some(ready) if is_held(&pass.plan) => {
            Standing::Held(ready.reason.clone(), ready.message.clone())
        }
        Some(ready) if ready.status == ConditionStatus::True && pass.plan.actions.is_empty() => {
            Standing::Ready
        }
        Some(ready) if ready.status == ConditionStatus::Unknown => {
            Standing::Unknown(ready.message.clone())
        }
        _ => Standing::Moving,
    }
}

/// Whether a new revision waits for something that is not of its making.
fn is_held(plan: &Plan) -> bool {
    plan.held && plan.actions.is_empty() && !plan.following
}

/// Whether something goes on beside what is stalled; it is followed to its end, which its timeout
/// bounds. The states of parts do not tell: those that this pass did not come to are from before.
fn is_under_way(plan: &Plan) -> bool {
    !plan.actions.is_empty() || plan.following
}

fn not_done(key: &ReleaseKey, pass: &Pass) -> ReconcileError {
    let why = pass
        .failed
        .as_ref()
        .map(|(_, error)| error.to_string())
        .unwrap_or_default();
    ReconcileError::Invalid(format!("release {key}: {why}"))
}
