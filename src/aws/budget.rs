//! How many requests we make of AWS, so that others in the account get theirs.
//!
//! AWS limits requests per account and Region with token buckets that all callers share
//! (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html>; EventBridge's,
//! its Scheduler's and CloudWatch's are in their quotas, of which those of the Regions with the least
//! count here). We keep buckets of our own of the same kinds, a share of AWS's each: who stays below
//! AWS's limits is not throttled, and does not throttle others. ECR allows thousands of requests a
//! second and says nothing of DescribeImages; it has no bucket here.

mod bucket;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Opts, Registry};
use tokio::time::Instant;

use super::metrics::AwsMetrics;
use bucket::{Bucket, Limit};

/// How long a write waits for its token before it is sent away to come back later.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much longer, where the rate was lowered meanwhile.
const GRACE: Duration = Duration::from_secs(1);
/// How long a read waits. A signature is good for five minutes, and it is signed before.
const READ_PATIENCE: Duration = Duration::from_secs(120);

const fn limit(service: &'static str, name: &'static str, burst: f64, rate: f64) -> Limit {
    Limit {
        service,
        name,
        burst,
        rate,
    }
}

static LIMITS: [Limit; 17] = [
    limit("ecs", "task_definition_writes", 20.0, 1.0),
    limit("ecs", "task_definition_reads", 50.0, 20.0),
    limit("ecs", "service_writes", 50.0, 5.0),
    limit("ecs", "service_reads", 100.0, 20.0),
    limit("ecs", "service_deployment_reads", 50.0, 20.0),
    limit("ecs", "service_revision_reads", 50.0, 20.0),
    limit("ecs", "task_writes", 100.0, 40.0),
    limit("ecs", "task_reads", 100.0, 20.0),
    limit("ecs", "tag_writes", 20.0, 10.0),
    limit("ecs", "tag_reads", 50.0, 20.0),
    limit("fargate", "task_starts", 20.0, 20.0),
    limit("eventbridge", "control_plane", 50.0, 50.0),
    limit("cloudwatch", "alarm_reads", 9.0, 9.0),
    limit("scheduler", "schedule_writes", 250.0, 250.0),
    limit("scheduler", "schedule_reads", 250.0, 250.0),
    limit("scheduler", "schedule_lists", 50.0, 50.0),
    limit("scheduler", "schedule_groups", 10.0, 10.0),
];

/// The name of the bucket that an operation takes from.
fn bucket_name(service: &str, operation: &str) -> Option<&'static str> {
    Some(match (service, operation) {
        // It has a quota of its own, in thousands a second.
        ("events", "PutEvents") => return None,
        ("events", _) => "control_plane",
        ("cloudwatch", "DescribeAlarms") => "alarm_reads",
        ("scheduler", "CreateSchedule" | "UpdateSchedule" | "DeleteSchedule") => "schedule_writes",
        ("scheduler", "GetSchedule") => "schedule_reads",
        ("scheduler", "ListSchedules") => "schedule_lists",
        // Ten a second each; together they stay below all of them.
        ("scheduler", _) => "schedule_groups",
        ("fargate", "RunTask") => "task_starts",
        ("ecs", "RegisterTaskDefinition" | "DeregisterTaskDefinition") => "task_definition_writes",
        (
            "ecs",
            "DescribeTaskDefinition" | "ListTaskDefinitions" | "ListTaskDefinitionFamilies",
        ) => "task_definition_reads",
        ("ecs", "CreateService" | "UpdateService" | "DeleteService") => "service_writes",
        ("ecs", "DescribeServices" | "ListServices") => "service_reads",
        ("ecs", "ListServiceDeployments" | "DescribeServiceDeployments") => {
            "service_deployment_reads"
        }
        ("ecs", "DescribeServiceRevisions") => "service_revision_reads",
        ("ecs", "RunTask" | "StopTask" | "ExecuteCommand") => "task_writes",
        ("ecs", "DescribeTasks" | "ListTasks") => "task_reads",
        ("ecs", "TagResource" | "UntagResource") => "tag_writes",
        ("ecs", "ListTagsForResource") => "tag_reads",
        _ => return None,
    })
}

/// A write that has to come back later: there were too many before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{service}:{operation} waits for the request budget of the account; its turn comes in about \
     {} s", .after.as_secs()
)]
pub struct OverBudget {
    /// The service.
    pub service: &'static str,
    /// The API operation.
    pub operation: &'static str,
    /// When to come back.
    pub after: Duration,
}

