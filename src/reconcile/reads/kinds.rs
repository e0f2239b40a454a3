//! What is read for many at once: AWS's own batches, and lists that several look into.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Map, Value};

use super::shared::Kind;
use super::{Accounts, Place};
use crate::aws::ecr::MAX_IMAGES;
use crate::aws::ecs::{MAX_SERVICES, MAX_TASKS};
use crate::aws::error::{AwsError, ErrorClass};
use crate::model::desired::{Access, Wanted};
use crate::model::known::Known;
use crate::model::observed::{Service, TaggedImage, Task};
use crate::resource::image_ref::EcrRepository;

/// ECS services of a cluster, by name.
pub(super) struct Services(pub(super) Accounts);

impl Kind for Services {
    type Group = (Place, String);
    type Name = String;
    type Answer = Known<Service>;
    const BATCH: usize = MAX_SERVICES;

    async fn read(
        &self,
        (place, cluster): &(Place, String),
        names: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Known<Service>>, AwsError> {
        let names: Vec<String> = names.iter().cloned().collect();
        let ecs = self.0.of(place).ecs;
        ecs.describe_services(cluster, &names).await
    }

    fn may_be_about_one(&self, error: &AwsError) -> bool {
        is_refused_by_ecs(error)
    }
}

/// Tasks of a cluster, by ARN.
pub(super) struct Tasks(pub(super) Accounts);

impl Kind for Tasks {
    type Group = (Place, String);
    type Name = String;
    type Answer = Known<Task>;
    const BATCH: usize = MAX_TASKS;

    async fn read(
        &self,
        (place, cluster): &(Place, String),
        arns: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Known<Task>>, AwsError> {
        let arns: Vec<String> = arns.iter().cloned().collect();
        let ecs = self.0.of(place).ecs;
        ecs.describe_tasks(cluster, &arns).await
    }

    fn may_be_about_one(&self, error: &AwsError) -> bool {
        is_refused_by_ecs(error)
    }
}

/// A policy may allow some services, tasks or records of a cluster and not others, and a name that is not
/// valid is refused with all that come with it. A role that cannot be assumed is not ECS's answer,
/// and a cluster that is not there is missing for all.
pub(super) fn is_refused_by_ecs(error: &AwsError) -> bool {
    error.service == "ecs" && matches!(error.class, ErrorClass::Denied | ErrorClass::Refused)
}

/// Digests of a repository's images.
pub(super) struct Images(pub(super) Accounts);

impl Kind for Images {
    type Group = (Access, EcrRepository);
    type Name = Wanted;
    type Answer = Known<String>;
    const BATCH: usize = MAX_IMAGES;

    async fn read(
        &self,
        (access, repository): &(Access, EcrRepository),
        wanted: &BTreeSet<Wanted>,
    ) -> Result<BTreeMap<Wanted, Known<String>>, AwsError> {
        let wanted: Vec<Wanted> = wanted.iter().cloned().collect();
        let EcrRepository {
            registry_id,
            region,
            name,
        } = repository;
        let ecr = self.0.of(&Place::new(access, region)).ecr;
        let found = ecr.digests(registry_id, name, &wanted).await?;
        Ok(wanted.into_iter().zip(found).collect())
    }

    fn may_be_about_one(&self, error: &AwsError) -> bool {
        // What is denied is the repository; what is refused may be a tag that ECR does not take.
        error.class == ErrorClass::Refused
    }
}

/// Every tag of a repository.
pub(super) struct TagLists(pub(super) Accounts);

/// Tags with their images, in no order.
pub(super) type TagList = Arc<Vec<TaggedImage>>;

impl Kind for TagLists {
    type Group = (Access, EcrRepository);
    type Name = ();
    type Answer = TagList;
    const BATCH: usize = 1;

    async fn read(
        &self,
        (access, repository): &(Access, EcrRepository),
        _: &BTreeSet<()>,
    ) -> Result<BTreeMap<(), TagList>, AwsError> {
        let EcrRepository {
            registry_id,
            region,
            name,
        } = repository;
        let ecr = self.0.of(&Place::new(access, region)).ecr;
        let tagged = ecr.tagged(registry_id, name).await?;
        Ok([((), Arc::new(tagged))].into())
    }
}

/// Every rule of the default bus, by name.
pub(super) struct Rules(pub(super) Accounts);

/// As ListRules answers, by name.
pub(super) type RuleList = Arc<BTreeMap<String, Map<String, Value>>>;

impl Kind for Rules {
    type Group = Place;
    type Name = ();
    type Answer = RuleList;
    const BATCH: usize = 1;

    async fn read(
        &self,
        place: &Place,
        _: &BTreeSet<()>,
    ) -> Result<BTreeMap<(), RuleList>, AwsError> {
        let listed = self.0.of(place).events.rules_with_prefix("").await?;
        let named = |rule: Map<String, Value>| {
            let name = rule.get("Name")?.as_str()?.to_owned();
            Some((name, rule))
        };
        let rules = listed.into_iter().filter_map(named).collect();
        Ok([((), Arc::new(rules))].into())
    }
}

/// Targets of a rule, by its name.
pub(super) struct Targets(pub(super) Accounts);

impl Kind for Targets {
    type Group = Place;
    type Name = String;
    type Answer = Arc<Vec<Map<String, Value>>>;
    const BATCH: usize = 1;

    async fn read(
        &self,
        place: &Place,
        rules: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Self::Answer>, AwsError> {
        let events = self.0.of(place).events;
        let mut found = BTreeMap::new();
        for rule in rules {
            found.insert(rule.clone(), Arc::new(events.targets(rule).await?));
        }
        Ok(found)
    }
}

/// Tags of a rule, by its ARN.
pub(super) struct Tags(pub(super) Accounts);

impl Kind for Tags {
    type Group = Place;
    type Name = String;
    type Answer = Arc<BTreeMap<String, String>>;
    const BATCH: usize = 1;

    async fn read(
        &self,
        place: &Place,
        arns: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Self::Answer>, AwsError> {
        let events = self.0.of(place).events;
        let mut found = BTreeMap::new();
        for arn in arns {
            found.insert(arn.clone(), Arc::new(events.tags(arn).await?));
        }
        Ok(found)
    }
}

/// The newest ACTIVE revisions of a family.
pub(super) struct Families(pub(super) Accounts);

/// Newest revisions that are kept of a family: what Releases ask for is among them, save after many
/// registrations by others.
const NEWEST: usize = 20;

/// The newest ACTIVE revisions of a family.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Newest {
    /// Newest first.
    pub(super) arns: Arc<[String]>,
    /// There are no more.
    pub(super) whole: bool,
}

impl Kind for Families {
    type Group = Place;
    type Name = String;
    type Answer = Newest;
    const BATCH: usize = 1;

    async fn read(
        &self,
        place: &Place,
        families: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Newest>, AwsError> {
        let ecs = self.0.of(place).ecs;
        let mut found = BTreeMap::new();
        for family in families {
            let more = AtomicBool::new(false);
            let first_page = |_: &[String]| {
                more.store(true, Ordering::Relaxed);
                true
            };
            let mut arns = ecs.active_revisions(family, first_page).await?;
            let whole = !more.into_inner() && arns.len() <= NEWEST;
            arns.truncate(NEWEST);
            let arns = arns.into();
            found.insert(family.clone(), Newest { arns, whole });
        }
        Ok(found)
    }
}
