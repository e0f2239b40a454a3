//! Clusters.

use serde_json::{Map, Value, json};

use super::super::cx::Cx;
use super::super::fault::Fault;
use super::Ecs;
use super::arn::{arn, inner, is_arn};
use super::json::tidy;
use super::paging::page;
use super::tags::{self, Tags};
use super::validate::{Input, invalid, is_name};

/// A cluster. Capacity is not simulated: what is not Fargate is placed on an imagined instance.
#[derive(Debug, Clone)]
pub(super) struct Cluster {
    name: String,
    pub arn: String,
    pub active: bool,
    settings: Value,
    configuration: Value,
    pub providers: Vec<String>,
    pub default_strategy: Value,
    pub tags: Tags,
}

impl Cluster {
    /// The capacity provider strategy of calls that name neither one nor a launch type.
    pub fn default_strategy(&self) -> Option<&Value> {
        self.default_strategy
            .as_array()
            .filter(|items| !items.is_empty())
            .map(|_| &self.default_strategy)
    }
}

fn not_found() -> Fault {
    Fault::client("ClusterNotFoundException", "Cluster not found.")
}

/// The cluster's name in a reference to it; none is the cluster named `default`.
pub(super) fn name_of<'a>(cx: &Cx<'_>, reference: Option<&'a str>) -> Option<&'a str> {
    match reference {
        None | Some("") => Some("default"),
        Some(text) if is_arn(text) => inner(cx, text, "cluster"),
        Some(name) => Some(name),
    }
}

impl Ecs {
    /// The ACTIVE cluster that the call is about.
    pub(super) fn cluster(&self, cx: &Cx<'_>, input: Input<'_>) -> Result<&Cluster, Fault> {
        let name = name_of(cx, input.text("cluster")?).ok_or_else(not_found)?;
        self.clusters
            .get(name)
            .filter(|cluster| cluster.active)
            .ok_or_else(not_found)
    }

    /// As [`Ecs::cluster`], its name only.
    pub(super) fn cluster_name(&self, cx: &Cx<'_>, input: Input<'_>) -> Result<String, Fault> {
        Ok(self.cluster(cx, input)?.name.clone())
    }

    pub(super) fn create_cluster(
        &mut self,
        cx: &mut Cx<'_>,
        input: Input<'_>,
    ) -> Result<Value, Fault> {
        let name = input.text("clusterName")?.unwrap_or("default");
        if !is_name(name) {
            return Err(invalid(
                "Identifiers may only contain alphanumeric characters, underscores and hyphens.",
            ));
        }
        let existing = self.clusters.get(name).filter(|cluster| cluster.active);
        // Idempotent by name: the cluster that is there is the answer, whatever was asked.
        let cluster = match existing {
            Some(cluster) => cluster.clone(),
            None => Cluster {
                name: name.to_owned(),
                arn: arn(cx, &format!("cluster/{name}")),
                active: true,
                settings: input
                    .get("settings")
                    .cloned()
                    .unwrap_or_else(|| json!([{"name": "containerInsights", "value": "disabled"}])),
                configuration: input.get("configuration").cloned().unwrap_or(Value::Null),
                providers: input
                    .texts("capacityProviders")?
                    .into_iter()
                    .map(str::to_owned)
                    .collect(),
                default_strategy: Value::from(input.list("defaultCapacityProviderStrategy")?),
                tags: tags::read(input, "tags")?,
            },
        };
        let answer = json!({"cluster": self.cluster_view(cx, &cluster, true, true)});
        self.clusters.put(cx, name.to_owned(), cluster);
        Ok(answer)
    }

    pub(super) fn put_capacity_providers(
        &mut self,
        cx: &mut Cx<'_>,
        input: Input<'_>,
    ) -> Result<Value, Fault> {
        let mut cluster = self.cluster(cx, input)?.clone();
        cluster.providers = input
            .texts("capacityProviders")?
            .into_iter()
            .map(str::to_owned)
            .collect();
        cluster.default_strategy = Value::from(input.list("defaultCapacityProviderStrategy")?);
        let answer = json!({"cluster": self.cluster_view(cx, &cluster, false, true)});
        self.clusters.put(cx, cluster.name.clone(), cluster);
        Ok(answer)
    }

