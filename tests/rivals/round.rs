//! One round: a fresh account, two controllers, a release, and a blow to the one that leads.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::replica::Replica;
use crate::scene::Scene;

/// Longer than a round takes on a slow machine.
const LIMIT: Duration = Duration::from_secs(240);

/// What happens to the controller that leads.
#[derive(Clone, Copy, Debug)]
pub enum Blow {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, and SIGCONT when the other one leads.
    Stop,
    /// SIGTERM, as in a deployment of evenkeel itself.
    Terminate,
}

impl Blow {
    pub fn of(round: usize) -> Self {
        [Blow::Kill, Blow::Stop, Blow::Terminate][round % 3]
    }
}

/// How a round went.
pub struct Round {
    pub number: usize,
    pub blow: Blow,
    /// Calls that changed something before the blow fell.
    pub after_writes: usize,
    /// From the blow until the other one led.
    pub moved: Duration,
    pub registrations: usize,
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "round {}: {:?} after {} AWS writes, leadership moved in {:.2} s, 1 migration, {} registrations",
            self.number,
            self.blow,
            self.after_writes,
            self.moved.as_secs_f64(),
            self.registrations
        )
    }
}

impl Scene {
    /// The replica that leads.
    pub async fn leader(&self) -> Option<String> {
        let leases = self.store.leases().await.unwrap();
        leases
            .shards
            .values()
            .find_map(|lease| lease.holder.clone())
    }
}

impl Round {
    /// Plays a round to its end; panics where something was done twice.
    pub async fn play(number: usize, blow: Blow) -> Self {
        let scene = Scene::new().await;
        let names = ["one", "two"].map(|name| format!("{name}-{number}"));
        let mut replicas: Vec<Replica> = names
            .iter()
            .map(|name| Replica::start(name, &scene.address, &[]))
            .collect();
        let leader = scene.until("nobody leads", LIMIT, || scene.leader()).await;
        scene.apply_example().await;
        // The blow falls at another place of the release in each round.
        let after_writes = number % 8;
        scene
            .until("too few writes", LIMIT, || async {
                let enough = scene.writes().len() >= after_writes;
                (enough || scene.is_ready().await).then_some(())
            })
            .await;
        let hit = replicas.iter().position(|it| it.name == leader).unwrap();
        let begin = Instant::now();
        match blow {
            Blow::Kill => replicas[hit].signal("KILL"),
            Blow::Stop => replicas[hit].signal("STOP"),
            Blow::Terminate => replicas[hit].signal("TERM"),
        }
        scene
            .until("leadership does not move", LIMIT, || async {
                scene.leader().await.filter(|now| *now != leader)
            })
            .await;
        let moved = begin.elapsed();
        match blow {
            Blow::Stop => replicas[hit].signal("CONT"),
            Blow::Terminate => assert!(replicas[hit].ended().await, "SIGTERM ends with 0"),
            Blow::Kill => {}
        }
        scene
            .until("it does not become Ready", LIMIT, || async {
                scene.is_ready().await.then_some(())
            })
            .await;
        // Whatever the other one still had in its hands arrives now.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let registrations = scene.check();
        Self {
            number,
            blow,
            after_writes,
            moved,
            registrations,
        }
    }
}
