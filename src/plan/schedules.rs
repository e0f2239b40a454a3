//! Schedules: EventBridge rules of this release, and what EventBridge Scheduler fires for it, put
//! right once every service has moved.

mod course;
mod prune;
mod rule;
mod scheduled;
mod switch;

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub use prune::{made, may_prune, prune, prune_made, remove, retire};
pub use scheduled::{delete_group, is_owned_group, made as made_scheduled};

use super::base::{self, Registered};
use super::claims;
use super::draft::Draft;
use super::drift;
use super::rollout::short;
use super::target::{self, Place};
use crate::model::desired::Schedule;
use crate::model::known::Known;
use crate::model::ledger::{PartTarget, Revision, RevisionOutcome};
use crate::model::observed::{Rule, Scheduled};
use crate::model::plan::Step;
use crate::resource::meta::ReleaseKey;
use crate::resource::release::{ScheduleBackend, ScheduleState};
use crate::resource::status::{DifferenceAction, PartState, ScheduleStatus};
use rule::our_target;

/// Tag that names the Release a rule belongs to.
pub const RELEASE_TAG: &str = "evenkeel:release";
/// Tag that names the table of the installation it belongs to.
pub const INSTALLATION_TAG: &str = "evenkeel:installation";

/// Both tags of a rule of this Release.
pub fn ownership(key: &ReleaseKey, installation: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (RELEASE_TAG.to_owned(), key.to_string()),
        (INSTALLATION_TAG.to_owned(), installation.to_owned()),
    ])
}

/// Whether a rule has both our tags.
pub fn is_owned(draft: &Draft<'_>, rule: &Rule) -> bool {
    is_of(draft, &rule.tags)
}

/// Whether these tags say that something is this Release's.
fn is_of(draft: &Draft<'_>, tags: &BTreeMap<String, String>) -> bool {
    let ours = ownership(&draft.input.desired.key, &draft.input.observed.installation);
    ours.iter().all(|(key, value)| tags.get(key) == Some(value))
}

/// What there is of a schedule.
#[derive(Clone, Copy)]
enum Found<'a> {
    Rule(Option<&'a Rule>),
    Scheduled(Option<&'a Scheduled>),
}

impl Found<'_> {
    /// Whether it runs our task when its time comes.
    fn fires(self, draft: &Draft<'_>) -> bool {
        match self {
            Found::Rule(rule) => rule.is_some_and(|rule| rule::fires(draft, rule)),
            Found::Scheduled(found) => {
                found.is_some_and(|it| scheduled::fires(it, draft.input.now))
            }
        }
    }
}

/// What a schedule is to run, and whether it is to fire.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    place: Place<'a>,
    state: ScheduleState,
}

/// What has to change in a rule or schedule.
struct Change {
    /// In this order.
    steps: Vec<(Why, Step)>,
    /// Field, wanted, actual.
    fields: Vec<(String, String, String)>,
}

/// Why a step is done.
enum Why {
    /// For this.
    Own(String),
    /// For the fields that differ.
    Fields,
    /// The same, and for what it runs.
    Runs,
}

impl Change {
    fn of(draft: &Draft<'_>, schedule: &Schedule, wanted: Wanted<'_>, found: Found<'_>) -> Self {
        match found {
            Found::Rule(rule) => rule::change(draft, schedule, wanted, rule),
            Found::Scheduled(found) => scheduled::change(draft, schedule, wanted, found),
        }
    }
}

/// Tells of schedules that cannot be written at all, before anything else is begun.
pub fn check(draft: &mut Draft<'_>) {
    for schedule in &draft.input.desired.schedules {
        let refused = match (
            &schedule.scheduler,
            draft.input.observed.rules.get(&schedule.rule),
        ) {
            (Some(_), _) => scheduled::refusal(draft, schedule),
            (None, Some(Known::Present(rule))) => rule::refusal(draft, schedule, rule),
            (None, _) => None,
        };
        if let Some((reason, message)) = refused {
            let resource = format!("schedule/{}", schedule.name);
            draft.stall(&resource, reason, format!("{resource}: {message}"));
        }
    }
}

/// The beginning of what is told of a schedule.
fn status_of(draft: &Draft<'_>, schedule: &Schedule) -> ScheduleStatus {
    let of_scheduler = schedule.scheduler.is_some();
    let group = &draft.input.desired.schedule_group;
    ScheduleStatus {
        name: schedule.name.clone(),
        backend: of_scheduler.then_some(ScheduleBackend::Scheduler),
        rule_name: (!of_scheduler).then(|| schedule.rule.clone()),
        schedule_name: of_scheduler.then(|| format!("{group}/{}", schedule.name)),
        ..ScheduleStatus::default()
    }
}

/// Puts every declared schedule right; true once all are.
pub fn write(draft: &mut Draft<'_>, revision: &Revision, open: bool) -> bool {
    let mut all = true;
    for schedule in &draft.input.desired.schedules {
        let status = one(draft, revision, schedule, open);
        all &= status.state == PartState::Done;
        draft.status.schedules.push(status);
    }
    all
}