    pub(super) fn describe_clusters(
        &self,
        cx: &mut Cx<'_>,
        input: Input<'_>,
    ) -> Result<Value, Fault> {
        let mut wanted = input.texts("clusters")?;
        if wanted.is_empty() {
            wanted.push("default");
        }
        if wanted.len() > 100 {
            return Err(invalid("Clusters cannot have more than 100 items."));
        }
        let (with_tags, with_settings) = (input.includes("TAGS")?, input.includes("SETTINGS")?);
        let (mut found, mut failures) = (Vec::new(), Vec::new());
        for text in wanted {
            let seen = name_of(cx, Some(text)).and_then(|name| self.clusters.seen(cx, name));
            match seen {
                Some(cluster) => {
                    found.push(self.cluster_view(cx, cluster, with_tags, with_settings));
                }
                None => {
                    let arn = if is_arn(text) {
                        text.to_owned()
                    } else {
                        arn(cx, &format!("cluster/{text}"))
                    };
                    failures.push(json!({"arn": arn, "reason": "MISSING"}));
                }
            }
        }
        Ok(json!({"clusters": found, "failures": failures}))
    }

    pub(super) fn list_clusters(&self, cx: &mut Cx<'_>, input: Input<'_>) -> Result<Value, Fault> {
        let arns = self
            .clusters
            .seen_range(cx, ..)
            .filter(|(_, cluster)| cluster.active)
            .map(|(name, cluster)| (name.clone(), Value::from(cluster.arn.as_str())))
            .collect();
        page(input, "clusterArns", arns, 100)
    }

    pub(super) fn delete_cluster(
        &mut self,
        cx: &mut Cx<'_>,
        input: Input<'_>,
    ) -> Result<Value, Fault> {
        let mut cluster = self.cluster(cx, input)?.clone();
        if self
            .services_of(&cluster.name)
            .any(|service| service.is_active())
        {
            return Err(Fault::client(
                "ClusterContainsServicesException",
                "The Cluster cannot be deleted while Services are active.",
            ));
        }
        if self.tasks_of(&cluster.name).any(|task| !task.is_stopped()) {
            return Err(Fault::client(
                "ClusterContainsTasksException",
                "The Cluster cannot be deleted while Tasks are active.",
            ));
        }
        cluster.active = false;
        let answer = json!({"cluster": self.cluster_view(cx, &cluster, true, true)});
        self.clusters.put(cx, cluster.name.clone(), cluster);
        Ok(answer)
    }

    fn cluster_view(
        &self,
        cx: &Cx<'_>,
        cluster: &Cluster,
        with_tags: bool,
        with_settings: bool,
    ) -> Value {
        let first = (cluster.name.clone(), String::new());
        let here = |key: &(String, String)| key.0 == cluster.name;
        let services = self
            .services
            .seen_range(cx, first.clone()..)
            .take_while(|(key, _)| here(key))
            .filter(|(_, service)| service.is_active())
            .count();
        let (mut running, mut pending) = (0, 0);
        let tasks = self.tasks.seen_range(cx, first..);
        for (_, task) in tasks.take_while(|(key, _)| here(key)) {
            running += usize::from(task.is_running());
            pending += usize::from(task.is_pending());
        }
        let mut view = Map::new();
        for (name, value) in [
            ("clusterArn", json!(cluster.arn)),
            ("clusterName", json!(cluster.name)),
            (
                "status",
                json!(if cluster.active { "ACTIVE" } else { "INACTIVE" }),
            ),
            ("registeredContainerInstancesCount", json!(0)),
            ("runningTasksCount", json!(running)),
            ("pendingTasksCount", json!(pending)),
            ("activeServicesCount", json!(services)),
            ("statistics", json!([])),
            (
                "tags",
                if with_tags {
                    cluster.tags.view()
                } else {
                    json!([])
                },
            ),
            (
                "settings",
                if with_settings {
                    cluster.settings.clone()
                } else {
                    json!([])
                },
            ),
            ("configuration", cluster.configuration.clone()),
            ("capacityProviders", json!(cluster.providers)),
            (
                "defaultCapacityProviderStrategy",
                cluster.default_strategy.clone(),
            ),
        ] {
            view.insert(name.to_owned(), value);
        }
        tidy(Value::Object(view))
    }
}
