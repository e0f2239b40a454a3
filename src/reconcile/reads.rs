//! Reads shared across Releases, between a look and AWS.
//!
//! A pass looks afresh: it is answered with what was read after it began, by whoever asked. A pass
//! of a sweep is content with what was read since the sweep began, and whatever it would do is
//! decided anew on a look of its own. After a write of ours nothing is used that was read before.

mod code_deploy;
mod kept;
mod kinds;
mod records;
mod scheduled;
mod settled;
mod shared;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::aws::{Aws, Clients};
use crate::model::desired::{Access, Wanted};
use crate::model::interest::Interest;
use crate::model::plan::Step;
use crate::resource::image_ref::EcrRepository;
use crate::resource::meta::{Environment, ReleaseKey};
use crate::store::{Store, StoreError};

use kept::Kept;
use kinds::{Families, Images, Rules, Services, TagLists, Tags, Targets, Tasks};
use records::{Deployments, Revisions};
use scheduled::{GroupLists, Groups, Schedules};
use shared::{Asked, Fresh, KEPT, Order, Shared};

pub(super) use settled::Began;
pub use settled::Settled;
pub(super) use view::{Activity, View};

/// How old tags of a rule may be that a sweep is content with. They say whose a rule is, which
/// hardly ever changes, and there is no call that reads those of several rules.
const TAGS_KEPT: Duration = Duration::from_secs(3600);

/// How often a sweep reads everything that was registered for a Release: what is not needed any more
/// is let go of at the end of a rollout, and only what was still run then is left to be found.
const STOCK: Duration = Duration::from_secs(3600);

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
        self.0.at(&place.access, &place.region)
    }
}

/// What was read of the table by name, and when that began.
type Dated<T> = Arc<Mutex<BTreeMap<String, (Instant, T)>>>;

/// Reads of all Releases. Clones share what was read.
#[derive(Clone)]
pub(super) struct Reads {
    accounts: Accounts,
    order: Order,
    looks: Arc<AtomicU64>,
    services: Shared<Services>,
    tasks: Shared<Tasks>,
    images: Shared<Images>,
    tag_lists: Shared<TagLists>,
    rules: Shared<Rules>,
    targets: Shared<Targets>,
    tags: Shared<Tags>,
    groups: Shared<Groups>,
    group_lists: Shared<GroupLists>,
    schedules: Shared<Schedules>,
    families: Shared<Families>,
    deployments: Shared<Deployments>,
    revisions: Shared<Revisions>,
    environments: Dated<Environment>,
    /// Namespace -> names of its Releases of which something is asked.
    asked: Dated<BTreeSet<String>>,
    stock: Arc<std::sync::Mutex<HashMap<ReleaseKey, Instant>>>,
    kept: Kept,
}

impl Reads {
    pub(super) fn new(aws: Aws) -> Self {
        let (accounts, order) = (Accounts(aws), Order::default());
        Self {
            services: Shared::new(Services(accounts.clone()), &order),
            tasks: Shared::new(Tasks(accounts.clone()), &order),
            images: Shared::new(Images(accounts.clone()), &order),
            tag_lists: Shared::new(TagLists(accounts.clone()), &order),
            rules: Shared::new(Rules(accounts.clone()), &order),
            targets: Shared::new(Targets(accounts.clone()), &order),
            tags: Shared::new(Tags(accounts.clone()), &order),
            groups: Shared::new(Groups(accounts.clone()), &order),
            group_lists: Shared::new(GroupLists(accounts.clone()), &order),
            schedules: Shared::new(Schedules(accounts.clone()), &order),
            families: Shared::new(Families(accounts.clone()), &order),
            deployments: Shared::new(Deployments(accounts.clone()), &order),
            revisions: Shared::new(Revisions(accounts.clone()), &order),
            environments: Arc::default(),
            asked: Arc::default(),
            stock: Arc::default(),
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
            more: AtomicBool::new(false),
            silent: BTreeSet::new(),
            waited: Instant::now(),
            reads: self.clone(),
        }
    }

