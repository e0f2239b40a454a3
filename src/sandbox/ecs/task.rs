//! A task and how it is described.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::fate::Fate;
use super::json::{maybe_seconds, seconds, tidy};
use super::speech::LogTo;
use super::tags::Tags;

/// Where a task is in its life; in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Waits for its network interface.
    Provisioning,
    /// Waits for its containers.
    Pending,
    /// Pulls its images; PENDING to those who look.
    Pulling,
    /// Has its images; PENDING to those who look.
    Pulled,
    Running,
    Deactivating,
    Stopping,
    Deprovisioning,
    Stopped,
}

impl Phase {
    fn last_status(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::Pending | Self::Pulling | Self::Pulled => "PENDING",
            Self::Running => "RUNNING",
            Self::Deactivating => "DEACTIVATING",
            Self::Stopping => "STOPPING",
            Self::Deprovisioning => "DEPROVISIONING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// What health checks say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    Unknown,
    Healthy,
    Unhealthy,
}

impl Health {
    fn name(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Healthy => "HEALTHY",
            Self::Unhealthy => "UNHEALTHY",
        }
    }
}

/// The service that a task belongs to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Owner {
    pub service: String,
    /// The deployment's 19 digits.
    pub deployment: String,
}

/// A container of a task.
#[derive(Debug, Clone)]
pub(super) struct Container {
    pub arn: String,
    pub name: String,
    pub image: String,
    pub digest: Option<String>,
    pub essential: bool,
    pub has_health_check: bool,
    /// The words of its command line, overrides applied.
    pub command: String,
    pub runtime_id: Option<String>,
    pub status: &'static str,
    pub exit_code: Option<i32>,
    pub reason: Option<String>,
    pub health: Health,
    pub cpu: Value,
    pub memory: Value,
    pub memory_reservation: Value,
    /// Where its log goes.
    pub log: Option<LogTo>,
}

/// When what happened.
#[derive(Debug, Clone)]
pub(super) struct Times {
    pub created: Timestamp,
    pub connected: Option<Timestamp>,
    pub pull_started: Option<Timestamp>,
    pub pull_stopped: Option<Timestamp>,
    pub started: Option<Timestamp>,
    pub stopping: Option<Timestamp>,
    pub execution_stopped: Option<Timestamp>,
    pub stopped: Option<Timestamp>,
}

/// A network interface of its own.
#[derive(Debug, Clone)]
pub(super) struct Interface {
    pub attachment: String,
    pub subnet: String,
    pub id: String,
    pub address: String,
}

/// A task.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub cluster: String,
    pub id: String,
    pub arn: String,
    pub cluster_arn: String,
    pub definition: String,
    pub family: String,
    pub group: String,
    pub started_by: Option<String>,
    pub owner: Option<Owner>,
    /// RunTask's client token.
    pub token: Option<String>,
    /// launchType, capacityProviderName, platformVersion, platformFamily, cpu, memory, overrides
    /// and the like: told at the start, echoed ever after.
    pub fixed: Map<String, Value>,
    pub containers: Vec<Container>,
    pub interface: Option<Interface>,
    pub tags: Tags,
    pub phase: Phase,
    /// desiredStatus is STOPPED.
    pub stopping: bool,
    pub times: Times,
    /// Counts as healthy to the scheduler, be there a health check or not.
    pub steady: bool,
    /// Was steady once.
    pub was_steady: bool,
    pub unhealthy: bool,
    pub fate: Fate,
    /// How much of its fate has come true.
    pub lived: usize,
    pub stop_code: Option<&'static str>,
    pub stopped_reason: Option<String>,
    pub version: u64,
}

impl Task {
    pub fn key(&self) -> (String, String) {
        (self.cluster.clone(), self.id.clone())
    }

    pub fn is_stopped(&self) -> bool {
        self.phase == Phase::Stopped
    }

    /// Counts in `runningCount`.
    pub fn is_running(&self) -> bool {
        self.phase == Phase::Running && !self.stopping
    }

