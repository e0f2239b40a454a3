//! What becomes of a task: the rules a person wrote, the registries, and ECS's ordinary ways.

use jiff::SignedDuration;
use sha2::{Digest, Sha256};

use super::super::cx::{Cx, ImageLookup};
use super::super::rules::{Behavior, Subject};
use super::task::Container;

/// How long a container of a service takes to pass its health check, where no rule says.
const HEALTHY_AFTER: SignedDuration = SignedDuration::from_secs(4);
/// ECS counts a task without a health check as healthy after this time; the sandbox is quicker with
/// tasks that will live that long, and never counts those that will not.
const SETTLED_AFTER: SignedDuration = SignedDuration::from_secs(40);
/// How long a task of RunTask runs before it exits with 0, where no rule says.
const EXIT_AFTER: SignedDuration = SignedDuration::from_secs(10);

/// Something that happens to a running task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Life {
    /// A container exits by itself.
    Exit { container: usize, code: i32 },
    /// A container fails its health check.
    Unhealthy { container: usize },
    /// All containers pass theirs.
    Healthy,
}

/// How the start goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    Runs,
    /// The image of this container cannot be pulled.
    CannotPull(usize),
    /// PENDING for ever.
    NeverStarts,
}

/// What becomes of a task, times counting from RUNNING.
#[derive(Debug, Clone)]
pub(super) struct Fate {
    pub start: Start,
    pub life: Vec<(SignedDuration, Life)>,
    /// What each container writes to its log at its start, if a rule says so.
    pub says: Vec<Option<String>>,
}

impl Default for Fate {
    fn default() -> Self {
        Self {
            start: Start::Runs,
            life: Vec::new(),
            says: Vec::new(),
        }
    }
}

/// What a registry says of a container's image.
pub(super) struct Looked {
    /// None: there is no such image.
    pub digest: Option<String>,
    tags: Vec<String>,
}

/// Looks a container's image up, by the digest that its deployment is pinned to if it is.
pub(super) fn look_up(cx: &Cx<'_>, image: &str, pinned: Option<&str>) -> Looked {
    let by_digest = pinned.map(|digest| format!("{}@{digest}", repository(image)));
    let reference = by_digest.as_deref().unwrap_or(image);
    let (digest, tags) = match cx.images.lookup(reference) {
        ImageLookup::Found { digest, tags } => (Some(digest), tags),
        ImageLookup::Missing => (None, Vec::new()),
        ImageLookup::Foreign => (Some(foreign_digest(reference)), Vec::new()),
    };
    Looked { digest, tags }
}

/// The image's repository, registry included, without tag and digest.
fn repository(image: &str) -> &str {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    match name.rsplit_once(':') {
        // A colon before a slash is the registry's port.
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    }
}

/// Images of registries that are not simulated have a digest too: always the same one.
fn foreign_digest(reference: &str) -> String {
    match reference.split_once('@') {
        Some((_, digest)) => digest.to_owned(),
        None => {
            let hash = Sha256::digest(reference.as_bytes());
            let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("sha256:{hex}")
        }
    }
}

/// Whose containers these are, as rules see it.
#[derive(Clone, Copy)]
pub(super) struct Whose<'a> {
    pub family: &'a str,
    pub group: &'a str,
    /// A service keeps its tasks running; RunTask's tasks end.
    pub of_service: bool,
}

fn behavior(
    cx: &Cx<'_>,
    whose: Whose<'_>,
    container: &Container,
    image: &Looked,
) -> Option<Behavior> {
    cx.rules.behavior(&subject(whose, container, image))
}

fn subject<'a>(whose: Whose<'a>, container: &'a Container, image: &'a Looked) -> Subject<'a> {
    Subject {
        image: &container.image,
        tags: &image.tags,
        digest: image.digest.as_deref(),
        command: container.command.clone(),
        family: whose.family,
        container: &container.name,
        group: whose.group,
    }
}