/// Points the rules that ran something before evenkeel's first write back at that. Nothing else of
/// them was recorded. True once all are.
pub fn point_back(draft: &mut Draft<'_>, zero: &Revision) -> bool {
    let mut all = true;
    for schedule in &draft.input.desired.schedules {
        let resource = format!("schedule/{}", schedule.name);
        if let Some(part) = zero.parts.get(&resource) {
            let status = match schedule.scheduler {
                Some(_) => scheduled::one_back(draft, schedule, part),
                None => one_back(draft, schedule, part),
            };
            all &= status.state == PartState::Done;
            draft.status.schedules.push(status);
        }
    }
    all
}

fn one_back(draft: &mut Draft<'_>, schedule: &Schedule, part: &PartTarget) -> ScheduleStatus {
    let resource = format!("schedule/{}", schedule.name);
    let mut status = status_of(draft, schedule);
    let known = draft.input.observed.rules.get(&schedule.rule);
    let Some(rule) = draft.seen(&resource, known) else {
        status.state = PartState::Unknown;
        return status;
    };
    // What is not ours yet was not touched.
    let ours = rule.filter(|rule| is_owned(draft, rule));
    let Some((_, existing)) = ours.and_then(|rule| our_target(draft, rule, schedule.adopt)) else {
        status.state = PartState::Done;
        return status;
    };
    let Some(arn) = registered(draft, &resource, part, &mut status) else {
        return status;
    };
    status.task_definition = Some(arn.clone());
    if target::definition(existing) == Some(arn.as_str()) {
        status.state = PartState::Done;
        return status;
    }
    let mut wanted = existing.clone();
    if let Some(Value::Object(ecs)) = wanted.get_mut("EcsParameters") {
        ecs.insert("TaskDefinitionArn".to_owned(), json!(arn));
    }
    let input = json!({"Rule": schedule.rule, "Targets": [wanted]});
    let reason = format!("back to {}", short(&arn));
    draft.act(&resource, reason, Step::PutTargets { input });
    status.state = PartState::Progressing;
    let message = format!("{resource} is being written");
    draft.progress(&resource, "WritingSchedules", message);
    status
}

fn one(
    draft: &mut Draft<'_>,
    revision: &Revision,
    schedule: &Schedule,
    open: bool,
) -> ScheduleStatus {
    let resource = format!("schedule/{}", schedule.name);
    let mut status = status_of(draft, schedule);
    let Some(found) = usable(draft, schedule, &mut status) else {
        return status;
    };
    let correction = revision.outcome == RevisionOutcome::Ready;
    if !open
        && !correction
        && let Some((step, name)) = switch::cut_off(draft, schedule, found)
    {
        goes_on(draft, &resource, step, &name);
        status.state = PartState::Progressing;
        return status;
    }
    let Some(part) = revision.parts.get(&resource) else {
        return status;
    };
    let Some(arn) = registered(draft, &resource, part, &mut status) else {
        return status;
    };
    status.task_definition = Some(arn.clone());
    if let Found::Scheduled(Some(rests)) = found
        && scheduled::rests(draft, schedule, rests)
    {
        let runs = rests.target().and_then(target::definition);
        status.task_definition = runs.map(str::to_owned);
        let message = "its last time has passed: it stays as it is until that is declared anew";
        status.message = Some(message.to_owned());
    }
    let Some(cluster) = cluster_arn(draft) else {
        let message = format!("{resource}: the cluster's ARN is not known");
        draft.doubt(&resource, message);
        return status;
    };
    let place = Place {
        cluster: &cluster,
        task_definition: &arn,
    };
    let whole = Whole {
        schedule,
        found,
        place,
        correction,
    };
    settle(draft, whole, open, status)
}

/// Switches on what a switch left off that was cut off, before anything else: its time may be near.
fn goes_on(draft: &mut Draft<'_>, resource: &str, step: Step, name: &str) {
    let reason = format!("{name} goes on: what was to be switched on instead is not");
    draft.act(resource, reason, step);
    draft.actions.rotate_right(1);
    let message =
        format!("{resource} waits until every service has moved; {name} goes on until then");
    draft.progress(resource, "SwitchingSchedules", message);
}

/// Everything that it takes to put a schedule right.
#[derive(Clone, Copy)]
struct Whole<'a> {
    schedule: &'a Schedule,
    found: Found<'a>,
    place: Place<'a>,
    /// Whether it was delivered before.
    correction: bool,
}

impl Whole<'_> {
    /// What has to change for it to be switched on or off.
    fn change(&self, draft: &Draft<'_>, state: ScheduleState) -> Change {
        let place = self.place;
        Change::of(draft, self.schedule, Wanted { place, state }, self.found)
    }
}