    /// Counts in `pendingCount`.
    pub fn is_pending(&self) -> bool {
        self.phase < Phase::Running && !self.stopping
    }

    pub fn desired_status(&self) -> &'static str {
        if self.stopping { "STOPPED" } else { "RUNNING" }
    }

    fn health(&self) -> Health {
        let checked = || {
            self.containers
                .iter()
                .filter(|c| c.has_health_check && c.essential)
        };
        if checked().any(|container| container.health == Health::Unhealthy) {
            Health::Unhealthy
        } else if checked().next().is_some() && checked().all(|c| c.health == Health::Healthy) {
            Health::Healthy
        } else {
            Health::Unknown
        }
    }

    /// As DescribeTasks answers it.
    pub fn view(&self, with_tags: bool) -> Value {
        let mut view = self.fixed.clone();
        let times = &self.times;
        let connected = times.connected.map(|_| "CONNECTED");
        for (name, value) in [
            ("taskArn", json!(self.arn)),
            ("clusterArn", json!(self.cluster_arn)),
            ("taskDefinitionArn", json!(self.definition)),
            ("group", json!(self.group)),
            ("startedBy", json!(self.started_by)),
            ("lastStatus", json!(self.phase.last_status())),
            ("desiredStatus", json!(self.desired_status())),
            ("healthStatus", json!(self.health().name())),
            (
                "containers",
                self.containers
                    .iter()
                    .map(|c| self.container_view(c))
                    .collect(),
            ),
            ("attachments", self.attachments()),
            ("connectivity", json!(connected)),
            ("connectivityAt", maybe_seconds(times.connected)),
            ("createdAt", seconds(times.created)),
            ("pullStartedAt", maybe_seconds(times.pull_started)),
            ("pullStoppedAt", maybe_seconds(times.pull_stopped)),
            ("startedAt", maybe_seconds(times.started)),
            ("stoppingAt", maybe_seconds(times.stopping)),
            ("executionStoppedAt", maybe_seconds(times.execution_stopped)),
            ("stoppedAt", maybe_seconds(times.stopped)),
            ("stopCode", json!(self.stop_code)),
            ("stoppedReason", json!(self.stopped_reason)),
            (
                "tags",
                if with_tags {
                    self.tags.view()
                } else {
                    json!([])
                },
            ),
            ("version", json!(self.version)),
        ] {
            view.insert(name.to_owned(), value);
        }
        tidy(Value::Object(view))
    }

    fn container_view(&self, container: &Container) -> Value {
        let interfaces: Value = self
            .interface
            .iter()
            .map(|eni| json!({"attachmentId": eni.attachment, "privateIpv4Address": eni.address}))
            .collect();
        tidy(json!({
            "containerArn": container.arn,
            "taskArn": self.arn,
            "name": container.name,
            "image": container.image,
            "imageDigest": container.digest,
            "runtimeId": container.runtime_id,
            "lastStatus": container.status,
            "exitCode": container.exit_code,
            "reason": container.reason,
            "networkBindings": [],
            "networkInterfaces": interfaces,
            "healthStatus": container.health.name(),
            "cpu": container.cpu,
            "memory": container.memory,
            "memoryReservation": container.memory_reservation,
        }))
    }

    fn attachments(&self) -> Value {
        let status = match self.phase {
            Phase::Provisioning => "PRECREATED",
            Phase::Stopped => "DELETED",
            Phase::Deprovisioning => "DETACHING",
            _ => "ATTACHED",
        };
        self.interface
            .iter()
            .map(|eni| {
                json!({
                    "id": eni.attachment,
                    "type": "ElasticNetworkInterface",
                    "status": status,
                    "details": [
                        {"name": "subnetId", "value": eni.subnet},
                        {"name": "networkInterfaceId", "value": eni.id},
                        {"name": "privateIPv4Address", "value": eni.address},
                    ],
                })
            })
            .collect()
    }
}