/// Why the task can be placed nowhere, if so.
pub(super) fn placement(cx: &Cx<'_>, whose: Whose<'_>, containers: &[Container]) -> Option<String> {
    containers.iter().find_map(|container| {
        let image = look_up(cx, &container.image, container.digest.as_deref());
        match behavior(cx, whose, container, &image) {
            Some(Behavior::CannotPlace { reason }) => Some(reason),
            _ => None,
        }
    })
}

/// Works out what becomes of a task whose images are being pulled.
pub(super) fn fate(
    cx: &Cx<'_>,
    whose: Whose<'_>,
    containers: &[Container],
    images: &[Looked],
) -> Fate {
    let told: Vec<_> = containers
        .iter()
        .zip(images)
        .map(|(container, image)| behavior(cx, whose, container, image))
        .collect();
    let says = containers
        .iter()
        .zip(images)
        .map(|(container, image)| cx.rules.log(&subject(whose, container, image)))
        .collect();
    Fate {
        start: start(&told, images),
        life: life(whose, containers, &told),
        says,
    }
}

fn start(told: &[Option<Behavior>], images: &[Looked]) -> Start {
    let never = |told: &Option<Behavior>| matches!(told, Some(Behavior::NeverStarts {}));
    if told.iter().any(never) {
        return Start::NeverStarts;
    }
    told.iter()
        .zip(images)
        .position(|(told, image)| {
            image.digest.is_none() || matches!(told, Some(Behavior::CannotPull {}))
        })
        .map_or(Start::Runs, Start::CannotPull)
}

fn life(
    whose: Whose<'_>,
    containers: &[Container],
    told: &[Option<Behavior>],
) -> Vec<(SignedDuration, Life)> {
    let after =
        |wait: &std::time::Duration| SignedDuration::try_from(*wait).unwrap_or(SignedDuration::MAX);
    let mut life = Vec::new();
    let mut healthy = None;
    for (container, told) in told.iter().enumerate() {
        match told {
            Some(
                Behavior::Crash {
                    after: wait,
                    exit_code,
                }
                | Behavior::Exit {
                    after: wait,
                    exit_code,
                },
            ) => {
                let code = *exit_code;
                life.push((after(wait), Life::Exit { container, code }));
            }
            Some(Behavior::Unhealthy { after: wait }) => {
                life.push((after(wait), Life::Unhealthy { container }));
            }
            // The task is healthy when the last of its containers is.
            Some(Behavior::Healthy { after: wait }) => healthy = healthy.max(Some(after(wait))),
            _ => {}
        }
    }
    // A rule about an essential container says how long the task lasts; one about a sidecar does
    // not.
    let is_told = containers
        .iter()
        .zip(told)
        .any(|(c, told)| c.essential && told.is_some());
    if !whose.of_service && !is_told {
        let ends = containers.iter().enumerate().filter(|(_, c)| c.essential);
        life.extend(ends.map(|(container, _)| (EXIT_AFTER, Life::Exit { container, code: 0 })));
    }
    let spoils_it = |(after, event): &(SignedDuration, Life)| match event {
        Life::Unhealthy { .. } => true,
        Life::Exit { container, .. } => {
            let essential = containers.get(*container).is_some_and(|c| c.essential);
            whose.of_service && essential && *after <= SETTLED_AFTER
        }
        Life::Healthy => false,
    };
    if !life.iter().any(spoils_it) {
        life.push((healthy.unwrap_or(HEALTHY_AFTER), Life::Healthy));
    }
    life.sort();
    life
}

#[cfg(test)]
mod tests {
    use super::repository;

    #[test]
    fn the_repository_of_an_image_keeps_its_registry() {
        for (image, wanted) in [
            ("localhost:5000/app", "localhost:5000/app"),
            ("localhost:5000/app:1", "localhost:5000/app"),
            (
                "a.dkr.ecr.x.amazonaws.com/rails/app:9d3@sha256:ff",
                "a.dkr.ecr.x.amazonaws.com/rails/app",
            ),
            ("busybox", "busybox"),
        ] {
            assert_eq!(repository(image), wanted);
        }
    }
}
