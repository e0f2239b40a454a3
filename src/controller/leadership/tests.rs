use std::time::Duration;

use tokio::task::JoinHandle;

use super::*;
use crate::aws::dynamodb::local::{Arrived, Fate, Local, denied};

mod decide;
mod slow;

/// A replica in a process of its own.
struct Replica {
    /// Its way to the table.
    local: Local,
    leadership: Leadership,
    process: JoinHandle<Result<(), StoreError>>,
}

impl Replica {
    fn start(table: &Local, identity: &str, shards: u32) -> Self {
        let local = table.beside();
        let options = LeaseOptions {
            shards,
            identity: identity.to_owned(),
            ..LeaseOptions::default()
        };
        let leadership = Leadership::new(Store::new(local.table()), options);
        let runs = leadership.clone();
        Self {
            local,
            leadership,
            process: tokio::spawn(async move { runs.run().await }),
        }
    }

    /// SIGKILL.
    fn kill(self) {
        self.process.abort();
    }

    /// SIGTERM.
    async fn stop(self) {
        self.leadership.release().await;
        self.process.abort();
    }

    fn shards(&self) -> Vec<u32> {
        let works = |held: &Held| held.works(self.leadership.inner.options.shards);
        let state = self.leadership.state();
        let held = state.held.iter();
        held.filter(|(_, held)| works(held))
            .map(|(shard, _)| *shard)
            .collect()
    }

    fn leads(&self) -> bool {
        self.leadership.leads()
    }

    /// Epoch of the only lease.
    fn epoch(&self) -> u64 {
        self.leadership.state().held[&0].hold.epoch()
    }
}

