//! A deployment under way, step by step.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::super::cx::Cx;
use super::super::ecs::{Ecs, SetSeen, Wish};
use super::super::rules::StageBehavior;
use super::appspec::{self, AppSpec};
use super::deployment::{Deployment, Status, Step, ready_wait, termination_wait};
use super::endings::{Cause, Failure};
use super::traffic::Shift;
use super::{CodeDeploy, groups, later};

/// How long it takes until a deployment is queued, and again until it is in progress.
const BEGINS: SignedDuration = SignedDuration::from_secs(1);
/// How long an event takes in which nothing happens.
const PASSES: SignedDuration = SignedDuration::from_secs(1);
/// How long a hook, or a shift of all the traffic, takes.
const MOMENT: SignedDuration = SignedDuration::from_secs(2);
/// How long CodeDeploy waits for tasks, and for the answer of a hook.
const PATIENCE: SignedDuration = SignedDuration::from_hours(1);

const NO_TASKS: &str = "The deployment timed out while waiting for the replacement task set to become healthy. This time out period is 60 minutes.";
const NO_ANSWER: &str = "The deployment timed out while waiting for a status callback. CodeDeploy expects a status callback within one hour after a deployment hook is invoked.";

/// What becomes of a step now.
enum Next {
    /// It is over.
    On,
    /// It goes on until then, or until ECS takes a step.
    Wait(Option<Timestamp>),
    Fails(Failure),
}

/// What rules say of a step.
#[derive(Default)]
struct Told {
    fails: Option<String>,
    hooks: Option<String>,
    takes: Option<SignedDuration>,
    shows: Option<String>,
}

/// When a deployment that was just made is queued.
pub(super) fn queued_at(it: &Deployment) -> Timestamp {
    later(it.created, BEGINS)
}

impl CodeDeploy {
    /// Goes on with a deployment as far as it comes. Answers when it is to be looked at next, whatever
    /// ECS does.
    pub(super) fn step(
        &mut self,
        cx: &mut Cx<'_>,
        ecs: &mut Ecs,
        it: &mut Deployment,
    ) -> Option<Timestamp> {
        loop {
            if it.status.is_over() {
                return None;
            }
            let stops = it.stop.map(|stop| stop.at);
            if let Some(stop) = it.stop.filter(|stop| cx.now >= stop.at) {
                self.fail(cx, ecs, it, Failure::stopped(stop.undo));
                return None;
            }
            let next = match it.status {
                Status::Created => queued(cx, it),
                Status::Queued => started(cx, ecs, it),
                _ => self.next(cx, ecs, it),
            };
            let came = match next {
                Next::Wait(until) => {
                    look(ecs, it);
                    return [until, stops].into_iter().flatten().min();
                }
                Next::On => self.come_on(cx, ecs, it),
                Next::Fails(failure) => Err(failure),
            };
            if let Err(failure) = came {
                self.fail(cx, ecs, it, failure);
                return None;
            }
        }
    }

    /// Leaves what is over and enters what comes then.
    fn come_on(
        &mut self,
        cx: &mut Cx<'_>,
        ecs: &mut Ecs,
        it: &mut Deployment,
    ) -> Result<(), Failure> {
        let now = cx.now;
        match it.status {
            Status::Created => {
                it.status = Status::Queued;
                return Ok(());
            }
            Status::Queued => {
                it.status = Status::InProgress;
                it.started = Some(now);
                if it.undoes.is_none() {
                    let sets = ecs.task_sets(&it.place);
                    it.blue = sets.first().map(|set| set.name.clone());
                }
                self.tell(cx, it, "START");
            }
            _ => {
                let over = it.step();
                if let Some(event) = over.and_then(|step| it.event_mut(step)) {
                    event.status = "Succeeded";
                    event.ended = Some(now);
                }
                if it.status == Status::Ready {
                    it.status = Status::InProgress;
                }
                it.at += 1;
            }
        }
        match it.step() {
            Some(step) => self.enter(cx, ecs, it, step),
            None => {
                self.succeed(cx, ecs, it);
                Ok(())
            }
        }
    }

