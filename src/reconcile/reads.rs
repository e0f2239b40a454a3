//! Reads shared across Releases, between a look and AWS.
//!
//! A pass looks afresh: it is answered with what was read after it began, by whoever asked. A pass
//! of a sweep is content with what was read since the sweep began, and whatever it would do is
//! decided anew on a look of its own. After a write of ours nothing is used that was read before.

mod kept;
mod kinds;
mod records;
mod shared;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::aws::ecr::images_of;
use crate::aws::ecs::services_in;
use crate::aws::error::{AwsError, Call, ErrorClass};
use crate::aws::{Aws, Clients};
use crate::model::desired::{Access, Wanted};
use crate::model::interest::Interest;
use crate::model::known::Known;
use crate::model::observed::{Definition, Service, Task};
use crate::model::plan::Step;
use crate::resource::image_ref::EcrRepository;
use crate::resource::meta::Environment;
use crate::store::{Store, StoreError};

use kept::Kept;
use kinds::{Families, Images, RuleList, Rules, Services, Tags, Targets, Tasks};
use records::{Deployments, Revisions};
use shared::{Asker, Fresh, KEPT, Order, Shared};

/// How old tags of a rule may be that a sweep is content with. They say whose a rule is, which
/// hardly ever changes, and there is no call that reads those of several rules.
const TAGS_KEPT: Duration = Duration::from_secs(3600);

/// After how many looks old readings are dropped.
const LOOKS: u64 = 256;

/// Credentials and a Region.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    access: Access,
    region: String,
}

impl Place {
    pub(super) fn new(access: &Access, region: &str) -> Self {
        Self {
            access: access.clone(),
            region: region.to_owned(),
        }
    }
}

/// Every account and Region that Environments are in.
#[derive(Clone)]
struct Accounts(Aws);

impl Accounts {
    fn of(&self, place: &Place) -> Clients {
        self.0.region(&place.region)
    }
}

/// Reads of all Releases. Clones share what was read.
#[derive(Clone)]
pub(super) struct Reads {
    accounts: Accounts,
    order: Order,
    looks: Arc<AtomicU64>,
    services: Shared<Services>,
    tasks: Shared<Tasks>,
    images: Shared<Images>,
    rules: Shared<Rules>,
    targets: Shared<Targets>,
    tags: Shared<Tags>,
    families: Shared<Families>,
    deployments: Shared<Deployments>,
    revisions: Shared<Revisions>,
    environments: Arc<Mutex<BTreeMap<String, (Instant, Environment)>>>,
    kept: Kept,
}

impl Reads {
    pub(super) fn new(aws: Aws) -> Self {
        let (accounts, order) = (Accounts(aws), Order::default());
        Self {
            services: Shared::new(Services(accounts.clone()), &order),
            tasks: Shared::new(Tasks(accounts.clone()), &order),
            images: Shared::new(Images(accounts.clone()), &order),
            rules: Shared::new(Rules(accounts.clone()), &order),
            targets: Shared::new(Targets(accounts.clone()), &order),
            tags: Shared::new(Tags(accounts.clone()), &order),
            families: Shared::new(Families(accounts.clone()), &order),
            deployments: Shared::new(Deployments(accounts.clone()), &order),
            revisions: Shared::new(Revisions(accounts.clone()), &order),
            environments: Arc::default(),
            kept: Kept::new(),
            looks: Arc::default(),
            accounts,
            order,
        }
    }

    /// For one look: content with what was read since then, or with nothing that was read before.
    pub(super) fn view(&self, access: &Access, region: &str, since: Option<Instant>) -> View {
        let looks = self.looks.fetch_add(1, Ordering::Relaxed);
        if looks % LOOKS == LOOKS - 1 {
            self.forget_old();
        }
        View {
            place: Place::new(access, region),
            fresh: match since {
                Some(since) => Fresh::Since(since),
                None => Fresh::After(self.order.now()),
            },
            since,
            asker: Asker(looks),
            reads: self.clone(),
        }
    }

    /// Reads for all of these what a look at them asks for.
    pub(super) async fn ahead(&self, interests: &[Interest]) {
        self.forget_old();
        let fresh = Fresh::Since(Instant::now());
        let mut wanted = Wants::default();
        for interest in interests {
            let asker = Asker(self.looks.fetch_add(1, Ordering::Relaxed));
            wanted.add(asker, interest);
        }
        // Ended with whoever waits for it.
        let mut reading = JoinSet::new();
        for (group, asked) in wanted.services {
            let services = self.services.clone();
            reading.spawn(async move { services.ahead(&group, asked, fresh).await });
        }
        for (group, asked) in wanted.images {
            let images = self.images.clone();
            reading.spawn(async move { images.ahead(&group, asked, fresh).await });
        }
        for (place, asked) in wanted.families {
            let families = self.families.clone();
            reading.spawn(async move { families.ahead(&place, asked, fresh).await });
        }
        for (place, asked) in wanted.rules {
            let reads = self.clone();
            reading.spawn(async move { reads.rules_ahead(&place, asked, fresh).await });
        }
        while reading.join_next().await.is_some() {}
    }

