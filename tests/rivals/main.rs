//! Controllers in processes of their own, over the rails example: `cargo test --test rivals`.
//!
//! Two on one table, and one of them is killed, stopped or asked to end in the middle of a release:
//! fifty rounds; in each the migration runs once, no task definition is registered twice, and
//! leadership moves in time. And one behind a network that breaks for a minute.
//!
//! Processes, signals and lease times are real, so this takes minutes and is not part of
//! `cargo test`; `.ci/run` runs it. Rounds go on side by side, since they mostly wait.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod chaos;
mod check;
mod proxy;
mod replica;
mod round;
mod scene;

use std::sync::Arc;

use round::{Blow, Round};
use tokio::sync::Semaphore;

const ROUNDS: usize = 50;
/// How many rounds go on at once.
const SIDE_BY_SIDE: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_the_leader_everything_is_done_once() {
    let places = Arc::new(Semaphore::new(SIDE_BY_SIDE));
    let mut rounds = tokio::task::JoinSet::new();
    for number in 0..ROUNDS {
        let places = places.clone();
        rounds.spawn(async move {
            let _place = places.acquire_owned().await.unwrap();
            Round::play(number, Blow::of(number)).await
        });
    }
    let mut moved: [Vec<f64>; 3] = Default::default();
    while let Some(round) = rounds.join_next().await {
        let round = round.expect("a round ends well");
        println!("{round}");
        moved[round.blow as usize].push(round.moved.as_secs_f64());
    }
    for (blow, limit) in [
        (Blow::Kill, 17.0),
        (Blow::Stop, 17.0),
        (Blow::Terminate, 3.0),
    ] {
        let times = &moved[blow as usize];
        let slowest = times.iter().copied().fold(0.0, f64::max);
        println!(
            "{blow:?}: {} rounds, leadership moved in {slowest:.2} s at most (allowed: {limit} s)",
            times.len()
        );
        assert!(!times.is_empty() && slowest < limit, "{blow:?}: {times:?}");
    }
}