    fn enter(
        &mut self,
        cx: &mut Cx<'_>,
        ecs: &mut Ecs,
        it: &mut Deployment,
        step: Step,
    ) -> Result<(), Failure> {
        let now = cx.now;
        it.since = now;
        it.goes_on = false;
        let shows = told(cx, it, step).shows;
        let execution = cx.ids.uuid();
        let id = it.id.clone();
        let is_rollback = it.undoes.is_some();
        if let Some(event) = it.event_mut(step) {
            event.status = "InProgress";
            event.started = Some(now);
            if let Some(name) = shows {
                event.name = name;
            }
            let function = event.function.clone();
            if let Some(function) = function.filter(|_| !is_rollback) {
                event.execution = Some(execution.clone());
                let given = json!({
                    "Payload": {
                        "DeploymentId": id,
                        "LifecycleEventHookExecutionId": execution,
                    },
                });
                self.invoked.push((function_name(&function), given));
            }
        }
        match step {
            Step::Install => return self.install(cx, ecs, it),
            Step::ReadyWait => {
                it.status = Status::Ready;
                self.tell(cx, it, "READY");
            }
            Step::TerminationWait => it.terminating = true,
            _ => {}
        }
        Ok(())
    }

    /// Makes the green task set; what deployments before left behind goes.
    fn install(
        &mut self,
        cx: &mut Cx<'_>,
        ecs: &mut Ecs,
        it: &mut Deployment,
    ) -> Result<(), Failure> {
        let spec = spec(it).map_err(|why| Failure::invalid(&why))?;
        let sets = ecs.task_sets(&it.place);
        for left in sets.iter().filter(|set| set.status == "ACTIVE") {
            ecs.drain_task_set(cx, &it.place, &left.name);
        }
        let mut members = spec.members;
        if let Some(arn) = self.other_target_group(cx, it, sets.first()) {
            let balancers = json!([{
                "targetGroupArn": arn,
                "containerName": spec.container,
                "containerPort": spec.port,
            }]);
            members.insert("loadBalancers".to_owned(), balancers);
        }
        let wish = Wish {
            definition: &spec.definition,
            external: &it.id,
            members,
        };
        match ecs.make_task_set(cx, &it.place, wish) {
            Ok(name) => it.green = Some(name),
            Err(fault) => return Err(Failure::of_ecs(cx, &fault)),
        }
        Ok(())
    }

    /// The target group of the pair that the blue task set is not in.
    fn other_target_group(
        &mut self,
        cx: &Cx<'_>,
        it: &Deployment,
        blue: Option<&SetSeen>,
    ) -> Option<String> {
        let pair = &it.setting("loadBalancerInfo")["targetGroupPairInfoList"][0];
        let pair = pair["targetGroups"].as_array()?;
        let name = |at: usize| pair.get(at)?["name"].as_str();
        for arn in blue.into_iter().flat_map(|set| &set.target_groups) {
            if let Some(name) = group_name(arn) {
                self.target_groups.insert(name.to_owned(), arn.clone());
            }
        }
        let first = blue.and_then(|set| set.target_groups.first());
        let taken = first.and_then(|arn| group_name(arn)) == name(0);
        let other = name(usize::from(taken))?;
        let known = self.target_groups.entry(other.to_owned());
        Some(known.or_insert_with(|| group_arn(cx, other)).clone())
    }

    fn next(&mut self, cx: &mut Cx<'_>, ecs: &mut Ecs, it: &mut Deployment) -> Next {
        let Some(step) = it.step() else {
            return Next::On;
        };
        let told = told(cx, it, step);
        let ends = later(it.since, told.takes.unwrap_or(MOMENT));
        let Some(reason) = &told.fails else {
            return self.course(cx, ecs, it, step, &told);
        };
        if cx.now >= ends {
            return Next::Fails(Failure::told(step, reason));
        }
        // It goes its way until then.
        match self.course(cx, ecs, it, step, &told) {
            Next::Wait(Some(until)) => Next::Wait(Some(until.min(ends))),
            Next::Wait(None) | Next::On => Next::Wait(Some(ends)),
            fails @ Next::Fails(_) => fails,
        }
    }

