//! What a table that is slow, or a process that stood still, leads to.

use super::*;

#[tokio::test(start_paused = true)]
async fn no_lease_is_lost_while_many_others_are_taken() {
    for late in [250, 500, 900] {
        let table = table().await;
        let replica = Replica::start(&table, "one", 48);
        replica
            .local
            .fate(move |_| Fate::Late(Duration::from_millis(late)));
        let mut held = 0;
        let start = Instant::now();
        while held < 48 {
            assert!(start.elapsed() < seconds(300), "{held} after five minutes");
            pass(Duration::from_millis(100)).await;
            let now = replica.shards().len();
            assert!(now >= held, "{held}, then {now}, at {late} ms a call");
            held = now;
        }
        for _ in 0..300 {
            pass(Duration::from_millis(200)).await;
            assert_eq!(replica.shards().len(), 48);
        }
        replica.kill();
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_stood_still_takes_its_own_lease_again_at_once() {
    let table = table().await;
    let leader = Replica::start(&table, "leader", 1);
    until(|| leader.leads()).await;
    pass(seconds(7)).await;
    tokio::time::advance(seconds(11)).await;
    assert!(!leader.leads(), "it finds out before it asks anybody");
    let took = until(|| leader.leads()).await;
    assert!(took < seconds(1), "{took:?}");
    assert_eq!(
        leader.epoch(),
        2,
        "what it began before cannot write any more"
    );
    leader.kill();
}

/// Whoever took a lease without hearing of it does not wait for itself.
#[tokio::test(start_paused = true)]
async fn a_lease_that_was_taken_without_an_answer_is_taken_again_at_once() {
    let table = table().await;
    let first = Replica::start(&table, "first", 1);
    until(|| first.leads()).await;
    let second = Replica::start(&table, "second", 1);
    second
        .local
        .fate(|call| match (call.operation.as_str(), call.nth) {
            ("TransactWriteItems", 0 | 1) => Fate::AnswerNever,
            _ => Fate::Answered,
        });
    pass(seconds(5)).await;
    first.stop().await;
    let took = until(|| second.leads()).await;
    assert!(took < seconds(6), "{took:?}: two calls were waited for");
    assert_eq!(second.epoch(), 4, "each of the takes began one");
    second.kill();
}

/// The take before arrives between a look and the next take: it was ours all the same.
#[tokio::test(start_paused = true)]
async fn a_take_that_arrives_late_is_known() {
    for late in [1_000, 1_800, 1_900, 2_700] {
        let table = table().await;
        let first = Replica::start(&table, "first", 1);
        until(|| first.leads()).await;
        let second = Replica::start(&table, "second", 1);
        second
            .local
            .fate(move |call| match (call.operation.as_str(), call.nth) {
                ("TransactWriteItems", 0) => Fate::Lands(Duration::from_millis(late)),
                ("GetItem", _) => Fate::Late(Duration::from_millis(300)),
                _ => Fate::Answered,
            });
        pass(seconds(5)).await;
        first.stop().await;
        let took = until(|| second.leads()).await;
        assert!(took < seconds(6), "{late} ms late: {took:?}");
        pass(seconds(5)).await;
        assert!(second.leads(), "{late} ms late");
        second.kill();
    }
}

/// One that never hears of its takes does not keep the lease from those that do.
#[tokio::test(start_paused = true)]
async fn one_whose_takes_are_never_answered_is_passed_by_a_healthy_one() {
    let table = table().await;
    let first = Replica::start(&table, "first", 1);
    until(|| first.leads()).await;
    let sick = Replica::start(&table, "sick", 1);
    sick.local.fate(|call| match call.operation.as_str() {
        "TransactWriteItems" => Fate::AnswerNever,
        _ => Fate::Answered,
    });
    pass(seconds(5)).await;
    first.stop().await;
    // The sick one is faster for once.
    pass(seconds(3)).await;
    let healthy = Replica::start(&table, "healthy", 1);
    let took = until(|| healthy.leads()).await;
    assert!(took < seconds(25), "{took:?}");
    for _ in 0..600 {
        pass(Duration::from_millis(100)).await;
        assert!(healthy.leads() && !sick.leads());
    }
    healthy.kill();
    sick.kill();
}

/// One that takes a lease and cannot renew it does not keep it from those that can.
#[tokio::test(start_paused = true)]
async fn one_that_can_only_take_is_passed_by_a_healthy_one() {
    let table = table().await;
    let sick = Replica::start(&table, "sick", 1);
    until(|| sick.leads()).await;
    renewals(&sick.local, || Fate::Lost);
    let healthy = Replica::start(&table, "healthy", 1);
    let took = until(|| healthy.leads()).await;
    assert!(took < seconds(17), "{took:?}");
    for _ in 0..600 {
        pass(Duration::from_millis(100)).await;
        assert!(healthy.leads() && !sick.leads());
    }
    healthy.kill();
    sick.kill();
}

/// Two processes that were given one name are two all the same.
#[tokio::test(start_paused = true)]
async fn a_lease_of_another_by_the_same_name_is_left_alone() {
    let table = table().await;
    let first = Replica::start(&table, "twin", 1);
    until(|| first.leads()).await;
    let second = Replica::start(&table, "twin", 1);
    for _ in 0..600 {
        pass(Duration::from_millis(100)).await;
        assert!(first.leads() && !second.leads());
    }
    assert_eq!(first.epoch(), 1);
    first.kill();
    second.kill();
}
