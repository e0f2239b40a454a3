//! What AWS's events are about. An event carries no state: it only says what to look at.
//!
//! The shapes are those that EventBridge delivers for `aws.ecs` and `aws.ecr`, and what CloudTrail
//! records of a replicated image. Events are not promised to come at all, to come once, or in order,
//! so nothing here is remembered and nothing is decided.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::resource::image_ref::EcrRepository;

/// States that a task passes through. Whoever waits for it waits for what comes next, and each
/// would cost a pass: a task has ten of them.
const PASSING: [&str; 6] = [
    "PROVISIONING",
    "PENDING",
    "ACTIVATING",
    "DEACTIVATING",
    "STOPPING",
    "DEPROVISIONING",
];

/// What an event says something happened to. What the event does not tell is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Concern {
    /// An ECS service, or one of its tasks.
    Service {
        /// Where.
        place: Place,
        /// The cluster's name; none in ARNs of the old short form.
        cluster: Option<String>,
        /// The service's name.
        service: String,
    },
    /// An ECS task that belongs to no service.
    Task {
        /// Where.
        place: Place,
        /// The cluster's name.
        cluster: Option<String>,
        /// Its `startedBy`.
        started_by: String,
    },
    /// An image in ECR, or a whole repository.
    Image {
        /// The repository.
        repository: EcrRepository,
        /// The tag that was pushed or taken away.
        tag: Option<String>,
        /// The image's digest.
        digest: Option<String>,
    },
}

/// The account and Region of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The account's number.
    pub account: Option<String>,
    /// The Region.
    pub region: Option<String>,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// Who told it: `ecs`, `ecr`, `cloudtrail`, or `unknown` for anything else.
    pub source: &'static str,
    /// What it is about; nothing where nobody needs to look.
    pub concerns: Vec<Concern>,
}

impl News {
    fn unknown() -> Self {
        Self {
            source: "unknown",
            concerns: Vec::new(),
        }
    }

    fn of(source: &'static str, concern: Option<Concern>) -> Self {
        Self {
            source,
            concerns: concern.into_iter().collect(),
        }
    }
}

/// Reads the body of a message: an event as EventBridge sends it, also one that went through SNS.
/// Whatever it is, it is answered: what makes no sense is `unknown`.
pub fn read(body: &str) -> News {
    if let Some(event) = parse::<Event>(body) {
        return event.news();
    }
    // The envelope of SNS holds the event as a text. It is opened once: nobody nests them.
    match parse::<Notification>(body) {
        Some(sns) if sns.kind == "Notification" => {
            parse::<Event>(&sns.message).map_or_else(News::unknown, |event| event.news())
        }
        _ => News::unknown(),
    }
}

fn parse<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}

/// EventBridge's envelope.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "detail-type")]
    kind: String,
    source: String,
    account: Option<String>,
    region: Option<String>,
    #[serde(default)]
    resources: Vec<String>,
    detail: Value,
}

#[derive(Deserialize)]
struct Notification {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "Message")]
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskDetail {
    cluster_arn: Option<String>,
    group: Option<String>,
    started_by: Option<String>,
    last_status: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServiceDetail {
    cluster_arn: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ImageDetail {
    repository_name: String,
    image_tag: Option<String>,
    image_digest: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TrailDetail {
    event_name: String,
    #[serde(default)]
    resources: Vec<TrailResource>,
}

#[derive(Deserialize)]
struct TrailResource {
    #[serde(rename = "ARN")]
    arn: Option<String>,
}

impl Event {
    fn news(&self) -> News {
        let news = match (self.source.as_str(), self.kind.as_str()) {
            ("aws.ecs", "ECS Task State Change") => self.task(),
            ("aws.ecs", "ECS Deployment State Change" | "ECS Service Action") => self.service(),
            ("aws.ecr", "ECR Image Action" | "ECR Replication Action") => self.image(),
            ("aws.ecr", "AWS API Call via CloudTrail") => self.trail(),
            _ => None,
        };
        news.unwrap_or_else(News::unknown)
    }

    fn place(&self) -> Place {
        Place {
            account: self.account.clone(),
            region: self.region.clone(),
        }
    }

    fn task(&self) -> Option<News> {
        let detail = TaskDetail::deserialize(&self.detail).ok()?;
        let passing = |status: &String| PASSING.contains(&status.as_str());
        if detail.last_status.as_ref().is_some_and(passing) {
            return Some(News::of("ecs", None));
        }
        let cluster = detail.cluster_arn.as_deref().map(cluster_name);
        let service = detail
            .group
            .as_deref()
            .and_then(|it| it.strip_prefix("service:"));
        let concern = match (service, detail.started_by) {
            (Some(service), _) => Some(Concern::Service {
                place: self.place(),
                cluster,
                service: service.to_owned(),
            }),
            (None, Some(started_by)) => Some(Concern::Task {
                place: self.place(),
                cluster,
                started_by,
            }),
            (None, None) => None,
        };
        Some(News::of("ecs", concern))
    }

    fn service(&self) -> Option<News> {
        let detail = ServiceDetail::deserialize(&self.detail).ok()?;
        // arn:aws:ecs:REGION:ACCOUNT:service/CLUSTER/NAME, formerly service/NAME
        let arn = self.resources.first()?;
        let path = arn.splitn(6, ':').nth(5)?.strip_prefix("service/")?;
        let (cluster, service) = match path.split_once('/') {
            Some((cluster, service)) => (Some(cluster.to_owned()), service),
            None => (detail.cluster_arn.as_deref().map(cluster_name), path),
        };
        let concern = Concern::Service {
            place: self.place(),
            cluster,
            service: service.to_owned(),
        };
        Some(News::of("ecs", Some(concern)))
    }

    fn image(&self) -> Option<News> {
        let detail = ImageDetail::deserialize(&self.detail).ok()?;
        let concern = Concern::Image {
            repository: EcrRepository {
                registry_id: self.account.clone()?,
                region: self.region.clone()?,
                name: detail.repository_name,
            },
            tag: detail.image_tag,
            digest: detail.image_digest,
        };
        Some(News::of("ecr", Some(concern)))
    }

    /// A push that replication made has no event of its own in the Region it goes to, but for what
    /// CloudTrail writes down.
    fn trail(&self) -> Option<News> {
        let detail = TrailDetail::deserialize(&self.detail).ok()?;
        if detail.event_name != "ReplicateImage" {
            return None;
        }
        let arns = detail.resources.iter().filter_map(|it| it.arn.as_deref());
        let concerns = arns.filter_map(repository).map(|repository| {
            let (tag, digest) = (None, None);
            Concern::Image {
                repository,
                tag,
                digest,
            }
        });
        Some(News {
            source: "cloudtrail",
            concerns: concerns.collect(),
        })
    }
}

/// The name in a cluster's ARN; a name is one already.
pub(super) fn cluster_name(cluster: &str) -> String {
    cluster.rsplit('/').next().unwrap_or(cluster).to_owned()
}

/// `arn:aws:ecr:REGION:ACCOUNT:repository/NAME`
fn repository(arn: &str) -> Option<EcrRepository> {
    let mut parts = arn.splitn(6, ':').skip(2);
    let (service, region, account) = (parts.next()?, parts.next()?, parts.next()?);
    let name = parts.next()?.strip_prefix("repository/")?;
    (service == "ecr" && !name.is_empty()).then(|| EcrRepository {
        registry_id: account.to_owned(),
        region: region.to_owned(),
        name: name.to_owned(),
    })
}

#[cfg(test)]
mod tests;