/// Puts a schedule right, or tells why not yet.
fn settle(
    draft: &mut Draft<'_>,
    whole: Whole<'_>,
    open: bool,
    mut status: ScheduleStatus,
) -> ScheduleStatus {
    let Whole {
        schedule,
        found,
        correction,
        ..
    } = whole;
    let resource = format!("schedule/{}", schedule.name);
    // What was delivered has no other that fires in its stead: such a one is extra.
    let other = match correction {
        true => Ok(None),
        false => switch::other(draft, schedule),
    };
    let other = match other {
        Ok(other) => other,
        Err(why) => {
            draft.doubt(&resource, format!("{resource}: {why}"));
            status.state = PartState::Unknown;
            return status;
        }
    };
    let firing = other.as_ref().filter(|other| other.fires);
    // Not both: it is switched on when the other one is off.
    let change = match firing {
        Some(_) if !found.fires(draft) => whole.change(draft, ScheduleState::Disabled),
        _ => whole.change(draft, schedule.state),
    };
    if change.steps.is_empty() && firing.is_none() {
        status.state = PartState::Done;
        return status;
    }
    if correction {
        for (field, desired, actual) in change.fields.clone() {
            let action = DifferenceAction::Pending;
            drift::differs(draft, &resource, &field, desired, actual, action);
        }
    }
    if !open {
        let message = format!("{resource} waits until every service has moved");
        draft.wait(&resource, message.clone());
        status.message = Some(message);
        return status;
    }
    if correction && let Err(left) = drift::may_correct(draft, &resource, other_writer) {
        status.state = left.state;
        status.message = left.message;
        return status;
    }
    status.state = PartState::Progressing;
    match firing {
        Some(other) if change.steps.is_empty() => {
            let on = whole.change(draft, schedule.state);
            status.message = switch::over(draft, schedule, found, other, on);
        }
        _ => carry_out(draft, &resource, change, correction),
    }
    status
}

/// The definition to run, once it is registered.
fn registered(
    draft: &mut Draft<'_>,
    resource: &str,
    target: &PartTarget,
    status: &mut ScheduleStatus,
) -> Option<String> {
    match base::ensure(draft, resource, target) {
        Registered::Active(arn) => return Some(arn),
        Registered::Pending => {
            let message = format!("{resource} waits for its task definition to be registered");
            draft.progress(resource, "Progressing", message);
        }
        Registered::Doubt(why) => {
            draft.doubt(resource, format!("{resource}: {why}"));
            status.state = PartState::Unknown;
        }
    }
    None
}

/// What there is, if it may be written.
fn usable<'a>(
    draft: &mut Draft<'a>,
    schedule: &Schedule,
    status: &mut ScheduleStatus,
) -> Option<Found<'a>> {
    let resource = format!("schedule/{}", schedule.name);
    let (found, refused) = if schedule.scheduler.is_some() {
        let found = scheduled::seen(draft, schedule, status)?;
        let refused = scheduled::refusal(draft, schedule);
        (Found::Scheduled(found), refused)
    } else {
        let known = draft.input.observed.rules.get(&schedule.rule);
        let Some(rule) = draft.seen(&resource, known) else {
            status.state = PartState::Unknown;
            return None;
        };
        let refused = rule.and_then(|rule| rule::refusal(draft, schedule, rule));
        (Found::Rule(rule), refused)
    };
    if let Some((reason, message)) = refused {
        status.state = PartState::Failed;
        status.message = Some(message.clone());
        draft.stall(&resource, reason, format!("{resource}: {message}"));
        return None;
    }
    Some(found)
}

/// Decides the calls.
fn carry_out(draft: &mut Draft<'_>, resource: &str, change: Change, correction: bool) {
    act(
        draft,
        resource,
        change,
        if correction { "put right" } else { "set" },
    );
    draft.progress(
        resource,
        "WritingSchedules",
        format!("{resource} is being written"),
    );
}

fn act(draft: &mut Draft<'_>, resource: &str, change: Change, verb: &str) {
    let fields: Vec<&str> = change
        .fields
        .iter()
        .map(|(field, _, _)| field.as_str())
        .collect();
    let reason = format!("{verb} {}", fields.join(", "));
    for (why, step) in change.steps {
        let reason = match why {
            Why::Own(why) => why,
            Why::Fields => reason.clone(),
            Why::Runs => {
                let runs = definition(&step).map_or("the released images", short);
                format!("{reason}: run {runs}")
            }
        };
        // Several schedules need their group once.
        if !draft.actions.iter().any(|action| action.step == step) {
            draft.act(resource, reason, step);
        }
    }
}

/// The definition that a step has run.
fn definition(step: &Step) -> Option<&str> {
    let target = match step {
        Step::PutTargets { input } => input.get("Targets")?.get(0)?,
        Step::CreateSchedule { input } | Step::UpdateSchedule { input } => input.get("Target")?,
        _ => return None,
    };
    target::definition(target.as_object()?)
}

/// ARN of the Environment's cluster.
fn cluster_arn(draft: &Draft<'_>) -> Option<String> {
    let environment = &draft.input.desired.environment;
    let account = draft.input.observed.account.as_deref()?;
    let region = &environment.region;
    Some(format!(
        "arn:{}:ecs:{region}:{account}:cluster/{}",
        claims::partition(region),
        environment.cluster
    ))
}

/// What is said of rules that are changed back each time.
fn other_writer(_: &Draft<'_>) -> String {
    "changed again: find that writer".to_owned()
}
