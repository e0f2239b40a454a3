//! What one look asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::Instant;

use super::kinds::{Newest, RuleList, TagList};
use super::shared::Fresh;
use super::{Place, Reads, older_tags};
use crate::aws::Clients;
use crate::aws::cloudwatch::alarms_named;
use crate::aws::ecr::{images_of, tags_of};
use crate::aws::ecs::services_in;
use crate::aws::error::{AwsError, Call, ErrorClass};
use crate::aws::events::rules_named;
use crate::model::desired::Wanted;
use crate::model::hook::Invalidation;
use crate::model::known::Known;
use crate::model::observed::{Alarm, Definition, Service, ServiceEvent, Task};
use crate::resource::image_ref::EcrRepository;
use crate::resource::meta::ReleaseKey;
use crate::store::{Store, StoreError};

/// The reads of one look at one account and Region.
pub(in crate::reconcile) struct View {
    pub(super) reads: Reads,
    pub(super) place: Place,
    pub(super) fresh: Fresh,
    /// What was read since then will do.
    pub(super) since: Option<Instant>,
    /// Whether anything was read that is not shared.
    pub(super) more: AtomicBool,
    /// Services that did not answer this look.
    pub(super) silent: BTreeSet<&'static str>,
    /// When the look began, or a read of it failed last.
    pub(super) waited: Instant,
}

/// How long a look may have waited for a read that failed and ask the same service again all the
/// same: an error that comes at once costs no time.
const SLOW: Duration = Duration::from_secs(10);

impl View {
    /// The account's services, for what is not shared.
    pub(super) fn clients(&self) -> Clients {
        self.more.store(true, Ordering::Relaxed);
        self.reads.accounts.of(&self.place)
    }

    /// A read of this look failed. A service that does not answer, or has no time for us, is not
    /// asked again by the same look: each call would wait for as long, and a pass ends in time.
    pub(in crate::reconcile) fn failed(&mut self, error: &AwsError) {
        let took = self.waited.elapsed();
        self.waited = Instant::now();
        if took < SLOW || !matches!(error.class, ErrorClass::Retry | ErrorClass::Throttled) {
            return;
        }
        match error.is_of_role() {
            // Without it nothing can be asked.
            true => self.silent.extend([
                "ecs",
                "ecr",
                "events",
                "scheduler",
                "cloudwatch",
                "codedeploy",
            ]),
            false => drop(self.silent.insert(error.service)),
        }
    }

    /// An error where the service was silent.
    pub(super) fn may_ask(&self, call: &Call) -> Result<(), AwsError> {
        match self.silent.contains(call.service) {
            true => {
                let why = format!("not asked: {} did not answer", call.service);
                Err(call.unexpected(ErrorClass::Retry, why))
            }
            false => Ok(()),
        }
    }

    /// See [`Reads::takes_stock`].
    pub(in crate::reconcile) fn takes_stock(&self, key: &ReleaseKey) -> bool {
        self.reads.takes_stock(key)
    }

    /// See [`Reads::took_stock`].
    pub(in crate::reconcile) fn took_stock(&self, key: &ReleaseKey) {
        self.reads.took_stock(key);
    }

    /// Tasks of a cluster that were started by this.
    pub(in crate::reconcile) async fn tasks_started_by(
        &self,
        cluster: &str,
        by: &str,
    ) -> Result<Vec<Task>, AwsError> {
        let what = format!("tasks started by {by} in cluster {cluster}");
        self.may_ask(&Call::read("ecs", "ListTasks", what))?;
        self.clients().ecs.tasks_started_by(cluster, by).await
    }

    /// Tasks of a service that stopped. Nobody else asks for them, and seldom anybody.
    pub(in crate::reconcile) async fn stopped_tasks(
        &self,
        cluster: &str,
        service: &str,
    ) -> Result<Vec<Task>, AwsError> {
        let what = format!("stopped tasks of service {service} in cluster {cluster}");
        self.may_ask(&Call::read("ecs", "ListTasks", what))?;
        self.clients().ecs.stopped_tasks_of(cluster, service).await
    }

    /// What ECS tells in the events of a service.
    pub(in crate::reconcile) async fn service_events(
        &self,
        cluster: &str,
        service: &str,
    ) -> Result<Known<Vec<ServiceEvent>>, AwsError> {
        let what = format!("service {service} in cluster {cluster}");
        self.may_ask(&Call::read("ecs", "DescribeServices", what))?;
        self.clients().ecs.service_events(cluster, service).await
    }

