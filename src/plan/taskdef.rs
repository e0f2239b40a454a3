//! A base definition with the declared images put in, everything else as it stands.

use std::collections::BTreeMap;

use serde_json::Value;

use super::normalize;

/// A definition to run, made of a base.
#[derive(Clone, Debug, PartialEq)]
pub struct Built {
    /// RegisterTaskDefinition's input.
    pub content: Value,
    /// Hash of the content.
    pub definition: String,
    /// Hash of the base without the declared images.
    pub structure: String,
}

/// Puts images into a base.
///
/// # Errors
/// Names the containers that the base does not have, and those it has.
pub fn build(base: &Value, images: &BTreeMap<String, String>) -> Result<Built, MissingContainers> {
    let missing: Vec<String> = images
        .keys()
        .filter(|container| !container_names(base).any(|name| name == container.as_str()))
        .cloned()
        .collect();
    if !missing.is_empty() {
        let present = container_names(base).map(str::to_owned).collect();
        return Err(MissingContainers { missing, present });
    }
    let mut normal = normalize::definition(base);
    for container in images.keys() {
        normal.set_image(container, "");
    }
    let structure = normal.hash();
    for (container, image) in images {
        normal.set_image(container, image);
    }
    Ok(Built {
        definition: normal.hash(),
        structure,
        content: with_images(base, images),
    })
}

/// Containers that a manifest names and a base does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingContainers {
    /// Named, not there.
    pub missing: Vec<String>,
    /// There.
    pub present: Vec<String>,
}

/// Names of a definition's containers.
pub fn container_names(content: &Value) -> impl Iterator<Item = &str> {
    containers(content).filter_map(|container| container.get("name")?.as_str())
}

/// Names of the containers whose end ends the task; a container is essential unless it says no.
pub fn essential_names(content: &Value) -> impl Iterator<Item = &str> {
    let essential =
        |container: &&Value| container.get("essential").and_then(Value::as_bool) != Some(false);
    containers(content)
        .filter(essential)
        .filter_map(|container| container.get("name")?.as_str())
}

/// Containers of a definition.
pub fn containers(content: &Value) -> impl Iterator<Item = &Value> {
    content
        .get("containerDefinitions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// The container of that name.
pub fn container<'a>(content: &'a Value, name: &str) -> Option<&'a Value> {
    containers(content)
        .find(|container| container.get("name").and_then(Value::as_str) == Some(name))
}

/// The image of the container of that name.
pub fn image<'a>(content: &'a Value, name: &str) -> Option<&'a str> {
    container(content, name)?.get("image")?.as_str()
}

fn with_images(base: &Value, images: &BTreeMap<String, String>) -> Value {
    let mut content = base.clone();
    if let Some(map) = content.as_object_mut() {
        // Some servers answer "" for what was not said; AWS's own tags and an empty list of tags
        // are refused.
        map.retain(|_, member| !member.is_null() && member.as_str() != Some(""));
        let tags = map.get_mut("tags").and_then(Value::as_array_mut);
        if let Some(tags) = tags {
            let key = |tag: &Value| tag.get("key").and_then(Value::as_str).map(str::to_owned);
            tags.retain(|tag| !key(tag).is_some_and(|key| key.starts_with("aws:")));
        }
        if map.get("tags") == Some(&Value::Array(Vec::new())) {
            map.remove("tags");
        }
    }
    let containers = content
        .get_mut("containerDefinitions")
        .and_then(Value::as_array_mut);
    for container in containers
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
    {
        let name = container.get("name").and_then(Value::as_str);
        if let Some(image) = name.and_then(|name| images.get(name)) {
            container.insert("image".to_owned(), Value::from(image.as_str()));
        }
    }
    content
}

/// Container -> CloudWatch Logs `group/prefix/container`, of containers that log there. A task's
/// stream adds its id
/// (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/specify-log-config.html>).
pub fn log_prefixes(content: &Value) -> BTreeMap<String, String> {
    containers(content)
        .filter_map(|container| {
            let name = container.get("name")?.as_str()?;
            let log = container.get("logConfiguration")?;
            if log.get("logDriver")?.as_str()? != "awslogs" {
                return None;
            }
            let options = log.get("options")?;
            let group = options.get("awslogs-group")?.as_str()?;
            let prefix = options.get("awslogs-stream-prefix")?.as_str()?;
            Some((name.to_owned(), format!("{group}/{prefix}/{name}")))
        })
        .collect()
}

/// CloudWatch Logs `group/prefix/container/task` of a container of a task.
pub fn log_stream(
    prefixes: &BTreeMap<String, String>,
    container: &str,
    task_arn: &str,
) -> Option<String> {
    let prefix = prefixes.get(container)?;
    Some(format!("{prefix}/{}", task_arn.rsplit('/').next()?))
}

/// The Region that a container's logs go to, where its definition says so.
pub fn log_region<'a>(content: &'a Value, name: &str) -> Option<&'a str> {
    let options = container(content, name)?
        .get("logConfiguration")?
        .get("options")?;
    options.get("awslogs-region")?.as_str()
}

/// Container -> Region of its logs, of those that go elsewhere than to this one.
pub fn log_regions(content: &Value, but: &str) -> BTreeMap<String, String> {
    let names = log_prefixes(content).into_keys();
    names
        .filter_map(|name| {
            let region = log_region(content, &name).filter(|region| *region != but)?;
            Some((name, region.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn logs_elsewhere_are_told_with_their_region() {
        let log = |region: &str| {
            json!({"logDriver": "awslogs", "options": {
                "awslogs-group": "g", "awslogs-stream-prefix": "p", "awslogs-region": region,
            }})
        };
        let content = json!({"containerDefinitions": [
            {"name": "here", "logConfiguration": log("eu-west-1")},
            {"name": "there", "logConfiguration": log("eu-north-1")},
            {"name": "nowhere"},
        ]});
        let told = log_regions(&content, "eu-west-1");
        assert_eq!(told, [("there".to_owned(), "eu-north-1".to_owned())].into());
    }

    fn base() -> Value {
        json!({
            "family": "web", "taskRoleArn": "", "containerDefinitions": [
                {"name": "app", "image": "app:1", "environment": [{"name": "E", "value": ""}],
                 "future": {"unknown": true}},
                {"name": "proxy", "image": "proxy:1"},
            ]
        })
    }

    #[test]
    fn only_declared_images_change() {
        let images = BTreeMap::from([("app".to_owned(), "app@sha256:2".to_owned())]);
        let built = build(&base(), &images).unwrap();
        assert_eq!(
            built.content,
            json!({"family": "web", "containerDefinitions": [
                {"name": "app", "image": "app@sha256:2", "environment": [{"name": "E", "value": ""}],
                 "future": {"unknown": true}},
                {"name": "proxy", "image": "proxy:1"},
            ]})
        );
    }

    #[test]
    fn the_structure_is_the_same_for_any_declared_image() {
        let one = build(&base(), &BTreeMap::from([("app".into(), "a".into())])).unwrap();
        let again = build(&one.content, &BTreeMap::from([("app".into(), "b".into())])).unwrap();
        assert_eq!(one.structure, again.structure);
        assert_ne!(one.definition, again.definition);
    }

    #[test]
    fn an_unknown_container_is_named_beside_those_there_are() {
        let images = BTreeMap::from([("ap".to_owned(), "x".to_owned())]);
        let error = build(&base(), &images).unwrap_err();
        assert_eq!(error.missing, ["ap"]);
        assert_eq!(error.present, ["app", "proxy"]);
    }
}