    /// Reads for all of these what a look at them asks for.
    pub(super) async fn ahead(&self, interests: &[Interest]) {
        self.forget_old();
        let fresh = Fresh::Since(Instant::now());
        let mut wanted = Wants::default();
        for interest in interests {
            wanted.add(interest);
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
        for group in wanted.tag_lists {
            let lists = self.tag_lists.clone();
            reading.spawn(async move { lists.ahead(&group, vec![[()].into()], fresh).await });
        }
        for (place, asked) in wanted.families {
            let families = self.families.clone();
            reading.spawn(async move { families.ahead(&place, asked, fresh).await });
        }
        let buses: Vec<Place> = wanted.rules.keys().cloned().collect();
        for (place, asked) in wanted.rules {
            let reads = self.clone();
            reading.spawn(async move { reads.rules_ahead(&place, asked, fresh).await });
        }
        for (place, asked) in wanted.groups {
            let lists = self.group_lists.clone();
            reading.spawn(async move { lists.ahead(&place, asked, fresh).await });
        }
        while reading.join_next().await.is_some() {}
        // A write of ours meanwhile has the list of a bus dropped, which every Release with rules is
        // compared with.
        for place in buses {
            if self.rules.newest(&place, &()).is_none() {
                self.rules.ask(&place, [()].into(), fresh).await;
            }
        }
    }

    async fn rules_ahead(&self, place: &Place, names: BTreeSet<String>, fresh: Fresh) {
        let listed = self.rules.ask(place, [()].into(), fresh).await;
        let Some(Ok(listed)) = listed.get(&()) else {
            return;
        };
        let arn = |name: &String| Some(listed.get(name)?.get("Arn")?.as_str()?.to_owned());
        let arns: BTreeSet<String> = names.iter().filter_map(arn).collect();
        let names: BTreeSet<String> = names.into_iter().filter(|it| arn(it).is_some()).collect();
        let tags = match fresh {
            Fresh::Since(since) => older_tags(since),
            fresh => fresh,
        };
        tokio::join!(
            self.targets.ahead(place, vec![names], fresh),
            self.tags.ahead(place, vec![arns], tags),
        );
    }

    /// An Environment, read from the table since then, or now.
    pub(super) async fn environment(
        &self,
        store: &Store,
        name: &str,
        since: Option<Instant>,
    ) -> Result<Option<Environment>, StoreError> {
        let Some(since) = since else {
            return store.environment(name).await;
        };
        // Whoever comes meanwhile waits for the first one's answer.
        let mut environments = self.environments.lock().await;
        if let Some((began, known)) = environments.get(name)
            && *began >= since
        {
            return Ok(Some(known.clone()));
        }
        let began = Instant::now();
        let found = store.environment(name).await?;
        if let Some(found) = &found {
            environments.insert(name.to_owned(), (began, found.clone()));
        }
        Ok(found)
    }

    /// Whether anything may be asked of a Release: always, where nothing that was read since then
    /// says otherwise.
    pub(super) async fn is_asked(
        &self,
        store: &Store,
        key: &ReleaseKey,
        since: Option<Instant>,
    ) -> Result<bool, StoreError> {
        let Some(since) = since else {
            return Ok(true);
        };
        // Whoever comes meanwhile waits for the first one's answer.
        let mut asked = self.asked.lock().await;
        if let Some((began, names)) = asked.get(&key.namespace)
            && *began >= since
        {
            return Ok(names.contains(&key.name));
        }
        let began = Instant::now();
        let names = store.requested(&key.namespace).await?;
        let found = names.contains(&key.name);
        asked.insert(key.namespace.clone(), (began, names));
        Ok(found)
    }

    /// Whether a sweep is to read everything that was registered for a Release, and not only what
    /// it needs: once in a while.
    fn takes_stock(&self, key: &ReleaseKey) -> bool {
        let stock = self.stock.lock().unwrap_or_else(PoisonError::into_inner);
        stock.get(key).is_none_or(|at| at.elapsed() >= STOCK)
    }

    /// Everything that was registered for a Release was read.
    fn took_stock(&self, key: &ReleaseKey) {
        let mut stock = self.stock.lock().unwrap_or_else(PoisonError::into_inner);
        stock.insert(key.clone(), Instant::now());
    }

    /// Its binding was recorded.
    pub(super) async fn bound(&self, environment: &str) {
        self.environments.lock().await.remove(environment);
    }

    /// A step was carried out, or may have been: what was read before does not show it.
    pub(super) fn wrote(&self, access: &Access, region: &str, step: &Step) {
        let place = Place::new(access, region);
        match step {
            Step::UpdateService {
                cluster, service, ..
            }
            | Step::ConfigureService {
                cluster, service, ..
            }
            | Step::CreateDeployment {
                cluster, service, ..
            } => {
                let group = (place, cluster.clone());
                self.services.forget(&group, |name| name == service);
            }
            // What comes of it shows in the service, which is looked at afresh by then.
            Step::StopServiceDeployment { .. }
            | Step::ContinueServiceDeployment { .. }
            | Step::StopDeployment { .. }
            | Step::ContinueDeployment { .. } => {}
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
            Step::CreateScheduleGroup { input } => self.wrote_group(&place, text(input, "Name")),
            Step::TagScheduleGroup { arn, .. } => self.wrote_group(&place, group_of(arn)),
            Step::DeleteScheduleGroup { group } => {
                self.wrote_group(&place, group);
                self.schedules.forget(&place, |(of, ..)| of == group);
            }
            Step::CreateSchedule { input } | Step::UpdateSchedule { input } => {
                self.wrote_schedule(&place, text(input, "GroupName"), text(input, "Name"));
            }
            Step::DeleteSchedule { group, name } => self.wrote_schedule(&place, group, name),
            Step::RecordRevision { .. }
            | Step::UpdateRevision(_)
            | Step::DeleteRevision(_)
            | Step::Claim(_)
            | Step::Unclaim(_)
            | Step::RecordRegistration(_)
            | Step::RunMigration { .. }
            | Step::CallHook { .. }
            | Step::RecordHooks(_)
            | Step::RecordJob(_)
            | Step::AnswerJob { .. }
            | Step::ForgetRun(_)
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

    fn wrote_group(&self, place: &Place, group: &str) {
        self.groups.forget(place, |name| name == group);
        self.group_lists.forget(place, |name| name == group);
    }

    fn wrote_schedule(&self, place: &Place, group: &str, name: &str) {
        self.group_lists.forget(place, |it| it == group);
        let written = |(of, it, _): &(String, String, String)| of == group && it == name;
        self.schedules.forget(place, written);
    }

    fn forget_old(&self) {
        self.services.forget_older(KEPT);
        self.tasks.forget_older(KEPT);
        self.images.forget_older(KEPT);
        self.tag_lists.forget_older(KEPT);
        self.rules.forget_older(KEPT);
        self.targets.forget_older(KEPT);
        self.tags.forget_older(TAGS_KEPT);
        self.groups.forget_older(TAGS_KEPT);
        self.group_lists.forget_older(KEPT);
        self.schedules.forget_older(TAGS_KEPT);
        self.families.forget_older(KEPT);
        self.deployments.forget_older(KEPT);
        self.revisions.forget_older(KEPT);
        if let Ok(mut environments) = self.environments.try_lock() {
            environments.retain(|_, (began, _)| began.elapsed() <= KEPT);
        }
        if let Ok(mut asked) = self.asked.try_lock() {
            asked.retain(|_, (began, _)| began.elapsed() <= KEPT);
        }
        let mut stock = self.stock.lock().unwrap_or_else(PoisonError::into_inner);
        stock.retain(|_, at| at.elapsed() < STOCK);
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

/// Name of the schedule group of an ARN.
fn group_of(arn: &str) -> &str {
    arn.rsplit_once(":schedule-group/")
        .map_or(arn, |(_, name)| name)
}

/// See [`TAGS_KEPT`].
fn older_tags(since: Instant) -> Fresh {
    Fresh::Lasting(since, TAGS_KEPT)
}

/// What many looks ask for, by what one call can be about.
#[derive(Default)]
struct Wants {
    services: BTreeMap<(Place, String), Asked<String>>,
    images: BTreeMap<(Access, EcrRepository), Asked<Wanted>>,
    tag_lists: BTreeSet<(Access, EcrRepository)>,
    families: BTreeMap<Place, Asked<String>>,
    rules: BTreeMap<Place, BTreeSet<String>>,
    groups: BTreeMap<Place, Asked<String>>,
}

impl Wants {
    fn add(&mut self, interest: &Interest) {
        let place = Place::new(&interest.access, &interest.region);
        if !interest.services.is_empty() {
            let group = (place.clone(), interest.cluster.clone());
            let asked = self.services.entry(group).or_default();
            asked.push(interest.services.clone());
        }
        for (repository, wanted) in &interest.images {
            let group = (interest.access.clone(), repository.clone());
            let asked = self.images.entry(group).or_default();
            asked.push(wanted.clone());
        }
        let listed = interest.repositories.iter().cloned();
        let listed = listed.map(|repository| (interest.access.clone(), repository));
        self.tag_lists.extend(listed);
        if !interest.families.is_empty() {
            let asked = self.families.entry(place.clone()).or_default();
            asked.push(interest.families.clone());
        }
        if let Some(group) = &interest.schedule_group {
            let asked = self.groups.entry(place.clone()).or_default();
            asked.push([group.clone()].into());
        }
        if !interest.rules.is_empty() {
            let asked = self.rules.entry(place).or_default();
            asked.extend(interest.rules.iter().cloned());
        }
    }
}
