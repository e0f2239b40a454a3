//! Somebody who changes back what evenkeel puts right.

use evenkeel::resource::conditions::{ConditionStatus, ConditionType};
use evenkeel::resource::status::DifferenceAction;
use serde_json::json;

use super::{CHANGES, RULE, disable, ready, roll_back, whole};
use crate::shop::{CLUSTER, Stands, key, minutes, pass, pinned, seconds, stalled};

#[tokio::test(start_paused = true)]
async fn another_writer_ends_in_a_fight_that_names_it() {
    let world = ready().await;
    for turn in 1..=3 {
        roll_back(&world).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready, "{turn}");
        pass(minutes(5)).await;
    }
    roll_back(&world).await;
    assert_eq!(world.settle(&key()).await, stalled("DriftFight"));
    let why = world.why(&key()).await;
    let registrar = world.definition("web:1")["taskDefinition"]["registeredBy"].clone();
    assert!(
        why.contains(registrar.as_str().expect("a registrar")),
        "{why}"
    );
    assert!(why.contains("ignore_changes"), "{why}");
    assert_eq!(world.moves().len(), 3);
    assert_eq!(
        world.is(&key(), ConditionType::Drifted).await,
        Some(ConditionStatus::True)
    );

    // Time alone does not end it, nor does another trouble beside it.
    assert_eq!(
        world.resync(&key(), minutes(240), minutes(40)).await,
        stalled("DriftFight")
    );
    world.deny(&["events:ListRules"]);
    assert_eq!(world.run(&key()).await, stalled("AccessDenied"));
    pass(minutes(90)).await;
    world.deny(&[]);
    assert_eq!(world.settle(&key()).await, stalled("DriftFight"));
    assert_eq!(world.moves().len(), 3);

    // A person does.
    world.retry(&key()).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.runs(CLUSTER, "web"), "web:2");
}

#[tokio::test(start_paused = true)]
async fn a_fight_is_over_at_once_when_a_person_says_so() {
    let world = ready().await;
    for _ in 0..3 {
        disable(&world);
        assert_eq!(world.settle(&key()).await, Stands::Ready);
        pass(minutes(5)).await;
    }
    disable(&world);
    assert_eq!(world.settle(&key()).await, stalled("DriftFight"));
    world.retry(&key()).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.rule(RULE)["State"], "ENABLED");
}

#[tokio::test(start_paused = true)]
async fn now_and_then_a_change_by_hand_is_no_fight() {
    let world = ready().await;
    for _ in 0..5 {
        disable(&world);
        assert_eq!(world.settle(&key()).await, Stands::Ready);
        pass(minutes(35)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_again_and_again_is_no_fight() {
    let world = ready().await;
    disable(&world);
    world.deny(&["events:PutRule"]);
    for _ in 0..5 {
        assert_eq!(world.run(&key()).await, stalled("AccessDenied"));
        let differences = world.differences(&key()).await;
        assert_eq!(differences[0].action, DifferenceAction::Pending);
        pass(minutes(5)).await;
    }
    world.deny(&[]);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
}

#[tokio::test(start_paused = true)]
async fn reads_that_lag_behind_are_no_fight() {
    let world = ready().await;
    world
        .sandbox
        .update_settings(|settings| settings.read_delay = seconds(20));
    for (_, change, _) in [CHANGES[0], CHANGES[3], CHANGES[5]] {
        change(&world);
        pass(seconds(25)).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready);
        pass(minutes(25)).await;
    }
    assert!(
        world.sent("PutRule").len() <= 2,
        "{:?}",
        world.sent("PutRule")
    );
}

#[tokio::test(start_paused = true)]
async fn a_new_generation_forgives_a_fight() {
    let world = ready().await;
    for _ in 0..4 {
        roll_back(&world).await;
        world.run(&key()).await;
    }
    assert_eq!(world.settle(&key()).await, stalled("DriftFight"));
    world.put(&whole("v3", &json!({}))).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
}