async fn table() -> Local {
    Local::with_table().await.0
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// How long it takes until something is so; it is looked at ten times a second.
async fn until(is_so: impl Fn() -> bool) -> Duration {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < seconds(600), "it never comes to be");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    start.elapsed()
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Renewals of leases do not get through like this.
fn renewals(local: &Local, fate: fn() -> Fate) {
    local.fate(move |call| match call.operation.as_str() {
        "PutItem" => fate(),
        _ => Fate::Answered,
    });
}

fn everything(local: &Local, fate: fn() -> Fate) {
    local.fate(move |_| fate());
}

#[tokio::test(start_paused = true)]
async fn another_replica_takes_over_in_time_from_one_that_died_and_no_sooner() {
    // Whenever it looks, and whenever the other one dies.
    for (looks, dies) in [0, 300, 600, 850]
        .map(|looks| [0, 500, 1100, 1700].map(|it| (looks, it)))
        .concat()
    {
        let table = table().await;
        let first = Replica::start(&table, "first", 1);
        until(|| first.leads()).await;
        pass(Duration::from_millis(looks)).await;
        let second = Replica::start(&table, "second", 1);
        pass(Duration::from_millis(60_000 - looks + dies)).await;
        assert!(first.leads() && !second.leads());
        assert_eq!(first.epoch(), 1, "a lease that is renewed stays");
        first.kill();
        let took = until(|| second.leads()).await;
        // The lease's 15 s, half a second until it was seen to be renewed, and this test's look.
        assert!(
            took < Duration::from_millis(15_700),
            "{took:?}, {looks}, {dies}"
        );
        assert!(took > seconds(10), "{took:?}: the dead one may still write");
        assert_eq!(second.epoch(), 2);
        second.kill();
    }
}

#[tokio::test(start_paused = true)]
async fn another_replica_takes_over_at_once_from_one_that_ended() {
    let table = table().await;
    let mut leader = Replica::start(&table, "0", 1);
    until(|| leader.leads()).await;
    for number in 1..10 {
        let next = Replica::start(&table, &number.to_string(), 1);
        pass(Duration::from_millis(7_300)).await;
        let kept = leader.leadership.clone();
        leader.stop().await;
        assert!(!kept.leads());
        let took = until(|| next.leads()).await;
        assert!(took < seconds(3), "{took:?}");
        leader = next;
    }
    leader.kill();
}

#[tokio::test(start_paused = true)]
async fn one_that_ended_takes_nothing_until_it_is_asked_again() {
    let table = table().await;
    let one = Replica::start(&table, "one", 1);
    until(|| one.leads()).await;
    one.leadership.release().await;
    pass(seconds(60)).await;
    assert!(!one.leads());
    one.leadership.hold_all(seconds(5)).await.unwrap();
    assert!(one.leads());
    one.kill();
}

/// Decides at random, the same for the same seed.
fn chaos(seed: u64) -> impl Fn(&Arrived) -> Fate + Send + Sync + 'static {
    let state = Mutex::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    move |_| {
        let mut state = state.lock().unwrap();
        // xorshift64*.
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        match (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % 20 {
            0..=2 => Fate::Lost,
            3..=6 => Fate::AnswerLost,
            7 => Fate::Never,
            8 => Fate::AnswerNever,
            9 => Fate::Lands(seconds(3)),
            _ => Fate::Answered,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_two_replicas_lead_at_once_whatever_becomes_of_their_calls() {
    let table = table().await;
    let replicas: Vec<Replica> = (1..=3)
        .map(|seed| {
            let replica = Replica::start(&table, &format!("replica-{seed}"), 1);
            replica.local.fate(chaos(seed));
            replica
        })
        .collect();
    let mut led = [0; 3];
    let rounds = 6_000;
    let mut cut_off = None;
    for round in 0..rounds {
        pass(Duration::from_millis(100)).await;
        let leaders: Vec<usize> = (0..3).filter(|at| replicas[*at].leads()).collect();
        assert!(leaders.len() <= 1, "{leaders:?}");
        // Now and then whoever leads is cut off for half a minute: by itself a lease goes back to
        // whoever had it.
        match round % 1_000 {
            500 => cut_off = leaders.first().copied(),
            800 => drop(
                cut_off
                    .take()
                    .map(|at: usize| replicas[at].local.fate(chaos(round))),
            ),
            _ => {}
        }
        if let Some(at) = cut_off {
            everything(&replicas[at].local, || Fate::Lost);
        }
        for at in leaders {
            led[at] += 1;
        }
    }
    let total: usize = led.iter().sum();
    assert!(total as u64 > rounds / 2, "hardly anybody led: {led:?}");
    assert!(
        led.iter().filter(|led| **led > 0).count() > 1,
        "the lease never moved: {led:?}"
    );
    replicas.into_iter().for_each(Replica::kill);
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_kept_whose_renewals_get_no_answer() {
    let table = table().await;
    let leader = Replica::start(&table, "leader", 1);
    let other = Replica::start(&table, "other", 1);
    until(|| leader.leads()).await;
    renewals(&leader.local, || Fate::AnswerLost);
    for _ in 0..600 {
        pass(Duration::from_millis(500)).await;
        assert!(leader.leads() && !other.leads());
    }
    assert_eq!(leader.epoch(), 1);
    leader.kill();
    other.kill();
}

#[tokio::test(start_paused = true)]
async fn one_renewal_that_hangs_costs_nothing() {
    let table = table().await;
    let leader = Replica::start(&table, "leader", 1);
    let other = Replica::start(&table, "other", 1);
    until(|| leader.leads()).await;
    leader
        .local
        .fate(|call| match (call.operation.as_str(), call.nth % 4) {
            ("PutItem", 0) => Fate::Never,
            _ => Fate::Answered,
        });
    for _ in 0..600 {
        pass(Duration::from_millis(500)).await;
        assert!(leader.leads() && !other.leads());
    }
    leader.kill();
    other.kill();
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_renew_stops_by_its_own_clock_and_takes_the_lease_again_when_it_can() {
    for fate in [|| Fate::Lost, || Fate::Never] {
        let table = table().await;
        let leader = Replica::start(&table, "leader", 1);
        until(|| leader.leads()).await;
        // A short outage is none.
        everything(&leader.local, fate);
        pass(seconds(4)).await;
        assert!(leader.leads());
        everything(&leader.local, || Fate::Answered);
        pass(seconds(10)).await;
        assert_eq!(leader.epoch(), 1);

        everything(&leader.local, fate);
        let mut changes = leader.leadership.changes();
        changes.mark_unchanged();
        let took = until(|| !leader.leads()).await;
        assert!(took <= Duration::from_millis(10_100), "{took:?}");
        assert!(took >= seconds(7), "{took:?}");
        pass(seconds(30)).await;
        assert!(changes.has_changed().unwrap());
        assert!(!leader.process.is_finished(), "it waits for the table");
        everything(&leader.local, || Fate::Answered);
        let took = until(|| leader.leads()).await;
        assert!(took < seconds(10), "{took:?}");
        assert_eq!(leader.epoch(), 2);
        leader.kill();
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_denied_ends_it_at_the_start_and_is_waited_for_later() {
    let table = table().await;
    let leader = Replica::start(&table, "leader", 1);
    until(|| leader.leads()).await;
    everything(&leader.local, denied);
    pass(seconds(600)).await;
    assert!(!leader.leads() && !leader.process.is_finished());
    everything(&leader.local, || Fate::Answered);
    assert!(until(|| leader.leads()).await < seconds(5));
    let other = Replica {
        local: table.beside(),
        ..Replica::start(&table, "other", 1)
    };
    everything(&other.local, denied);
    let options = LeaseOptions::default();
    let refused = Leadership::new(Store::new(other.local.table()), options);
    assert!(refused.run().await.unwrap_err().is_access_denied());
    leader.kill();
    other.kill();
}

#[tokio::test(start_paused = true)]
async fn a_leader_at_rest_only_renews() {
    let table = table().await;
    let leader = Replica::start(&table, "leader", 1);
    until(|| leader.leads()).await;
    leader.local.forget();
    pass(seconds(60)).await;
    let calls = leader.local.calls();
    assert!(calls.iter().all(|call| call.operation == "PutItem"));
    assert!((29..=31).contains(&calls.len()), "{}", calls.len());
    leader.kill();
}

#[tokio::test(start_paused = true)]
async fn whoever_wants_every_lease_is_told_who_has_it() {
    let table = table().await;
    let leader = Replica::start(&table, "host-7_1234", 1);
    until(|| leader.leads()).await;
    let store = Store::new(table.table());
    let once = Leadership::new(store, LeaseOptions::default());
    let start = Instant::now();
    let error = once.hold_all(seconds(20)).await.unwrap_err();
    assert_eq!(start.elapsed().as_secs(), 20);
    assert_eq!(
        error.to_string(),
        "the lease is held by replica host-7_1234: stop it first, or wait"
    );
    assert!(leader.leads());
    leader.stop().await;
    once.hold_all(seconds(20)).await.unwrap();
    assert!(once.leads());
}

/// Every key has one replica that works on it.
fn shared(replicas: &[&Replica], shards: u32) -> bool {
    let mut held: Vec<u32> = replicas.iter().flat_map(|one| one.shards()).collect();
    held.sort_unstable();
    held == Vec::from_iter(0..shards)
}

#[tokio::test(start_paused = true)]
async fn four_shards_go_to_two_replicas_and_come_back_from_one_that_died() {
    let table = table().await;
    let one = Replica::start(&table, "one", 4);
    until(|| one.shards().len() == 4).await;
    assert_eq!(one.leadership.replicas(), 1);
    let two = Replica::start(&table, "two", 4);
    let took = until(|| two.shards().len() == 2).await;
    assert!(took < seconds(5), "{took:?}");
    assert!(shared(&[&one, &two], 4));
    assert_eq!(
        (one.leadership.replicas(), two.leadership.replicas()),
        (2, 2)
    );
    for number in 0..20 {
        let key = ReleaseKey::new("production", format!("shop-{number}"));
        let writers = [&one, &two].map(|one| one.leadership.writer(&key));
        let count = writers.iter().flatten().count();
        assert_eq!(count, 1, "{key}");
    }
    pass(seconds(60)).await;
    assert_eq!((one.shards().len(), two.shards().len()), (2, 2));

    two.kill();
    let took = until(|| one.shards().len() == 4).await;
    assert!(took < seconds(17), "{took:?}");
    assert_eq!(one.leadership.replicas(), 1);

    let two = Replica::start(&table, "two again", 4);
    let took = until(|| two.shards().len() == 2).await;
    assert!(took < seconds(5), "{took:?}");
    assert!(shared(&[&one, &two], 4));
    // A third one gets something, and nobody has more than its share.
    let three = Replica::start(&table, "three", 4);
    pass(seconds(5)).await;
    assert!(shared(&[&one, &two, &three], 4));
    assert!(
        [&one, &two, &three]
            .iter()
            .all(|one| one.shards().len() <= 2)
    );
    two.stop().await;
    three.stop().await;
    let took = until(|| one.shards().len() == 4).await;
    assert!(took < seconds(3), "{took:?}");
    pass(seconds(90)).await;
    let left = one.leadership.inner.store.leases().await.unwrap().replicas;
    assert_eq!(
        Vec::from_iter(left.into_keys()),
        ["one"],
        "the dead are forgotten"
    );
    one.kill();
}

#[tokio::test(start_paused = true)]
async fn replicas_that_start_at_once_come_to_share() {
    let table = table().await;
    let all: Vec<Replica> = (0..3)
        .map(|number| Replica::start(&table, &format!("replica-{number}"), 9))
        .collect();
    let all: Vec<&Replica> = all.iter().collect();
    let took = until(|| shared(&all, 9) && all.iter().all(|one| one.shards().len() == 3)).await;
    assert!(took < seconds(10), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_goes_waits_for_the_pass_that_is_under_way() {
    let table = table().await;
    let one = Replica::start(&table, "one", 2);
    until(|| one.shards().len() == 2).await;
    let keys = (0..20).map(|number| ReleaseKey::new("production", number.to_string()));
    let going = keys.clone().find(|key| shard_of(key, 2) == 1).unwrap();
    let writer = one.leadership.writer(&going).unwrap();
    let two = Replica::start(&table, "two", 2);
    until(|| one.shards().len() == 1).await;
    assert!(one.leadership.writer(&going).is_none(), "no new pass");
    pass(seconds(4)).await;
    writer.may_write().await.unwrap();
    assert_eq!(two.shards(), [0; 0]);
    drop(writer);
    let took = until(|| two.shards() == [1]).await;
    assert!(took < seconds(2), "{took:?}");
    two.stop().await;

    // One that does not end is not waited for, and writes nothing any more.
    until(|| one.shards().len() == 2).await;
    let writer = one.leadership.writer(&going).unwrap();
    let two = Replica::start(&table, "two again", 2);
    let took = until(|| two.shards() == [1]).await;
    assert!(took > seconds(9) && took < seconds(15), "{took:?}");
    let refused = writer.may_write().await;
    assert!(matches!(refused, Err(StoreError::LostLease { .. })));
    one.kill();
    two.kill();
}

#[tokio::test(start_paused = true)]
async fn the_number_of_shards_changes_when_nobody_works_by_the_old_one() {
    let table = table().await;
    let store = Store::new(table.table());
    let layout = async || store.leases().await.unwrap().layout;
    let mut old = Replica::start(&table, "of 1", 1);
    until(|| old.leads()).await;
    for shards in [4, 2, 1] {
        let new = Replica::start(&table, &format!("of {shards}"), shards);
        let before = layout().await;
        pass(seconds(60)).await;
        assert_eq!(layout().await, before);
        assert!(!new.leads() && new.shards().is_empty(), "{shards}");
        let held = old.shards().len();
        assert_eq!(
            Some(held),
            before.map(|layout| layout as usize),
            "undisturbed"
        );

        // The last one of the old layout ends, and one more of it waits for its turn in vain.
        let late = Replica::start(&table, "late", before.unwrap());
        pass(seconds(1)).await;
        late.kill();
        old.kill();
        let took = until(|| new.shards().len() == shards as usize).await;
        assert!(took < seconds(20), "{took:?}");
        assert_eq!(layout().await, Some(shards));
        let late = Replica::start(&table, "late", before.unwrap());
        pass(seconds(60)).await;
        assert!(late.shards().is_empty());
        assert_eq!(new.shards().len(), shards as usize);
        late.stop().await;
        old = new;
    }
    old.kill();
}

#[tokio::test(start_paused = true)]
async fn of_two_that_want_another_number_of_shards_one_gets_it() {
    for offset in [0, 100, 1_000] {
        let table = table().await;
        let old = Replica::start(&table, "old", 3);
        until(|| old.shards().len() == 3).await;
        let four = Replica::start(&table, "four", 4);
        pass(Duration::from_millis(offset)).await;
        let two = Replica::start(&table, "two", 2);
        pass(seconds(5)).await;
        old.stop().await;
        until(|| four.shards().len() == 4 || two.shards().len() == 2).await;
        let (winner, loser) = match four.leads() {
            true => (four, two),
            false => (two, four),
        };
        let held = winner.shards();
        pass(seconds(60)).await;
        assert_eq!(winner.shards(), held);
        assert!(!loser.leads());
        winner.kill();
        until(|| loser.leads()).await;
        loser.kill();
    }
}

#[test]
fn a_key_stays_in_its_shard_in_every_version() {
    let shards: Vec<u32> = ["shop", "rails", "chuoi", "a", "b", "c"]
        .iter()
        .map(|name| shard_of(&ReleaseKey::new("production", *name), 16))
        .collect();
    assert_eq!(shards, [3, 15, 14, 11, 3, 4]);
    let mut counts = [0; 8];
    for number in 0..8_000 {
        let key = ReleaseKey::new("production", format!("shop-{number}"));
        counts[shard_of(&key, 8) as usize] += 1;
    }
    assert!(
        counts.iter().all(|count| (900..1_100).contains(count)),
        "{counts:?}"
    );
}
