use super::*;
use crate::aws::dynamodb::local::Fate;
use crate::store::lease::{Hold, Lease};

const DEADLINE: Duration = Duration::from_secs(10);

async fn laid_out(shards: u32) -> (Local, Store) {
    let (local, store) = store().await;
    store.lay_out(shards).await.unwrap();
    local.forget();
    (local, store)
}

fn taking<'a>(shard: u32, layout: u32, holder: &'a str, seen: Option<&'a Lease>) -> Taking<'a> {
    Taking {
        shard,
        layout,
        holder,
        seen,
        version: new_version(),
        deadline: DEADLINE,
    }
}

/// Takes a lease as it is now.
async fn take(store: &Store, shard: u32, layout: u32, holder: &str) -> Hold {
    let leases = store.leases().await.unwrap();
    let seen = leases.shards.get(&shard);
    let taken = store.take_lease(taking(shard, layout, holder, seen)).await;
    taken.unwrap()
}

async fn holder(store: &Store, shard: u32) -> Option<String> {
    let leases = store.leases().await.unwrap();
    leases.shards[&shard].holder.clone()
}

#[tokio::test(start_paused = true)]
async fn of_several_that_take_a_lease_one_gets_it() {
    let (_, store) = laid_out(1).await;
    let (one, two) = tokio::join!(
        store.take_lease(taking(0, 1, "one", None)),
        store.take_lease(taking(0, 1, "two", None)),
    );
    let (won, name) = match (one, two) {
        (Ok(hold), other) => (conflict_of(hold, other), "one"),
        (other, Ok(hold)) => (conflict_of(hold, other), "two"),
        neither => panic!("{neither:?}"),
    };
    assert_eq!(won.epoch(), 1);
    assert_eq!(holder(&store, 0).await.as_deref(), Some(name));
}