/// A read that was not sent at all.
#[derive(Debug, thiserror::Error)]
#[error("it found no place in evenkeel's own request budget within {} s", READ_PATIENCE.as_secs())]
pub(super) struct NotSent;

/// The request budgets of every account and Region. Clones are the same.
#[derive(Clone, Debug)]
pub struct Budget {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    /// Which part of AWS's limits is evenkeel's; none for all that is asked for.
    share: Option<f64>,
    replicas: usize,
    /// The account of evenkeel's own credentials, once it is known.
    own: Option<String>,
    places: BTreeMap<Place, Lines>,
}

/// An account, none for the one of evenkeel's own credentials, and a Region.
type Place = (Option<String>, String);

impl Inner {
    fn share(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "replicas are few")]
        let replicas = self.replicas as f64;
        Some(self.share? / replicas)
    }

    /// The queues of a place.
    fn lines(&mut self, place: &Place) -> &Lines {
        let (account, region) = place;
        let account = account.clone().filter(|it| self.own.as_ref() != Some(it));
        let share = self.share();
        let now = Instant::now();
        self.places
            .entry((account, region.clone()))
            .or_insert_with(|| {
                let line = |limit: &'static Limit, share| Line {
                    service: limit.service,
                    bucket: Mutex::new(Bucket::new(limit, share, now)),
                    turn: tokio::sync::Mutex::default(),
                };
                let all = LIMITS.iter();
                all.filter_map(|limit| Some((limit.name, Arc::new(line(limit, share?)))))
                    .collect()
            })
    }
}

/// The queues of one account in one Region, by the name of their bucket.
type Lines = BTreeMap<&'static str, Arc<Line>>;

/// A bucket and those who wait for it.
#[derive(Debug)]
struct Line {
    service: &'static str,
    bucket: Mutex<Bucket>,
    /// Held by who is next; tokio's mutex is first come, first served.
    turn: tokio::sync::Mutex<()>,
}

impl Line {
    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        lock(&self.bucket)
    }

    /// Waits for a token in the order of arrival, and takes it.
    async fn take(&self) {
        let _place = Waiting::join(self);
        let _turn = self.turn.lock().await;
        loop {
            let taken = self.bucket().try_take(Instant::now());
            match taken {
                Ok(()) => return,
                Err(wait) => tokio::time::sleep(wait).await,
            }
        }
    }
}

/// A place in the queue, given up when dropped: whoever waits may be cancelled.
struct Waiting<'a>(&'a Line);

impl<'a> Waiting<'a> {
    fn join(line: &'a Line) -> Self {
        line.bucket().join();
        Self(line)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.bucket().leave();
    }
}

impl Budget {
    /// A share of every limit of AWS: above 0, at most 1. All live replicas share it.
    pub fn new(share: f64) -> Self {
        Self::of_share(Some(share.clamp(f64::MIN_POSITIVE, 1.0)))
    }

    /// No limit but AWS's own.
    pub fn unbounded() -> Self {
        Self::of_share(None)
    }

    fn of_share(share: Option<f64>) -> Self {
        Self {
            inner: Arc::new(Mutex::new(Inner {
                share,
                replicas: 1,
                own: None,
                places: BTreeMap::new(),
            })),
        }
    }

    /// How many replicas share the budget from now on; 0 counts as 1.
    pub fn set_replicas(&self, replicas: usize) {
        let now = Instant::now();
        let mut inner = lock(&self.inner);
        if inner.replicas == replicas.max(1) {
            return;
        }
        inner.replicas = replicas.max(1);
        let Some(share) = inner.share() else { return };
        for line in inner.places.values().flat_map(|lines| lines.values()) {
            line.bucket().set_share(share, now);
        }
    }

    /// The budget of an account, none for the one of evenkeel's own credentials, in a Region.
    pub(super) fn of(
        &self,
        account: Option<&str>,
        region: &str,
        metrics: Option<AwsMetrics>,
    ) -> RegionBudget {
        let place = (account.map(str::to_owned), region.to_owned());
        lock(&self.inner).lines(&place);
        RegionBudget {
            inner: self.inner.clone(),
            place,
            metrics,
        }
    }

    /// Which account evenkeel's own credentials belong to. Roles of that account have no budget of
    /// their own from now on: AWS counts all of the account's requests together.
    pub(super) fn own_account(&self, account: &str) {
        let mut inner = lock(&self.inner);
        if inner.own.as_deref() == Some(account) {
            return;
        }
        inner.own = Some(account.to_owned());
        let all = std::mem::take(&mut inner.places);
        let (of_roles, mut places): (BTreeMap<_, _>, BTreeMap<_, _>) = all
            .into_iter()
            .partition(|((of, _), _)| of.as_deref() == Some(account));
        // Where both were in use, whoever waits in the role's queues still gets through there.
        for ((_, region), lines) in of_roles {
            places.entry((None, region)).or_insert(lines);
        }
        inner.places = places;
    }