    /// The ordinary course of a step.
    fn course(
        &mut self,
        cx: &mut Cx<'_>,
        ecs: &mut Ecs,
        it: &mut Deployment,
        step: Step,
        told: &Told,
    ) -> Next {
        let now = cx.now;
        let after = |wait: SignedDuration| later(it.since, told.takes.unwrap_or(wait));
        let until = |at: Timestamp| match now >= at {
            true => Next::On,
            false => Next::Wait(Some(at)),
        };
        match step {
            Step::Install => installed(now, ecs, it, after(SignedDuration::ZERO)),
            Step::AllowTraffic => allow_traffic(cx, ecs, it, after(MOMENT)),
            Step::ReadyWait if it.goes_on => Next::On,
            Step::ReadyWait => {
                let wait = ready_wait(&it.settings).unwrap_or(SignedDuration::ZERO);
                match until(later(it.since, wait)) {
                    Next::On => Next::Fails(Failure::unanswered(wait)),
                    waits => waits,
                }
            }
            Step::TerminationWait if it.goes_on => Next::On,
            Step::TerminationWait => {
                let wait = termination_wait(&it.settings).unwrap_or(SignedDuration::ZERO);
                until(later(it.since, wait))
            }
            _ => match it.event(step).filter(|event| event.execution.is_some()) {
                Some(event) => hooked(now, it.since, event.answer, told),
                None => until(after(PASSES)),
            },
        }
    }
}

fn queued(cx: &Cx<'_>, it: &Deployment) -> Next {
    let at = queued_at(it);
    match cx.now >= at {
        true => Next::On,
        false => Next::Wait(Some(at)),
    }
}

fn started(cx: &Cx<'_>, ecs: &Ecs, it: &Deployment) -> Next {
    let at = later(queued_at(it), BEGINS);
    if cx.now < at {
        return Next::Wait(Some(at));
    }
    if it.undoes.is_none()
        && let Err(why) = spec(it)
    {
        return Next::Fails(Failure::invalid(&why));
    }
    match groups::is_released(ecs, &it.place) {
        Ok(()) => Next::On,
        Err(fault) => Next::Fails(Failure::new("INVALID_ECS_SERVICE", fault.message)),
    }
}

/// What becomes of a hook.
fn hooked(now: Timestamp, since: Timestamp, answer: Option<bool>, told: &Told) -> Next {
    let failed = || Next::Fails(Failure::hook("The hook answered Failed."));
    match answer {
        Some(true) => return Next::On,
        Some(false) => return failed(),
        None => {}
    }
    let gives_up = later(since, PATIENCE);
    if now >= gives_up {
        return Next::Fails(Failure::timeout(NO_ANSWER));
    }
    let answers = told.hooks.as_deref().unwrap_or("SUCCEEDED");
    let at = later(since, told.takes.unwrap_or(MOMENT));
    if now < at {
        return Next::Wait(Some(at.min(gives_up)));
    }
    match answers.to_ascii_uppercase().as_str() {
        "SUCCEEDED" => Next::On,
        "FAILED" => failed(),
        _ => Next::Wait(Some(gives_up)),
    }
}

/// Whether the green tasks run.
fn installed(now: Timestamp, ecs: &Ecs, it: &Deployment, earliest: Timestamp) -> Next {
    let sets = ecs.task_sets(&it.place);
    let green = sets.iter().find(|set| it.green.as_ref() == Some(&set.name));
    let gives_up = later(it.since, PATIENCE);
    match green {
        None => Next::Fails(Failure {
            code: "ECS_UPDATE_ERROR",
            message: "The ECS service cannot be updated: the replacement task set is gone. Check your ECS service status.".to_owned(),
            trouble: None,
            cause: Cause::Failure,
        }),
        Some(set) if set.steady && now >= earliest => Next::On,
        Some(_) if now >= gives_up => Next::Fails(Failure::timeout(NO_TASKS)),
        Some(_) if now < earliest => Next::Wait(Some(earliest.min(gives_up))),
        Some(_) => Next::Wait(Some(gives_up)),
    }
}