    /// A rule by its name.
    pub(in crate::reconcile) async fn rule(
        &self,
        name: &str,
    ) -> Result<Known<Map<String, Value>>, AwsError> {
        let what = format!("rule {name}");
        self.may_ask(&Call::read("events", "DescribeRule", what))?;
        self.clients().events.rule(name).await
    }

    /// Rules whose names begin so.
    pub(in crate::reconcile) async fn rules_with_prefix(
        &self,
        prefix: &str,
    ) -> Result<Vec<Map<String, Value>>, AwsError> {
        let what = rules_named(prefix);
        self.may_ask(&Call::read("events", "ListRules", what))?;
        // What it tells can be compared with the list of the whole bus: see `reads::settled`.
        let clients = self.reads.accounts.of(&self.place);
        clients.events.rules_with_prefix(prefix).await
    }

    /// States of alarms.
    pub(in crate::reconcile) async fn alarms(
        &self,
        names: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Known<Alarm>>, AwsError> {
        let call = Call::read("cloudwatch", "DescribeAlarms", alarms_named(names));
        self.may_ask(&call)?;
        self.clients().cloudwatch.alarms(names).await
    }

    /// How an invalidation stands.
    pub(in crate::reconcile) async fn invalidation(
        &self,
        asked: &Invalidation,
    ) -> Result<Known<String>, AwsError> {
        let what = format!("invalidation {}", asked.id);
        self.may_ask(&Call::read("cloudfront", "GetInvalidation", what))?;
        let cloudfront = &self.clients().cloudfront;
        cloudfront
            .invalidation(&asked.distribution, &asked.id)
            .await
    }

    /// Something was read that is not shared, and that no reading of AWS tells of when it changes.
    pub(in crate::reconcile) fn reads_more(&self) {
        self.more.store(true, Ordering::Relaxed);
    }

    /// Whether anything was read that is not shared.
    pub(in crate::reconcile) fn read_more(&self) -> bool {
        self.more.load(Ordering::Relaxed)
    }

    /// Whether what was read before will do.
    pub(in crate::reconcile) fn is_content(&self) -> bool {
        self.since.is_some()
    }

    /// Services of a cluster: each has an answer. Those of a call that failed are told of together.
    pub(in crate::reconcile) async fn services(
        &self,
        cluster: &str,
        names: BTreeSet<String>,
    ) -> BTreeMap<String, Result<Known<Service>, AwsError>> {
        let call = Call::read("ecs", "DescribeServices", "");
        if let Err(error) = self.may_ask(&call) {
            let all: Vec<String> = names.into_iter().collect();
            let error = error.about(services_in(cluster, &all));
            let each = all.into_iter().map(|name| (name, Err(error.clone())));
            return each.collect();
        }
        let group = (self.place.clone(), cluster.to_owned());
        let shared = &self.reads.services;
        let mut found = shared.ask(&group, names.clone(), self.fresh).await;
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
    pub(in crate::reconcile) async fn task(
        &self,
        cluster: &str,
        arn: &str,
    ) -> Result<Known<Task>, AwsError> {
        let what = format!("task {arn} in cluster {cluster}");
        let call = Call::read("ecs", "DescribeTasks", what);
        self.may_ask(&call)?;
        let group = (self.place.clone(), cluster.to_owned());
        let names = [arn.to_owned()].into();
        let shared = &self.reads.tasks;
        let mut found = shared.ask(&group, names, self.fresh).await;
        match found.remove(arn) {
            Some(read) => read.map_err(|error| error.about(call.resource)),
            None => Err(lost(call)),
        }
    }

    /// Digests of a repository's images.
    pub(in crate::reconcile) async fn images(
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
        self.may_ask(&Call::read("ecr", "DescribeImages", what.as_str()))?;
        let shared = &self.reads.images;
        let read = shared.ask(&group, wanted.clone(), self.fresh).await;
        let mut found = BTreeMap::new();
        for (image, read) in read {
            found.insert(image, read.map_err(|error| error.about(&what))?);
        }
        if found.len() < wanted.len() {
            return Err(lost(Call::read("ecr", "DescribeImages", what)));
        }
        Ok(found)
    }

    /// Every tag of a repository.
    pub(in crate::reconcile) async fn tagged(
        &self,
        repository: &EcrRepository,
    ) -> Result<TagList, AwsError> {
        let EcrRepository {
            registry_id,
            region,
            name,
        } = repository;
        let call = Call::read("ecr", "DescribeImages", tags_of(registry_id, region, name));
        self.may_ask(&call)?;
        let group = (self.place.access.clone(), repository.clone());
        let shared = &self.reads.tag_lists;
        let read = shared.ask(&group, [()].into(), self.fresh).await;
        let read = read.into_values().next();
        read.unwrap_or_else(|| Err(lost(call)))
    }

    /// Every rule of the default bus; `what` is told of an error.
    pub(in crate::reconcile) async fn rules(&self, what: &str) -> Result<RuleList, AwsError> {
        let call = Call::read("events", "ListRules", what);
        self.may_ask(&call)?;
        let shared = &self.reads.rules;
        let names = [()].into();
        let read = shared.ask(&self.place, names, self.fresh).await;
        match read.into_values().next() {
            Some(read) => read.map_err(|error| error.about(what)),
            None => Err(lost(call)),
        }
    }

    /// Targets of a rule.
    pub(in crate::reconcile) async fn targets(
        &self,
        rule: &str,
    ) -> Result<Vec<Map<String, Value>>, AwsError> {
        let call = Call::read("events", "ListTargetsByRule", format!("rule {rule}"));
        self.may_ask(&call)?;
        let shared = &self.reads.targets;
        let names = [rule.to_owned()].into();
        let read = shared.ask(&self.place, names, self.fresh).await;
        let read = read.into_values().next();
        let targets = read.unwrap_or_else(|| Err(lost(call)))?;
        Ok(Arc::unwrap_or_clone(targets))
    }

    /// Tags of a rule; a sweep is content with older ones.
    pub(in crate::reconcile) async fn tags(
        &self,
        arn: &str,
    ) -> Result<BTreeMap<String, String>, AwsError> {
        let call = Call::read("events", "ListTagsForResource", format!("rule {arn}"));
        self.may_ask(&call)?;
        let fresh = self.since.map_or(self.fresh, older_tags);
        let shared = &self.reads.tags;
        let names = [arn.to_owned()].into();
        let read = shared.ask(&self.place, names, fresh).await;
        let read = read.into_values().next();
        let tags = read.unwrap_or_else(|| Err(lost(call)))?;
        Ok(Arc::unwrap_or_clone(tags))
    }

    /// ACTIVE revisions of a family, newest first; `enough` may say that no more are needed.
    pub(in crate::reconcile) async fn family(
        &self,
        family: &str,
        enough: impl Fn(&[String]) -> bool,
    ) -> Result<Vec<String>, AwsError> {
        let call = Call::read("ecs", "ListTaskDefinitions", format!("family {family}"));
        self.may_ask(&call)?;
        let newest = self.newest(family.to_owned()).await?;
        if newest.whole || enough(&newest.arns) {
            return Ok(newest.arns.to_vec());
        }
        // Seldom: the newest were registered by others since, or all by us for many Releases.
        self.clients().ecs.active_revisions(family, enough).await
    }

    async fn newest(&self, family: String) -> Result<Newest, AwsError> {
        let what = format!("family {family}");
        // Services were looked at before: what they run must not be newer than the list.
        let fresh = match self.is_content() {
            true => self.fresh,
            false => Fresh::After(self.reads.order.now()),
        };
        let shared = &self.reads.families;
        let names = [family].into();
        let read = shared.ask(&self.place, names, fresh).await;
        let read = read.into_values().next();
        read.unwrap_or_else(|| Err(lost(Call::read("ecs", "ListTaskDefinitions", what))))
    }

    /// A task definition. What is known to be ACTIVE `now` need not be looked at twice: nothing of
    /// it changes but its status and its tags.
    pub(in crate::reconcile) async fn definition(
        &self,
        arn: &str,
        now: Activity,
    ) -> Result<Known<Definition>, AwsError> {
        if now == Activity::Listed
            && let Some(known) = self.reads.kept.active(&self.place, arn).await
        {
            return Ok(Known::Present(known));
        }
        let call = Call::read("ecs", "DescribeTaskDefinition", arn);
        self.may_ask(&call)?;
        let began = Instant::now();
        let read = self.clients().ecs.describe_task_definition(arn).await?;
        if let Known::Present(definition) = &read {
            let kept = &self.reads.kept;
            kept.describe(&self.place, began, definition).await;
        }
        Ok(read)
    }

    /// Those of the recorded contents that are there, by hash.
    pub(in crate::reconcile) async fn contents(
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
pub(in crate::reconcile) enum Activity {
    /// It is among the ACTIVE revisions of its family.
    Listed,
    /// It has to be read.
    Unknown,
}

/// A call that ended without an answer, since its process ends.
pub(super) fn lost(call: Call) -> AwsError {
    call.unexpected(ErrorClass::Retry, "the call was not finished")
}