    /// Serves `evenkeel_aws_budget_rate{service,bucket}`.
    ///
    /// # Errors
    /// When a metric of that name is registered already.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        let opts = Opts::new(
            "evenkeel_aws_budget_rate",
            "Requests a second that evenkeel allows itself now, in the account and Region where \
             that is least.",
        );
        registry.register(Box::new(Rates {
            budget: self.clone(),
            rates: GaugeVec::new(opts, &["service", "bucket"])?,
        }))
    }

    /// Requests a second by service and bucket, where they are least.
    fn rates(&self) -> BTreeMap<(&'static str, &'static str), f64> {
        let now = Instant::now();
        let mut least = BTreeMap::new();
        for lines in lock(&self.inner).places.values() {
            for (name, line) in lines.iter() {
                let rate = line.bucket().rate(now);
                let known = least.entry((line.service, *name)).or_insert(rate);
                *known = known.min(rate);
            }
        }
        least
    }
}

/// The gauge of rates, worked out when it is asked for: they change with time alone.
struct Rates {
    budget: Budget,
    rates: GaugeVec,
}

impl Collector for Rates {
    fn desc(&self) -> Vec<&Desc> {
        self.rates.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for ((service, bucket), rate) in self.budget.rates() {
            self.rates.with_label_values(&[service, bucket]).set(rate);
        }
        self.rates.collect()
    }
}

/// The request budget of one account in one Region. Cheap to clone; clones are the same.
#[derive(Clone, Debug)]
pub struct RegionBudget {
    inner: Arc<Mutex<Inner>>,
    place: Place,
    metrics: Option<AwsMetrics>,
}

impl RegionBudget {
    fn line(&self, service: &str, operation: &str) -> Option<Arc<Line>> {
        let name = bucket_name(service, operation)?;
        lock(&self.inner).lines(&self.place).get(name).cloned()
    }

    /// Takes the token of a write that is about to be made, waiting a few seconds at most.
    /// `service` is the IAM prefix, or `fargate` for the further bucket that RunTask on Fargate
    /// takes from. `who` is the one name of the caller, whose turn is kept when it asks again too
    /// early. What has no bucket is let through.
    ///
    /// # Errors
    /// When it would have to wait longer: it is told when to come back, each caller later than the
    /// one before.
    pub async fn admit(
        &self,
        service: &'static str,
        operation: &'static str,
        who: &str,
    ) -> Result<(), OverBudget> {
        let Some(line) = self.line(service, operation) else {
            return Ok(());
        };
        let over = |after| OverBudget {
            service,
            operation,
            after,
        };
        let began = Instant::now();
        {
            let mut bucket = line.bucket();
            if bucket.ahead(began) > PATIENCE {
                return Err(over(bucket.book(who, began)));
            }
        }
        let taken = tokio::time::timeout(PATIENCE + GRACE, line.take()).await;
        self.waited(&line, operation, began);
        let mut bucket = line.bucket();
        match taken {
            Ok(()) => {
                bucket.passed(who, Instant::now());
                Ok(())
            }
            Err(_) => Err(over(bucket.book(who, Instant::now()))),
        }
    }

    /// Waits for the token of a read.
    pub(super) async fn take(&self, service: &str, operation: &str) -> Result<(), NotSent> {
        let Some(line) = self.line(service, operation) else {
            return Ok(());
        };
        let began = Instant::now();
        let taken = tokio::time::timeout(READ_PATIENCE, line.take()).await;
        self.waited(&line, operation, began);
        taken.map_err(|_| NotSent)
    }

    /// Counts a request that is made in any case.
    pub(super) fn charge(&self, service: &str, operation: &str) {
        if let Some(line) = self.line(service, operation) {
            line.bucket().charge(Instant::now());
        }
    }

    /// AWS throttled this operation.
    pub(super) fn throttled(&self, service: &str, operation: &str) {
        if let Some(line) = self.line(service, operation) {
            line.bucket().throttled(Instant::now());
        }
    }

    fn waited(&self, line: &Line, operation: &str, began: Instant) {
        if let Some(metrics) = &self.metrics {
            metrics.waited(line.service, operation, began.elapsed());
        }
    }
}

/// A panic elsewhere must not keep others from their budget.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