fn conflict_of(hold: Hold, other: Result<Hold, StoreError>) -> Hold {
    conflict(other);
    hold
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_renewed_since_it_was_seen_is_not_taken() {
    let (_, store) = laid_out(1).await;
    let hold = take(&store, 0, 1, "one").await;
    let seen = store.leases().await.unwrap();
    store.renew_lease(&hold, "one").await.unwrap();
    let late = store.take_lease(taking(0, 1, "two", seen.shards.get(&0)));
    conflict(late.await);
    store.renew_lease(&hold, "one").await.unwrap();
    let next = take(&store, 0, 1, "two").await;
    assert_eq!((hold.epoch(), next.epoch()), (1, 2));
    lost(store.renew_lease(&hold, "one").await);
    assert_eq!(holder(&store, 0).await.as_deref(), Some("two"));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_or_a_taking_whose_answer_was_lost_is_known_to_be_done() {
    let (local, store) = laid_out(1).await;
    local.fate(|call| match call.operation.as_str() {
        "PutItem" | "TransactWriteItems" => Fate::AnswerLost,
        _ => Fate::Answered,
    });
    let hold = take(&store, 0, 1, "one").await;
    let version = store.renew_lease(&hold, "one").await.unwrap();
    let leases = store.leases().await.unwrap();
    assert_eq!(leases.shards[&0].version, version);
    assert!(hold.is_fresh());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_nobody_heard_of_again_is_in_no_ones_way() {
    let (local, store) = laid_out(1).await;
    let hold = take(&store, 0, 1, "one").await;
    // It is done, its answer is lost, and so is the look at what came of it.
    local.fate(|call| match call.operation.as_str() {
        "PutItem" => Fate::AnswerLost,
        _ => Fate::Lost,
    });
    let error = store.renew_lease(&hold, "one").await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    local.fate(|_| Fate::Answered);
    store.renew_lease(&hold, "one").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_hold_ends_with_its_deadline_and_no_late_answer_revives_it() {
    let (_, store) = laid_out(1).await;
    let hold = take(&store, 0, 1, "one").await;
    tokio::time::advance(DEADLINE - Duration::from_secs(1)).await;
    store.renew_lease(&hold, "one").await.unwrap();
    tokio::time::advance(DEADLINE - Duration::from_secs(1)).await;
    assert!(hold.is_fresh(), "renewed in time");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(!hold.is_fresh());
    store.renew_lease(&hold, "one").await.unwrap();
    assert!(!hold.is_fresh(), "others may have seen it run out");
}

#[tokio::test(start_paused = true)]
async fn what_was_given_back_is_free_and_a_late_renewal_does_not_take_it_again() {
    let (_, store) = laid_out(1).await;
    let hold = take(&store, 0, 1, "one").await;
    store.release_lease(&hold).await.unwrap();
    assert!(!hold.is_fresh());
    assert_eq!(holder(&store, 0).await, None);
    lost(store.renew_lease(&hold, "one").await);
    assert_eq!(holder(&store, 0).await, None);
    let next = take(&store, 0, 1, "two").await;
    assert_eq!(next.epoch(), 2);
    // Giving back twice takes nothing from the next one.
    store.release_lease(&hold).await.unwrap();
    assert_eq!(holder(&store, 0).await.as_deref(), Some("two"));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_taken_under_a_layout_that_is_not_the_tables() {
    let (_, store) = laid_out(4).await;
    conflict(store.lay_out(2).await);
    conflict(store.take_lease(taking(0, 2, "one", None)).await);
    assert_eq!(store.leases().await.unwrap().layout, Some(4));
    assert!(store.leases().await.unwrap().shards.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_changed_layout_shuts_out_every_writer_of_the_old_one() {
    let (_, store) = laid_out(2).await;
    apply(&store, &spec("1"), "ci").await;
    let uid = uid(&store).await;
    let holds = [
        Arc::new(take(&store, 0, 2, "one").await),
        Arc::new(take(&store, 1, 2, "one").await),
    ];
    let all: Vec<&Hold> = holds.iter().map(AsRef::as_ref).collect();
    conflict(store.change_layout(&all[..1], 3).await);
    store.change_layout(&all, 3).await.unwrap();
    let leases = store.leases().await.unwrap();
    assert_eq!((leases.layout, leases.shards.len()), (Some(3), 0));
    for hold in holds {
        let old = ControllerStore::new(store.clone(), hold.clone());
        lost(old.unaware().may_write().await);
        lost(
            old.put_status(&key(), &uid, &Default::default(), &Telling::default(), 0)
                .await,
        );
        lost(store.renew_lease(&hold, "one").await);
    }
    let next = take(&store, 1, 3, "two").await;
    assert_eq!(next.epoch(), 3, "epochs never go back");
}

#[tokio::test(start_paused = true)]
async fn every_layout_that_is_allowed_can_be_changed_in_one_transaction() {
    let most = crate::store::lease::MAX_SHARDS;
    let (_, store) = laid_out(most).await;
    let mut holds = Vec::new();
    for shard in 0..most {
        holds.push(take(&store, shard, most, "one").await);
    }
    let all: Vec<&Hold> = holds.iter().collect();
    store.change_layout(&all, 1).await.unwrap();
    assert_eq!(store.leases().await.unwrap().layout, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_was_heard_of_again_is_not_forgotten() {
    let (_, store) = laid_out(2).await;
    store.put_replica("one", 2).await.unwrap();
    let seen = store.leases().await.unwrap().replicas["one"]
        .version
        .clone();
    store.put_replica("one", 2).await.unwrap();
    conflict(store.delete_replica("one", Some(&seen)).await);
    let seen = store.leases().await.unwrap().replicas["one"]
        .version
        .clone();
    store.delete_replica("one", Some(&seen)).await.unwrap();
    store.delete_replica("one", None).await.unwrap();
    assert!(store.leases().await.unwrap().replicas.is_empty());
}