/// Sends as much of the traffic over as it is time for.
fn allow_traffic(cx: &Cx<'_>, ecs: &mut Ecs, it: &mut Deployment, all_by: Timestamp) -> Next {
    if it.undoes.is_some() {
        if cx.now < all_by {
            return Next::Wait(Some(all_by));
        }
        it.weight = 0.0;
        if let Some(blue) = &it.blue {
            ecs.make_primary(cx, &it.place, blue);
        }
        return Next::On;
    }
    let shift = Shift::of(&it.config).unwrap_or(Shift::AtOnce);
    if shift == Shift::AtOnce && cx.now < all_by {
        return Next::Wait(Some(all_by));
    }
    let (weight, next) = shift.weight(it.since, cx.now);
    it.weight = weight;
    if next.is_some() {
        return Next::Wait(next);
    }
    if let Some(green) = &it.green {
        ecs.make_primary(cx, &it.place, green);
    }
    Next::On
}

/// What the AppSpec says.
fn spec(it: &Deployment) -> Result<AppSpec, String> {
    let content = it.revision.as_ref().map(|it| &*it.content);
    appspec::read(content.unwrap_or_default())
}

/// What rules say of a step of this deployment. Of a rollback they say only what comes of
/// `Rollback`.
fn told(cx: &Cx<'_>, it: &Deployment, step: Step) -> Told {
    let name = match (it.undoes.is_some(), step) {
        (true, Step::AllowTraffic) => Some("Rollback"),
        (true, _) => None,
        (false, _) => step.event(),
    };
    let mut told = Told::default();
    let rules = name.map(|name| cx.rules.stage(&it.place.1, name));
    for rule in rules.into_iter().flatten() {
        match rule {
            StageBehavior::Fails { reason } => told.fails = Some(reason.clone()),
            StageBehavior::Hooks { status } => told.hooks = Some(status.clone()),
            StageBehavior::Takes { after } => told.takes = SignedDuration::try_from(*after).ok(),
            StageBehavior::Shows { stage } => told.shows = Some(stage.clone()),
        }
    }
    told
}

/// Takes note of how the task sets are.
pub(super) fn look(ecs: &Ecs, it: &mut Deployment) {
    let sets = ecs.task_sets(&it.place);
    let rows = sets.iter().filter_map(|set| {
        let is = |name: &Option<String>| name.as_ref() == Some(&set.name);
        let (label, weight) = match (is(&it.blue), is(&it.green)) {
            (true, _) => ("Blue", 100.0 - it.weight),
            (_, true) => ("Green", it.weight),
            _ => return None,
        };
        let group = set.target_groups.first().and_then(|arn| group_name(arn));
        let mut row = json!({
            "identifer": set.name,
            "desiredCount": set.desired,
            "pendingCount": set.pending,
            "runningCount": set.running,
            "status": set.status,
            "trafficWeight": weight,
            "taskSetLabel": label,
        });
        if let Some(name) = group {
            row["targetGroup"] = json!({ "name": name });
        }
        Some(row)
    });
    let rows: Vec<Value> = rows.collect();
    it.sets = rows;
}

/// The name of a function, also where it is called by its ARN.
fn function_name(given: &str) -> String {
    // arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]
    let named = given.split(':').nth(6);
    named
        .filter(|_| given.starts_with("arn:"))
        .unwrap_or(given)
        .to_owned()
}

/// The name of a target group, of its ARN.
fn group_name(arn: &str) -> Option<&str> {
    arn.split('/').nth(1)
}

/// An ARN for a target group of which only the name is known.
fn group_arn(cx: &Cx<'_>, name: &str) -> String {
    let hash = Sha256::digest(name);
    let id: String = hash.iter().take(8).map(|it| format!("{it:02x}")).collect();
    format!(
        "arn:aws:elasticloadbalancing:{}:{}:targetgroup/{name}/{id}",
        cx.region, cx.account
    )
}