    async fn rules_ahead(&self, place: &Place, names: BTreeSet<String>, fresh: Fresh) {
        let asker = Asker(self.looks.fetch_add(1, Ordering::Relaxed));
        let listed = self.rules.ask(place, [()].into(), fresh, asker).await;
        let Some(Ok(listed)) = listed.get(&()) else {
            return;
        };
        let arn = |name: &String| Some(listed.get(name)?.get("Arn")?.as_str()?.to_owned());
        let arns: BTreeSet<String> = names.iter().filter_map(arn).collect();
        let names: BTreeSet<String> = names.into_iter().filter(|it| arn(it).is_some()).collect();
        let tags = match fresh {
            Fresh::Since(since) => older_tags(since),
            after @ Fresh::After(_) => after,
        };
        tokio::join!(
            self.targets.ahead(place, vec![(asker, names)], fresh),
            self.tags.ahead(place, vec![(asker, arns)], tags),
        );
    }

    /// An Environment, read from the table since then.
    pub(super) async fn environment(
        &self,
        store: &Store,
        name: &str,
        since: Option<Instant>,
    ) -> Result<Option<Environment>, StoreError> {
        if let Some(since) = since
            && let Some((began, known)) = self.environments().get(name)
            && *began >= since
        {
            return Ok(Some(known.clone()));
        }
        let began = Instant::now();
        let found = store.environment(name).await?;
        if let Some(found) = &found {
            let reading = (began, found.clone());
            self.environments().insert(name.to_owned(), reading);
        }
        Ok(found)
    }

    fn environments(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (Instant, Environment)>> {
        let locked = self.environments.lock();
        locked.unwrap_or_else(PoisonError::into_inner)
    }

    /// Its binding was recorded.
    pub(super) fn bound(&self, environment: &str) {
        self.environments().remove(environment);
    }

    /// A step was carried out, or may have been: what was read before does not show it.
    pub(super) fn wrote(&self, access: &Access, region: &str, step: &Step) {
        let place = Place::new(access, region);
        match step {
            Step::UpdateService {
                cluster, service, ..
            } => {
                let group = (place, cluster.clone());
                self.services.forget(&group, |name| name == service);
            }
            Step::StopTask { cluster, task, .. } => {
                let group = (place, cluster.clone());
                self.tasks.forget(&group, |arn| arn == task);
            }
            Step::RegisterTaskDefinition { registration, .. }
            | Step::DeregisterTaskDefinition { registration, .. } => {
                let family = &registration.family;
                self.families.forget(&place, |name| name == family);
            }
            Step::PutRule { input } => self.wrote_rule(&place, text(input, "Name")),
            Step::PutTargets { input } => self.wrote_rule(&place, text(input, "Rule")),
            Step::RemoveTargets { rule, .. } | Step::DeleteRule { rule } => {
                self.wrote_rule(&place, rule);
            }
            Step::TagRule { arn, .. } => self.wrote_rule(&place, rule_of(arn)),
            Step::RecordRevision { .. }
            | Step::UpdateRevision(_)
            | Step::DeleteRevision(_)
            | Step::Claim(_)
            | Step::Unclaim(_)
            | Step::RecordRegistration(_)
            | Step::RunMigration { .. }
            | Step::RecordMigration(_)
            | Step::RecordRollout(_)
            | Step::FinishRequest { .. }
            | Step::FinishDeletion => {}
        }
    }

    fn wrote_rule(&self, place: &Place, rule: &str) {
        self.rules.forget(place, |()| true);
        self.targets.forget(place, |name| name == rule);
        self.tags.forget(place, |arn| rule_of(arn) == rule);
    }

    fn forget_old(&self) {
        self.services.forget_older(KEPT);
        self.tasks.forget_older(KEPT);
        self.images.forget_older(KEPT);
        self.rules.forget_older(KEPT);
        self.targets.forget_older(KEPT);
        self.tags.forget_older(TAGS_KEPT);
        self.families.forget_older(KEPT);
        self.deployments.forget_older(KEPT);
        self.revisions.forget_older(KEPT);
        self.environments()
            .retain(|_, (began, _)| began.elapsed() <= KEPT);
    }
}

fn text<'a>(input: &'a Value, member: &str) -> &'a str {
    input
        .get(member)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Name of the rule of an ARN.
