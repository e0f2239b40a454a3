//! What holds a new revision back: approval, windows, a suspension that ends.

use evenkeel::model::ledger::{RequestKind, RevisionOutcome};
use evenkeel::resource::conditions::{ConditionStatus, ConditionType};
use evenkeel::resource::meta::ReleaseKey;
use evenkeel::resource::status::DifferenceAction;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::shop::{
    Breaker, Stands, crash, environment, held, key, merge, minutes, pass, pinned, ready, release,
    rules, seconds, service, stalled, web,
};
use crate::world::World;

/// The release of `web` with more in its spec.
pub fn with(tag: &str, more: &Value) -> Value {
    let mut object = web(tag);
    merge(&mut object["spec"], more);
    object
}

fn approved(tag: &str) -> Value {
    with(tag, &json!({"approval": "required"}))
}

pub fn at(text: &str) -> Timestamp {
    text.parse().expect("a moment")
}

impl World {
    /// Time passes up to a moment.
    async fn until_moment(&self, moment: &str) {
        let left = at(moment).duration_since(self.sandbox.now());
        pass(left.try_into().expect("it is to come")).await;
    }

    async fn approve(&self, key: &ReleaseKey, revision: u64) {
        self.request(key, RequestKind::Approve { revision }).await;
    }

    /// Runs a controller of its own up to a moment; what it pointed services at by then.
    async fn runs_to(&self, moment: &str) -> Vec<String> {
        let left = at(moment).duration_since(self.sandbox.now());
        self.run_for(left.try_into().expect("it is to come")).await;
        self.moves()
    }

    /// A controller that works for an hour writes nothing.
    pub async fn rests_for_an_hour(&self) {
        let before = self.writes().len();
        self.run_for(minutes(60)).await;
        assert_eq!(self.writes()[before..], [] as [String; 0]);
    }

    pub async fn reason_of(&self, key: &ReleaseKey) -> String {
        let ready = self.condition(key, ConditionType::Ready).await;
        ready.expect("it is told").reason
    }

    pub async fn message(&self, key: &ReleaseKey) -> String {
        let ready = self.condition(key, ConditionType::Ready).await;
        ready.expect("it is told").message
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_revision_begins_before_it_is_approved() {
    let world = ready(Breaker::Rollback).await;
    let mut object = approved("v3");
    object["spec"]["migrations"] = json!([
        {"name": "db", "taskDefinition": {"family": "job"}, "images": {"job": "web"}},
    ]);
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, held("ApprovalPending"));
    let status = world.status(&key()).await;
    let waiting = status.approval.expect("it waits");
    assert_eq!((waiting.revision, waiting.by), (2, None));
    assert_eq!(
        world.message(&key()).await,
        "revision 2 waits for approval: `evenkeel approve shop/web --revision 2`"
    );
    for kind in [ConditionType::Reconciling, ConditionType::Stalled] {
        assert_eq!(world.condition(&key(), kind).await, None);
    }
    // What is approved is definite: where the tag points now.
    let digest = pinned(&world, "v3");
    assert_eq!(
        status.images["web"].digest.as_deref(),
        digest.split('@').nth(1)
    );
    world.rests_for_an_hour().await;
    assert_eq!(world.aws_writes(), [] as [&str; 0]);

    // Approved while no controller runs.
    world.approve(&key(), 2).await;
    pass(minutes(90)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), digest);
    assert_eq!(world.sent("RunTask").len(), 1);
    let approval = world.status(&key()).await.approval.expect("it is told");
    assert_eq!(approval.by.as_deref(), Some("ann"));
    world.rests_for_an_hour().await;
}

