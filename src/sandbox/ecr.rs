//! ECR: repositories, images, tags. Layers are never uploaded here, so nothing asks for them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::cx::{Cx, ImageLookup, Images};
use super::delayed::Delayed;
use super::fault::Fault;
use super::json::{Object, epoch, flag, int, list, page, text, texts};
use super::notice::{Notice, Notices};

mod images;

/// The registry of one Region.
#[derive(Default)]
pub(super) struct Ecr {
    repositories: BTreeMap<String, Delayed<Repository>>,
    /// What EventBridge is told.
    pub notices: Notices,
}

#[derive(Clone)]
struct Repository {
    name: String,
    created: Timestamp,
    mutability: String,
    encryption: Value,
    scanning: Value,
    tags: Vec<Value>,
    images: BTreeMap<String, Image>,
}

#[derive(Clone)]
struct Image {
    manifest: String,
    media_type: String,
    tags: Vec<String>,
    pushed: Timestamp,
    size: u64,
}

impl Ecr {
    /// Answers one call.
    pub fn call(
        &mut self,
        cx: &mut Cx<'_>,
        operation: &str,
        input: &Object,
    ) -> Result<Value, Fault> {
        match operation {
            "CreateRepository" => self.create_repository(cx, input),
            "DescribeRepositories" => self.describe_repositories(cx, input),
            "DeleteRepository" => self.delete_repository(cx, input),
            "PutImageTagMutability" => self.put_image_tag_mutability(cx, input),
            "PutImage" => self.put_image(cx, input),
            "DescribeImages" => self.describe_images(cx, input),
            "ListImages" => self.list_images(cx, input),
            "BatchGetImage" => self.batch_get_image(cx, input),
            "BatchDeleteImage" => self.batch_delete_image(cx, input),
            "ListTagsForResource" => self.list_tags_for_resource(cx, input),
            "GetAuthorizationToken" => Ok(authorization(cx)),
            _ => Err(Fault::client("UnknownOperationException", operation)),
        }
    }

    fn create_repository(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let registry = registry(cx, input);
        let name = repository_name(input)?;
        if self.latest(name).is_some() {
            return Err(Fault::client(
                "RepositoryAlreadyExistsException",
                format!(
                    "The repository with name '{name}' already exists in the registry with id \
                     '{registry}'"
                ),
            ));
        }
        let repository = Repository {
            name: name.to_owned(),
            created: cx.now,
            mutability: mutability(input)?.unwrap_or("MUTABLE").to_owned(),
            encryption: input
                .get("encryptionConfiguration")
                .cloned()
                .unwrap_or_else(|| json!({"encryptionType": "AES256"})),
            scanning: input
                .get("imageScanningConfiguration")
                .cloned()
                .unwrap_or_else(|| json!({"scanOnPush": false})),
            tags: list(input, "tags").to_vec(),
            images: BTreeMap::new(),
        };
        let answer = json!({"repository": repository.describe(cx)});
        self.repositories
            .entry(name.to_owned())
            .or_default()
            .set(cx, repository);
        Ok(answer)
    }

    fn describe_repositories(&self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let names = texts(input, "repositoryNames");
        if !names.is_empty() {
            let found = names
                .iter()
                .map(|name| Ok(self.visible(cx, input, name)?.describe(cx)))
                .collect::<Result<Vec<_>, Fault>>()?;
            return Ok(json!({"repositories": found}));
        }
        let all = self.repositories.iter().filter_map(|(name, repository)| {
            let shown = repository.visible(cx)?.describe(cx);
            Some((name.clone(), shown))
        });
        let found = page(
            all,
            text(input, "nextToken"),
            limit(input, "maxResults")?,
            bad_token,
        )?;
        Ok(answer("repositories", found.items, found.next))
    }

    fn delete_repository(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let name = repository_name(input)?;
        let repository = self.existing(cx, input, name)?;
        if !repository.images.is_empty() && !flag(input, "force") {
            return Err(Fault::client(
                "RepositoryNotEmptyException",
                format!(
                    "The repository with name '{name}' in registry with id '{}' cannot be deleted \
                     because it still contains images",
                    cx.account
                ),
            ));
        }
        let answer = json!({"repository": repository.describe(cx)});
        if let Some(repository) = self.repositories.get_mut(name) {
            repository.remove(cx);
        }
        Ok(answer)
    }