fn rule_of(arn: &str) -> &str {
    arn.rsplit_once(":rule/").map_or(arn, |(_, name)| name)
}

/// See [`TAGS_KEPT`].
fn older_tags(since: Instant) -> Fresh {
    Fresh::Since(since.checked_sub(TAGS_KEPT).unwrap_or(since))
}

/// What many looks ask for, by what one call can be about.
#[derive(Default)]
struct Wants {
    services: BTreeMap<(Place, String), Vec<(Asker, BTreeSet<String>)>>,
    images: BTreeMap<(Access, EcrRepository), Vec<(Asker, BTreeSet<Wanted>)>>,
    families: BTreeMap<Place, Vec<(Asker, BTreeSet<String>)>>,
    rules: BTreeMap<Place, BTreeSet<String>>,
}

impl Wants {
    fn add(&mut self, asker: Asker, interest: &Interest) {
        let place = Place::new(&interest.access, &interest.region);
        if !interest.services.is_empty() {
            let group = (place.clone(), interest.cluster.clone());
            let asked = self.services.entry(group).or_default();
            asked.push((asker, interest.services.clone()));
        }
        for (repository, wanted) in &interest.images {
            let group = (interest.access.clone(), repository.clone());
            let asked = self.images.entry(group).or_default();
            asked.push((asker, wanted.clone()));
        }
        if !interest.families.is_empty() {
            let asked = self.families.entry(place.clone()).or_default();
            asked.push((asker, interest.families.clone()));
        }
        if !interest.rules.is_empty() {
            let asked = self.rules.entry(place).or_default();
            asked.extend(interest.rules.iter().cloned());
        }
    }
}

/// The reads of one look at one account and Region.
pub(super) struct View {
    reads: Reads,
    place: Place,
    fresh: Fresh,
    since: Option<Instant>,
    asker: Asker,
}

impl View {
    /// The account's services, for what is not shared.
    pub(super) fn clients(&self) -> Clients {
        self.reads.accounts.of(&self.place)
    }

    /// Whether what was read before will do.
    pub(super) fn is_content(&self) -> bool {
        self.since.is_some()
    }

    /// Services of a cluster: each has an answer. Those of a call that failed are told of together.
    pub(super) async fn services(
        &self,
        cluster: &str,
        names: BTreeSet<String>,
    ) -> BTreeMap<String, Result<Known<Service>, AwsError>> {
        let group = (self.place.clone(), cluster.to_owned());
        let shared = &self.reads.services;
        let mut found = shared
            .ask(&group, names.clone(), self.fresh, self.asker)
            .await;
        let is_read = |name: &&String| found.get(*name).is_some_and(Result::is_ok);
        let failed: Vec<String> = names.iter().filter(|it| !is_read(it)).cloned().collect();
        let what = services_in(cluster, &failed);
        // One sentence, as of one call: which calls they were in is no matter of the Release.
        let error = failed
            .iter()
            .find_map(|name| found.get(name)?.clone().err());
        let error = error.map_or_else(
            || lost(Call::read("ecs", "DescribeServices", &what)),
            |error| error.about(&what),
        );
        found.extend(failed.into_iter().map(|name| (name, Err(error.clone()))));
        found
    }

    /// A task of a cluster.
    pub(super) async fn task(&self, cluster: &str, arn: &str) -> Result<Known<Task>, AwsError> {
        let group = (self.place.clone(), cluster.to_owned());
        let names = [arn.to_owned()].into();
        let shared = &self.reads.tasks;
        let mut found = shared.ask(&group, names, self.fresh, self.asker).await;
        let what = format!("task {arn} in cluster {cluster}");
        match found.remove(arn) {
            Some(read) => read.map_err(|error| error.about(what)),
            None => Err(lost(Call::read("ecs", "DescribeTasks", what))),
        }
    }

    /// Digests of a repository's images.
    pub(super) async fn images(
        &self,
        repository: &EcrRepository,
        wanted: BTreeSet<Wanted>,
    ) -> Result<BTreeMap<Wanted, Known<String>>, AwsError> {
        let EcrRepository {
            registry_id,
            region,
            name,
        } = repository;
        let group = (self.place.access.clone(), repository.clone());
        let one = wanted.first().filter(|_| wanted.len() == 1).cloned();
        let what = images_of(registry_id, region, name, one.as_ref());
        let shared = &self.reads.images;
        let read = shared
            .ask(&group, wanted.clone(), self.fresh, self.asker)
            .await;
        let mut found = BTreeMap::new();
        for (image, read) in read {
            found.insert(image, read.map_err(|error| error.about(&what))?);
        }
        if found.len() < wanted.len() {
            return Err(lost(Call::read("ecr", "DescribeImages", what)));
        }
        Ok(found)
    }

