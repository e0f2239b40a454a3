//! For a minute the network between a controller and AWS breaks in every way that it can.

use std::time::Duration;

use crate::proxy::Proxy;
use crate::replica::Replica;
use crate::scene::{QUEUE, Scene};

/// How long requests fail.
const BREAKING: Duration = Duration::from_secs(60);
/// How much longer it may take until the release is Ready.
const REPAIRED: Duration = Duration::from_secs(120);
/// Of a hundred requests, how many each kind of fault hits.
const SHARE: u64 = 20;
/// The same, once it gets better. Where each hits a fifth, a third of the requests gets through and
/// hardly a pass comes to its end; now passes do, and are broken at their writes.
const BETTER: u64 = 3;
const SEED: u64 = 20_260_302;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_requests_everything_is_done_once() {
    let scene = Scene::new().await;
    let proxy = Proxy::before(&scene.address, SEED).await;
    let mut replica = Replica::start(
        "behind-a-proxy",
        &proxy.address,
        &["--events-queue-url", QUEUE],
    );
    scene
        .until("nobody leads", REPAIRED, || scene.leader())
        .await;
    proxy.breaks(SHARE);
    scene.apply_example().await;
    tokio::time::sleep(BREAKING).await;
    proxy.breaks(BETTER);
    scene
        .until("nothing is done", REPAIRED, || async {
            (!scene.writes().is_empty()).then_some(())
        })
        .await;
    proxy.breaks(0);
    let (before, hit) = (scene.writes().len(), proxy.hit());
    assert!(hit > 50, "only {hit} requests failed");
    scene
        .until("it does not become Ready", REPAIRED, || async {
            scene.is_ready().await.then_some(())
        })
        .await;
    // Whatever it still had in its hands arrives now.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let registrations = scene.check();
    replica.signal("TERM");
    assert!(
        replica.ended().await,
        "it ran on, and SIGTERM ends it with 0"
    );
    println!(
        "seed {SEED}: {hit} requests failed; {before} AWS writes meanwhile, {} in all; 1 migration, \
         {registrations} registrations",
        scene.writes().len()
    );
}