    fn put_image_tag_mutability(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let name = repository_name(input)?;
        self.existing(cx, input, name)?;
        let mutability = mutability(input)?
            .ok_or_else(|| invalid("imageTagMutability must not be null"))?
            .to_owned();
        self.edit(cx, name, |repository| {
            repository.mutability.clone_from(&mutability)
        });
        Ok(json!({
            "registryId": cx.account,
            "repositoryName": name,
            "imageTagMutability": mutability,
        }))
    }

    fn list_tags_for_resource(&self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let arn = text(input, "resourceArn").unwrap_or_default();
        let name = arn.split_once(":repository/").map_or(arn, |(_, name)| name);
        Ok(json!({"tags": self.visible(cx, input, name)?.tags}))
    }

    fn latest(&self, name: &str) -> Option<&Repository> {
        self.repositories.get(name).and_then(Delayed::latest)
    }

    /// The repository as it is, for a write.
    fn existing(&self, cx: &Cx<'_>, input: &Object, name: &str) -> Result<&Repository, Fault> {
        self.latest(name)
            .filter(|_| registry(cx, input) == cx.account)
            .ok_or_else(|| no_repository(cx, input, name))
    }

    /// The repository as reads show it.
    fn visible(&self, cx: &Cx<'_>, input: &Object, name: &str) -> Result<&Repository, Fault> {
        self.repositories
            .get(name)
            .and_then(|repository| repository.visible(cx))
            .filter(|_| registry(cx, input) == cx.account)
            .ok_or_else(|| no_repository(cx, input, name))
    }

    /// "ECR Image Action": `action` is `PUSH` or `DELETE`.
    fn notice(&mut self, cx: &Cx<'_>, name: &str, action: &str, digest: &str, tag: Option<&str>) {
        self.notices.tell(|| {
            let mut detail = json!({
                "result": "SUCCESS",
                "repository-name": name,
                "image-digest": digest,
                "action-type": action,
            });
            if let Some(tag) = tag {
                detail["image-tag"] = tag.into();
            }
            Notice {
                at: cx.now,
                source: "aws.ecr".to_owned(),
                kind: "ECR Image Action".to_owned(),
                resources: Vec::new(),
                detail,
            }
        });
    }

    fn edit(&mut self, cx: &Cx<'_>, name: &str, change: impl FnOnce(&mut Repository)) {
        if let Some(repository) = self.repositories.get_mut(name) {
            repository.edit(cx, change);
        }
    }
}

impl Repository {
    fn describe(&self, cx: &Cx<'_>) -> Value {
        let Self { name, .. } = self;
        json!({
            "repositoryArn": format!("arn:aws:ecr:{}:{}:repository/{name}", cx.region, cx.account),
            "registryId": cx.account,
            "repositoryName": name,
            "repositoryUri": format!("{}.dkr.ecr.{}.amazonaws.com/{name}", cx.account, cx.region),
            "createdAt": epoch(self.created),
            "imageTagMutability": self.mutability,
            "imageScanningConfiguration": self.scanning,
            "encryptionConfiguration": self.encryption,
        })
    }

    fn digest_of_tag(&self, tag: &str) -> Option<&str> {
        self.images
            .iter()
            .find(|(_, image)| image.tags.iter().any(|name| name == tag))
            .map(|(digest, _)| digest.as_str())
    }
}

/// The registries of all Regions, as a container runtime sees them.
#[derive(Default)]
pub(super) struct Registries {
    /// The account that they belong to.
    pub account: String,
    /// By Region.
    pub regions: BTreeMap<String, Ecr>,
}

impl Images for Registries {
    fn lookup(&self, image: &str) -> ImageLookup {
        self.find(image).unwrap_or(ImageLookup::Foreign)
    }
}