    /// Every rule of the default bus; `what` is told of an error.
    pub(super) async fn rules(&self, what: &str) -> Result<RuleList, AwsError> {
        let shared = &self.reads.rules;
        let names = [()].into();
        let read = shared.ask(&self.place, names, self.fresh, self.asker).await;
        match read.into_values().next() {
            Some(read) => read.map_err(|error| error.about(what)),
            None => Err(lost(Call::read("events", "ListRules", what))),
        }
    }

    /// Targets of a rule.
    pub(super) async fn targets(&self, rule: &str) -> Result<Vec<Map<String, Value>>, AwsError> {
        let shared = &self.reads.targets;
        let names = [rule.to_owned()].into();
        let read = shared.ask(&self.place, names, self.fresh, self.asker).await;
        let read = read.into_values().next();
        let what = || Call::read("events", "ListTargetsByRule", format!("rule {rule}"));
        let targets = read.unwrap_or_else(|| Err(lost(what())))?;
        Ok(Arc::unwrap_or_clone(targets))
    }

    /// Tags of a rule; see [`TAGS_KEPT`].
    pub(super) async fn tags(&self, arn: &str) -> Result<BTreeMap<String, String>, AwsError> {
        let fresh = self.since.map_or(self.fresh, older_tags);
        let shared = &self.reads.tags;
        let names = [arn.to_owned()].into();
        let read = shared.ask(&self.place, names, fresh, self.asker).await;
        let read = read.into_values().next();
        let what = || Call::read("events", "ListTagsForResource", format!("rule {arn}"));
        let tags = read.unwrap_or_else(|| Err(lost(what())))?;
        Ok(Arc::unwrap_or_clone(tags))
    }

    /// ACTIVE revisions of a family, newest first; `enough` may say that no more are needed.
    pub(super) async fn family(
        &self,
        family: &str,
        enough: impl Fn(&[String]) -> bool,
    ) -> Result<Vec<String>, AwsError> {
        if self.is_content() {
            let newest = self.newest(family.to_owned()).await?;
            if newest.whole || enough(&newest.arns) {
                return Ok(newest.arns.to_vec());
            }
        }
        self.clients().ecs.active_revisions(family, enough).await
    }

    async fn newest(&self, family: String) -> Result<kinds::Newest, AwsError> {
        let what = format!("family {family}");
        let shared = &self.reads.families;
        let names = [family].into();
        let read = shared.ask(&self.place, names, self.fresh, self.asker).await;
        let read = read.into_values().next();
        read.unwrap_or_else(|| Err(lost(Call::read("ecs", "ListTaskDefinitions", what))))
    }

    /// A task definition. What is known to be ACTIVE `now` need not be looked at twice: nothing of
    /// it changes but its status and its tags.
    pub(super) async fn definition(
        &self,
        arn: &str,
        now: Activity,
    ) -> Result<Known<Definition>, AwsError> {
        if now == Activity::Listed
            && let Some(known) = self.reads.kept.active(&self.place, arn).await
        {
            return Ok(Known::Present(known));
        }
        let began = Instant::now();
        let read = self.clients().ecs.describe_task_definition(arn).await?;
        if let Known::Present(definition) = &read {
            let kept = &self.reads.kept;
            kept.describe(&self.place, began, definition).await;
        }
        Ok(read)
    }

    /// Those of the recorded contents that are there, by hash.
    pub(super) async fn contents(
        &self,
        store: &Store,
        hashes: impl IntoIterator<Item = String>,
    ) -> Result<BTreeMap<String, Arc<Value>>, StoreError> {
        let kept = &self.reads.kept;
        let mut found = BTreeMap::new();
        let mut open = Vec::new();
        for hash in hashes {
            match kept.content(&hash).await {
                Some(content) => drop(found.insert(hash, content)),
                None => open.push(hash),
            }
        }
        if open.is_empty() {
            return Ok(found);
        }
        for (hash, content) in store.definitions(&open).await? {
            kept.record(&hash, &content).await;
            found.insert(hash, content);
        }
        Ok(found)
    }
}

/// What this look knows of a definition's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activity {
    /// It is among the ACTIVE revisions of its family.
    Listed,
    /// It has to be read.
    Unknown,
}

/// A call that ended without an answer, since its process ends.
fn lost(call: Call) -> AwsError {
    call.unexpected(ErrorClass::Retry, "the call was not finished")
}
