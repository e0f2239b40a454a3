use super::super::decide::{Move, Own, Sightings, decide};
use super::*;
use crate::store::lease::{Lease, Leases, Replica as Heartbeat};

/// What a replica sees and has; time is told in seconds since the first look.
struct Case {
    options: LeaseOptions,
    leases: Leases,
    seen: Sightings,
    held: BTreeMap<u32, bool>,
    start: Instant,
}

impl Case {
    fn new(shards: u32, layout: Option<u32>) -> Self {
        Self {
            options: LeaseOptions {
                shards,
                identity: "own".to_owned(),
                ..LeaseOptions::default()
            },
            leases: Leases {
                layout,
                ..Leases::default()
            },
            seen: Sightings::default(),
            held: BTreeMap::new(),
            start: Instant::now(),
        }
    }

    fn lease(&mut self, shard: u32, holder: Option<&str>, version: &str) -> &mut Self {
        let lease: Lease =
            serde_json::from_value(serde_json::json!({ "holder": holder, "version": version }))
                .unwrap();
        self.leases.shards.insert(shard, lease);
        self
    }

    fn replica(&mut self, id: &str, version: &str) -> &mut Self {
        let heartbeat = Heartbeat {
            version: version.to_owned(),
            shards: self.options.shards,
        };
        self.leases.replicas.insert(id.to_owned(), heartbeat);
        self
    }

    fn holds(&mut self, shards: impl IntoIterator<Item = u32>) -> &mut Self {
        for shard in shards {
            self.lease(shard, Some("own"), "mine");
            self.held.insert(shard, false);
        }
        self
    }

    /// What is decided on what is read at this second.
    fn at(&mut self, second: u64) -> Vec<Move> {
        let now = self.start + Duration::from_secs(second);
        self.seen.look(&self.leases, now);
        let own = Own {
            options: &self.options,
            held: self.held.clone(),
        };
        decide(&self.leases, &self.seen, &own, now)
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_one_ever_lays_the_leases_out_and_takes_them() {
    assert_eq!(Case::new(2, None).at(0), [Move::LayOut]);
    let mut case = Case::new(2, Some(2));
    assert_eq!(case.at(0), [Move::Take(0), Move::Take(1)]);
    case.holds([0, 1]);
    assert_eq!(case.at(1), []);
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_left_alone_for_as_long_as_it_changes() {
    let mut case = Case::new(1, Some(1));
    case.lease(0, Some("other"), "a");
    assert_eq!(case.at(0), []);
    assert_eq!(case.at(14), []);
    case.lease(0, Some("other"), "b");
    assert_eq!(case.at(15), []);
    assert_eq!(case.at(29), []);
    assert_eq!(case.at(30), [Move::Take(0)]);
    case.lease(0, None, "c");
    assert_eq!(case.at(31), [Move::Take(0)]);
    // One that was gone and is there again was written in between.
    case.lease(0, Some("other"), "d").at(32);
    case.leases.shards.clear();
    case.at(33);
    assert_eq!(case.lease(0, Some("other"), "d").at(48), []);
}

#[tokio::test(start_paused = true)]
async fn nobody_has_more_than_its_share_of_the_replicas_that_live() {
    let mut case = Case::new(5, Some(5));
    case.holds(0..5).replica("own", "x").replica("other", "a");
    assert_eq!(case.at(0), [Move::Retire(3), Move::Retire(4)]);
    case.held.insert(3, true);
    case.held.insert(4, true);
    assert_eq!(case.at(1), [], "they are on their way");
    // One that was told of another number of shards has no share.
    let mut case = Case::new(2, Some(2));
    case.holds(0..2).replica("other", "a");
    case.leases.replicas.get_mut("other").unwrap().shards = 3;
    assert_eq!(case.at(0), []);
    // The other one is dead, and what it held runs out with it.
    let mut case = Case::new(4, Some(4));
    case.holds(0..2).replica("other", "a");
    case.lease(2, Some("other"), "a")
        .lease(3, Some("other"), "a");
    assert_eq!(case.at(0), []);
    assert_eq!(case.at(14), []);
    assert_eq!(case.at(15), [Move::Take(2), Move::Take(3)]);
    case.holds([2, 3]);
    assert_eq!(case.at(59), []);
    assert_eq!(case.at(60), [Move::Forget("other".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn another_layout_is_changed_when_all_of_it_is_free() {
    let mut case = Case::new(2, Some(3));
    case.lease(0, None, "a").lease(1, Some("other"), "a");
    assert_eq!(case.at(0), [], "somebody works by it");
    let all = [Move::Take(0), Move::Take(1), Move::Take(2)];
    assert_eq!(case.at(15), all);
    // Somebody was faster at one of them.
    case.holds([0]).lease(2, Some("other"), "b");
    assert_eq!(case.at(16), [Move::GiveBack(0)]);
    case.holds([0, 1, 2]);
    assert_eq!(case.at(17), [Move::ChangeLayout]);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_asked_for_is_ours_until_another_takes_it() {
    let mut case = Case::new(1, Some(1));
    case.lease(0, None, "a").at(0);
    case.seen.asks(0, "mine");
    case.lease(0, Some("own"), "mine");
    assert_eq!(case.at(1), [Move::Take(0)], "it was taken, unheard");
    case.seen.asks(0, "mine too");
    case.lease(0, Some("other"), "b");
    assert_eq!(case.at(2), []);
    assert_eq!(case.at(16), []);
    assert_eq!(case.at(17), [Move::Take(0)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_never_heard_of_is_asked_for_as_by_anybody() {
    let mut case = Case::new(1, Some(1));
    case.lease(0, None, "a").at(0);
    // What was not done does not count.
    for version in ["x", "y", "z"] {
        case.seen.asks(0, version);
        case.at(0);
    }
    for (second, version) in [(1, "b"), (2, "c"), (3, "d"), (4, "e"), (5, "f")] {
        case.seen.asks(0, version);
        let moves = case.lease(0, Some("own"), version).at(second);
        assert_eq!(!moves.is_empty(), second <= 3, "{version}");
    }
    assert_eq!(case.at(19), []);
    assert_eq!(case.at(20), [Move::Take(0)]);
    // It hears of one, or another takes it, and the next one is its own again.
    for (second, hears) in [(21, true), (31, false)] {
        match hears {
            true => {
                let now = case.start + seconds(second);
                case.seen.took(0, "heard", now, seconds(2));
            }
            false => drop(case.lease(0, Some("other"), "g").at(second)),
        }
        let version = format!("after {second}");
        case.seen.asks(0, &version);
        case.lease(0, Some("own"), &version);
        assert_eq!(case.at(second + 1), [Move::Take(0)]);
        for later in 2..9 {
            let version = format!("{later} s after {second}");
            case.seen.asks(0, &version);
            case.lease(0, Some("own"), &version).at(second + later);
        }
        assert_eq!(case.at(second + 9), [], "too often in a row");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_and_never_renewed_is_left_to_others_first() {
    let mut case = Case::new(1, Some(1));
    case.lease(0, None, "a").at(0);
    case.seen.took(0, "mine", case.start, seconds(2));
    case.lease(0, Some("own"), "mine");
    assert_eq!(case.at(16), []);
    assert_eq!(case.at(17), [Move::Take(0)]);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_asked_for_comes_before_others() {
    let mut case = Case::new(4, Some(4));
    case.replica("other", "a").holds([0]);
    case.lease(1, None, "a").lease(2, Some("other"), "a");
    case.seen.asks(3, "mine");
    case.lease(3, Some("own"), "mine");
    assert_eq!(case.at(0), [Move::Take(3)]);
}