impl Registries {
    /// Pulls see a push at once: nothing about them is eventually consistent.
    fn find(&self, image: &str) -> Option<ImageLookup> {
        let (host, path) = image.split_once('/')?;
        let (account, rest) = host.split_once(".dkr.ecr.")?;
        let region = rest.split_once(".amazonaws.com")?.0;
        if account != self.account {
            return None;
        }
        let (name, digest) = match path.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (path, None),
        };
        let (name, tag) = name.split_once(':').unwrap_or((name, "latest"));
        let repository = self.regions.get(region)?.latest(name)?;
        let digest = match digest {
            Some(digest) => repository.images.contains_key(digest).then_some(digest),
            None => repository.digest_of_tag(tag),
        };
        Some(digest.map_or(ImageLookup::Missing, |digest| {
            ImageLookup::Found {
                digest: digest.to_owned(),
                tags: repository
                    .images
                    .get(digest)
                    .map_or_else(Vec::new, |image| {
                        image
                            .tags
                            .iter()
                            .map(|tag| format!("{name}:{tag}"))
                            .collect()
                    }),
            }
        }))
    }
}

fn authorization(cx: &Cx<'_>) -> Value {
    let expires = cx
        .now
        .checked_add(jiff::SignedDuration::from_hours(12))
        .unwrap_or(Timestamp::MAX);
    json!({"authorizationData": [{
        // base64 of "AWS:sandbox"
        "authorizationToken": "QVdTOnNhbmRib3g=",
        "expiresAt": epoch(expires),
        "proxyEndpoint": format!("https://{}.dkr.ecr.{}.amazonaws.com", cx.account, cx.region),
    }]})
}

fn registry<'a>(cx: &Cx<'a>, input: &'a Object) -> &'a str {
    text(input, "registryId").unwrap_or(cx.account)
}

fn repository_name(input: &Object) -> Result<&str, Fault> {
    let name = text(input, "repositoryName").unwrap_or_default();
    let part = |part: &str| {
        let edge =
            |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        edge(part.chars().next())
            && edge(part.chars().next_back())
            && part
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
    };
    if (2..=256).contains(&name.len()) && name.split('/').all(part) {
        return Ok(name);
    }
    Err(invalid(
        "Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must satisfy regular \
         expression '(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*''",
    ))
}

fn mutability(input: &Object) -> Result<Option<&str>, Fault> {
    match text(input, "imageTagMutability") {
        None => Ok(None),
        Some(value @ ("MUTABLE" | "IMMUTABLE")) => Ok(Some(value)),
        Some(_) => Err(invalid(
            "Invalid parameter at 'imageTagMutability' failed to satisfy constraint: 'Member must \
             satisfy enum value set: [MUTABLE, IMMUTABLE]'",
        )),
    }
}

/// ECR's pages: 100 unless asked, 1,000 at most.
fn limit(input: &Object, key: &str) -> Result<usize, Fault> {
    match int(input, key) {
        None => Ok(100),
        Some(asked @ 1..=1000) => Ok(usize::try_from(asked).unwrap_or(100)),
        Some(asked) => Err(invalid(format!(
            "Invalid parameter at '{key}' failed to satisfy constraint: '{asked} must be between 1 \
             and 1000'"
        ))),
    }
}

fn answer(key: &str, items: Vec<Value>, next: Option<String>) -> Value {
    let mut answer = Object::new();
    answer.insert(key.to_owned(), Value::Array(items));
    if let Some(next) = next {
        answer.insert("nextToken".to_owned(), Value::String(next));
    }
    Value::Object(answer)
}

fn invalid(message: impl Into<String>) -> Fault {
    Fault::client("InvalidParameterException", message)
}

fn bad_token() -> Fault {
    invalid("Invalid parameter at 'nextToken' failed to satisfy constraint: 'Invalid token'")
}

fn no_repository(cx: &Cx<'_>, input: &Object, name: &str) -> Fault {
    Fault::client(
        "RepositoryNotFoundException",
        format!(
            "The repository with name '{name}' does not exist in the registry with id '{}'",
            registry(cx, input)
        ),
    )
}

fn sha256(manifest: &str) -> String {
    let hash = Sha256::digest(manifest.as_bytes());
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