#[tokio::test(start_paused = true)]
async fn an_approval_is_taken_up_at_once_and_goes_on_after_a_restart() {
    let world = ready(Breaker::Rollback).await;
    world.put(&approved("v3")).await;
    world.run_for(minutes(2)).await;
    let asks = async {
        pass(minutes(3)).await;
        world.approve(&key(), 2).await;
        pass(seconds(2)).await;
    };
    let controller = world.controller();
    tokio::select! {
        ended = controller.run(std::future::pending()) => panic!("it ended: {ended:?}"),
        () = asks => {}
    }
    assert_eq!(world.moves(), ["web -> web:3"]);
    // The process is dead, and its successor finds the revision begun.
    drop(controller);
    pass(minutes(1)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.moves().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_approval_is_of_the_content_and_not_of_the_number() {
    let world = ready(Breaker::Rollback).await;
    world.put(&approved("v3")).await;
    assert_eq!(world.settle(&key()).await, held("ApprovalPending"));
    // Something else takes its place: what was looked at is not what waits.
    world.put(&approved("v4")).await;
    assert_eq!(world.settle(&key()).await, held("ApprovalPending"));
    world.approve(&key(), 2).await;
    assert_eq!(world.settle(&key()).await, held("ApprovalPending"));
    assert_eq!(
        world.status(&key()).await.approval.expect("it waits").by,
        None
    );
    assert_eq!(world.ledger(&key()).await.requests, []);
    assert_eq!(world.moves(), [] as [&str; 0]);

    // Approved, and then applied with something that does not run: as approved as before.
    world.approve(&key(), 3).await;
    let mut same = approved("v4");
    same["spec"]["revisionHistoryLimit"] = json!(5);
    world.put(&same).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let ledger = world.ledger(&key()).await;
    assert_eq!(ledger.revisions[&2].outcome, RevisionOutcome::Superseded);
    assert_eq!(world.image_of("web"), pinned(&world, "v4"));

    // Asking for approvals of what runs already holds nothing.
    let mut same = approved("v4");
    same["spec"]["revisionHistoryLimit"] = json!(6);
    world.put(&same).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.moves().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn going_back_to_what_nobody_agreed_to_waits_as_well() {
    let world = ready(Breaker::Rollback).await;
    for tag in ["v3", "v4"] {
        world.put(&approved(tag)).await;
        assert_eq!(world.settle(&key()).await, held("ApprovalPending"));
    }
    let (to, force) = (2, true);
    world
        .request(&key(), RequestKind::Rollback { to, force })
        .await;
    assert_eq!(world.settle(&key()).await, held("ApprovalPending"));
    assert_eq!(
        world.message(&key()).await,
        "revision 4 waits for approval: `evenkeel approve shop/web --revision 4`"
    );
    assert_eq!(world.moves(), [] as [&str; 0]);
    world.rests_for_an_hour().await;
    world.approve(&key(), 4).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));

    // What was Ready once waits for nobody.
    for (to, image) in [(1, pinned(&world, "v2")), (2, pinned(&world, "v3"))] {
        let force = to == 2;
        world
            .request(&key(), RequestKind::Rollback { to, force })
            .await;
        assert_eq!(world.settle(&key()).await, Stands::Ready, "{to}");
        assert_eq!(world.image_of("web"), image);
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_that_asks_for_approvals_from_now_on_stays_ready() {
    let world = ready(Breaker::Rollback).await;
    let asks = environment(&json!({"approval": "required"}));
    world.put(&asks).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let mut same = web("v2");
    same["spec"]["suspend"] = json!(true);
    world.put(&same).await;
    assert_eq!(world.run(&key()).await, Stands::Suspended);
    same["spec"]["suspend"] = json!(false);
    world.put(&same).await;
    assert_eq!(
        world.settle(&key()).await,
        Stands::Ready,
        "it brings nothing new"
    );
    world.put(&web("v3")).await;
    assert_eq!(world.settle(&key()).await, held("ApprovalPending"));
}

#[tokio::test(start_paused = true)]
async fn a_failed_revision_that_was_approved_is_tried_again_without_another_approval() {
    let world = ready(Breaker::Rollback).await;
    world.put(&approved("bad")).await;
    assert_eq!(world.settle(&key()).await, held("ApprovalPending"));
    world.approve(&key(), 2).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    crash(&world, "nothing");
    world.retry(&key()).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
}

#[tokio::test(start_paused = true)]
async fn drift_is_told_and_left_while_a_revision_is_held() {
    let world = ready(Breaker::Rollback).await;
    world.put(&approved("v3")).await;
    assert_eq!(world.settle(&key()).await, held("ApprovalPending"));
    assert_eq!(
        world.is(&key(), ConditionType::Drifted).await,
        Some(ConditionStatus::False)
    );
    // A hand that brings back the definition of before evenkeel.
    let moves = world.moves().len();
    world.by_hand("worker", "worker:1");
    world.by_hand("web", "web:1");
    pass(minutes(2)).await;
    assert_eq!(world.run(&key()).await, held("ApprovalPending"));
    let differences = world.differences(&key()).await;
    let [difference] = differences.as_slice() else {
        panic!("{differences:?}")
    };
    assert_eq!(
        (difference.desired.as_str(), difference.actual.as_str()),
        ("web:2", "web:1")
    );
    assert_eq!(difference.action, DifferenceAction::Pending);
    assert_eq!(
        world.is(&key(), ConditionType::Drifted).await,
        Some(ConditionStatus::True)
    );
    assert_eq!(world.moves().len(), moves);
    world.rests_for_an_hour().await;
    let newest = world.status(&key()).await.revision.expect("one waits");
    world.approve(&key(), newest).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
}

/// Weekdays from nine to five in Berlin.
fn office() -> Value {
    json!({"allow": [{"cron": "0 9 * * MON-FRI", "duration": "8h", "timeZone": "Europe/Berlin"}]})
}

#[tokio::test(start_paused = true)]
async fn a_revision_waits_for_its_window_across_a_restart() {
    let world = ready(Breaker::Rollback).await;
    world.until_moment("2026-03-06T16:30:00Z").await;
    world.put(&with("v3", &json!({"windows": office()}))).await;
    assert_eq!(world.settle(&key()).await, held("WindowClosed"));
    assert_eq!(
        world.message(&key()).await,
        "revision 2 waits: the window `0 9 * * MON-FRI` (8h, Europe/Berlin) is closed; it opens \
         next at 2026-03-09 09:00 Europe/Berlin (2026-03-09T08:00:00Z)"
    );
    world.rests_for_an_hour().await;
    // Over the weekend nothing moves, whoever looks; on Monday it does, and at once.
    world.until_moment("2026-03-09T07:50:00Z").await;
    let none = world.runs_to("2026-03-09T07:59:59Z").await;
    assert_eq!(none, [] as [&str; 0]);
    let moved = world.runs_to("2026-03-09T08:00:02Z").await;
    assert_eq!(moved, ["web -> web:3"]);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
}

#[tokio::test(start_paused = true)]
async fn what_is_applied_while_another_waits_for_its_window_goes_in_its_place() {
    let world = ready(Breaker::Rollback).await;
    world.until_moment("2026-03-06T16:30:00Z").await;
    for tag in ["v3", "v4"] {
        world.put(&with(tag, &json!({"windows": office()}))).await;
        assert_eq!(world.settle(&key()).await, held("WindowClosed"));
    }
    let told = world.message(&key()).await;
    assert!(told.starts_with("revision 3 waits"), "{told}");
    world.until_moment("2026-03-09T07:50:00Z").await;
    let none = world.runs_to("2026-03-09T07:59:59Z").await;
    assert_eq!(none, [] as [&str; 0]);
    let moved = world.runs_to("2026-03-09T08:00:02Z").await;
    assert_eq!(moved, ["web -> web:3"]);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v4"));
    assert_eq!(world.moves().len(), 1);
    let ledger = world.ledger(&key()).await;
    assert_eq!(ledger.revisions[&2].outcome, RevisionOutcome::Superseded);
}

#[tokio::test(start_paused = true)]
async fn what_began_in_its_window_is_finished_after_it() {
    let world = ready(Breaker::Rollback).await;
    let slow = json!([{"when": {"image": "web:v3"}, "then": {"healthy": {"after": "4m"}}}]);
    rules(&world, &slow);
    // `worker` goes after `web`, which is steady only when the window has closed.
    let mut after = service("worker");
    after["dependsOn"] = json!(["web"]);
    let spec = json!({
        "services": [service("web"), after],
        "windows": {"allow": [{"cron": "0 12 * * *", "duration": "2m"}]},
    });
    world.put(&release("web", "v3", &spec)).await;
    assert_eq!(world.settle(&key()).await, held("WindowClosed"));
    world.until_moment("2026-03-02T11:50:00Z").await;
    let moved = world.runs_to("2026-03-02T12:03:00Z").await;
    assert_eq!(moved, ["web -> web:3"]);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.moves(), ["web -> web:3", "worker -> worker:2"]);
    assert!(world.sandbox.now() > at("2026-03-02T12:04:00Z"));
}

#[tokio::test(start_paused = true)]
async fn the_environments_windows_and_the_releases_count_both() {
    let world = ready(Breaker::Rollback).await;
    let freeze = json!({
        "allow": [{"cron": "0 8 * * *", "duration": "4h"}],
        "deny": [{"cron": "0 0 3 3 *", "duration": "24h"}],
    });
    world.put(&environment(&json!({"windows": freeze}))).await;
    let late = json!({"windows": {"allow": [{"cron": "0 11 * * *", "duration": "4h"}]}});
    world.put(&with("v3", &late)).await;
    // Today eleven to noon would do; it is applied after that.
    world.until_moment("2026-03-02T12:30:00Z").await;
    assert_eq!(world.settle(&key()).await, held("WindowClosed"));
    world.until_moment("2026-03-03T11:30:00Z").await;
    assert_eq!(
        world.settle(&key()).await,
        held("WindowClosed"),
        "the third is denied"
    );
    world.until_moment("2026-03-04T10:50:00Z").await;
    let none = world.runs_to("2026-03-04T10:59:58Z").await;
    assert_eq!(none, [] as [&str; 0]);
    let moved = world.runs_to("2026-03-04T11:00:02Z").await;
    assert_eq!(moved, ["web -> web:3"]);
}

#[tokio::test(start_paused = true)]
async fn windows_keep_the_wall_clock_when_clocks_are_turned() {
    for (applied, late, before, opens) in [
        (
            "2026-03-28T12:00:00Z",
            "2026-03-29T06:50:00Z",
            "2026-03-29T06:59:58Z",
            "2026-03-29T07:00:02Z",
        ),
        (
            "2026-10-24T12:00:00Z",
            "2026-10-25T07:50:00Z",
            "2026-10-25T07:59:58Z",
            "2026-10-25T08:00:02Z",
        ),
    ] {
        let world = ready(Breaker::Rollback).await;
        world.until_moment(applied).await;
        let nine = json!({"windows": {"allow": [
            {"cron": "0 9 * * *", "duration": "1h", "timeZone": "Europe/Berlin"},
        ]}});
        world.put(&with("v3", &nine)).await;
        assert_eq!(world.settle(&key()).await, held("WindowClosed"));
        world.until_moment(late).await;
        assert_eq!(world.runs_to(before).await, [] as [&str; 0], "{applied}");
        assert_eq!(world.runs_to(opens).await, ["web -> web:3"], "{applied}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deny_window_keeps_a_retry_of_what_began_from_nothing() {
    let world = ready(Breaker::Rollback).await;
    world.put(&web("bad")).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    let never = json!({"windows": {"deny": [{"cron": "0 0 * * *", "duration": "25h"}]}});
    world.put(&environment(&never)).await;
    crash(&world, "nothing");
    world.retry(&key()).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready, "a person asked");
    world.put(&web("v3")).await;
    assert_eq!(world.settle(&key()).await, held("WindowClosed"));
    let told = world.message(&key()).await;
    assert!(told.ends_with("does not open within a year"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_suspension_ends_by_itself_across_a_restart() {
    let world = ready(Breaker::Rollback).await;
    let until = at("2026-03-02T15:00:00Z");
    let now = world.sandbox.now();
    let suspended = world.store.suspend_until(&key(), until, "ann", now).await;
    suspended.expect("suspends");
    world.put(&web("v3")).await;
    assert_eq!(world.run(&key()).await, Stands::Suspended);
    let told = world.message(&key()).await;
    assert!(
        told.contains("until 2026-03-02T15:00:00Z, or `evenkeel resume shop/web`"),
        "{told}"
    );
    world.rests_for_an_hour().await;
    world.until_moment("2026-03-02T14:50:00Z").await;
    assert_eq!(world.runs_to("2026-03-02T14:59:58Z").await, [] as [&str; 0]);
    assert_eq!(
        world.runs_to("2026-03-02T15:00:02Z").await,
        ["web -> web:3"]
    );
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    // Nobody wrote the spec for that, and a resume takes back both.
    let stored = world
        .store
        .release(&key())
        .await
        .expect("reads")
        .expect("is there");
    assert_eq!(stored.release.spec.suspend_until, Some(until));
    let resumed = world
        .store
        .set_suspend(&key(), false, "ann", world.sandbox.now())
        .await;
    resumed.expect("resumes");
    let stored = world
        .store
        .release(&key())
        .await
        .expect("reads")
        .expect("is there");
    let spec = stored.release.spec;
    assert_eq!((spec.suspend, spec.suspend_until), (None, None));
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.moves().len(), 1);
}
