//! The images of a repository.

use serde_json::{Value, json};

use super::{
    Ecr, Image, Repository, answer, bad_token, invalid, limit, registry, repository_name, sha256,
};
use crate::sandbox::cx::Cx;
use crate::sandbox::fault::Fault;
use crate::sandbox::json::{Object, epoch, list, page, text};

const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// An `imageIds` entry.
struct ImageId<'a> {
    digest: Option<&'a str>,
    tag: Option<&'a str>,
}

impl<'a> ImageId<'a> {
    fn of(value: &'a Value) -> Self {
        let member = |key| value.get(key).and_then(Value::as_str);
        Self {
            digest: member("imageDigest"),
            tag: member("imageTag"),
        }
    }

    /// The image it stands for; the failure code when it stands for none.
    fn find<'r>(&self, repository: &'r Repository) -> Result<(&'r str, &'r Image), &'static str> {
        let found = match (self.digest, self.tag) {
            (None, None) => return Err("MissingDigestAndTag"),
            (Some(digest), _) if !digest.starts_with("sha256:") => {
                return Err("InvalidImageDigest");
            }
            (Some(digest), _) => repository.images.get_key_value(digest),
            (None, Some(tag)) => repository
                .digest_of_tag(tag)
                .and_then(|digest| repository.images.get_key_value(digest)),
        };
        let (digest, image) = found.ok_or("ImageNotFound")?;
        match self.tag {
            Some(tag) if !image.tags.iter().any(|name| name == tag) => {
                Err("ImageTagDoesNotMatchDigest")
            }
            _ => Ok((digest, image)),
        }
    }

    fn failure(&self, code: &str) -> Value {
        let reason = match code {
            "ImageNotFound" => "Requested image not found",
            "InvalidImageDigest" => {
                "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"
            }
            "ImageTagDoesNotMatchDigest" => "Requested image tag does not match the image digest",
            _ => "Invalid request parameters: both tag and digest cannot be null",
        };
        json!({"imageId": self.describe(), "failureCode": code, "failureReason": reason})
    }

    fn describe(&self) -> Value {
        image_id(self.digest, self.tag)
    }
}

fn image_id(digest: Option<&str>, tag: Option<&str>) -> Value {
    let mut id = Object::new();
    if let Some(digest) = digest {
        id.insert("imageDigest".to_owned(), digest.into());
    }
    if let Some(tag) = tag {
        id.insert("imageTag".to_owned(), tag.into());
    }
    Value::Object(id)
}

/// 100 ids at most.
fn image_ids(input: &Object) -> Result<Vec<ImageId<'_>>, Fault> {
    let ids = list(input, "imageIds");
    if ids.len() > 100 {
        return Err(invalid(
            "Invalid parameter at 'imageIds' failed to satisfy constraint: 'Member must have \
             length less than or equal to 100'",
        ));
    }
    Ok(ids.iter().map(ImageId::of).collect())
}

/// The ids of a batch: at least one.
fn batch(input: &Object) -> Result<Vec<ImageId<'_>>, Fault> {
    let ids = image_ids(input)?;
    if ids.is_empty() {
        return Err(invalid(
            "Invalid parameter at 'imageIds' failed to satisfy constraint: 'Member must have \
             length greater than or equal to 1'",
        ));
    }
    Ok(ids)
}

impl Ecr {
    pub(super) fn put_image(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let name = repository_name(input)?;
        let repository = self.existing(cx, input, name)?;
        let manifest = text(input, "imageManifest")
            .ok_or_else(|| invalid("Invalid parameter at 'imageManifest': must not be null"))?;
        let parsed: Value = serde_json::from_str(manifest).map_err(|_| {
            invalid(
                "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON \
                 syntax'",
            )
        })?;
        let digest = sha256(manifest);
        check_digest(input, &digest)?;
        let tag = text(input, "imageTag");
        check_tag(cx, repository, &digest, tag)?;
        let media_type = media_type(input, &parsed);
        let image = json!({
            "registryId": registry(cx, input),
            "repositoryName": name,
            "imageId": image_id(Some(&digest), tag),
            "imageManifest": manifest,
            "imageManifestMediaType": media_type,
        });
        let now = cx.now;
        self.edit(cx, name, |repository| {
            repository.tag(&digest, tag, || Image {
                manifest: manifest.to_owned(),
                media_type,
                tags: Vec::new(),
                pushed: now,
                size: size(&parsed),
            });
        });
        self.notice(cx, name, "PUSH", &digest, tag);
        Ok(json!({"image": image}))
    }

    pub(super) fn describe_images(&self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let name = repository_name(input)?;
        let repository = self.visible(cx, input, name)?;
        let ids = image_ids(input)?;
        if ids.is_empty() {
            let status = tag_status(input);
            let all = repository
                .images
                .iter()
                .filter(|(_, image)| status.is_none_or(|tagged| tagged != image.tags.is_empty()))
                .map(|(digest, image)| (digest.clone(), repository.detail(cx, digest, image)));
            let found = page(
                all,
                text(input, "nextToken"),
                limit(input, "maxResults")?,
                bad_token,
            )?;
            return Ok(answer("imageDetails", found.items, found.next));
        }
        if text(input, "nextToken").is_some() || input.contains_key("maxResults") {
            return Err(invalid(
                "Invalid request parameters: imageIds cannot be used with maxResults or nextToken",
            ));
        }
        let mut details = Vec::new();
        for id in &ids {
            let (digest, image) = id
                .find(repository)
                .map_err(|code| no_image(cx, input, name, id, code))?;
            let detail = repository.detail(cx, digest, image);
            // Several ids of one image answer it once.
            if !details.contains(&detail) {
                details.push(detail);
            }
        }
        Ok(json!({"imageDetails": details}))
    }

    pub(super) fn list_images(&self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let repository = self.visible(cx, input, repository_name(input)?)?;
        let status = tag_status(input);
        let mut ids = Vec::new();
        for (digest, image) in &repository.images {
            if image.tags.is_empty() && status != Some(true) {
                ids.push((digest.clone(), image_id(Some(digest), None)));
            }
            if status != Some(false) {
                let tagged = image.tags.iter();
                ids.extend(
                    tagged
                        .map(|tag| (format!("{digest}:{tag}"), image_id(Some(digest), Some(tag)))),
                );
            }
        }
        ids.sort_by(|(a, _), (b, _)| a.cmp(b));
        let found = page(
            ids,
            text(input, "nextToken"),
            limit(input, "maxResults")?,
            bad_token,
        )?;
        Ok(answer("imageIds", found.items, found.next))
    }

    pub(super) fn batch_get_image(&self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let name = repository_name(input)?;
        let repository = self.visible(cx, input, name)?;
        let (mut images, mut failures) = (Vec::new(), Vec::new());
        for id in batch(input)? {
            match id.find(repository) {
                Ok((digest, image)) => images.push(json!({
                    "registryId": cx.account,
                    "repositoryName": name,
                    "imageId": image_id(Some(digest), id.tag),
                    "imageManifest": image.manifest,
                    "imageManifestMediaType": image.media_type,
                })),
                Err(code) => failures.push(id.failure(code)),
            }
        }
        Ok(json!({"images": images, "failures": failures}))
    }

    /// By tag, the tag goes, and the image with its last tag; by digest, the image goes.
    pub(super) fn batch_delete_image(
        &mut self,
        cx: &Cx<'_>,
        input: &Object,
    ) -> Result<Value, Fault> {
        let name = repository_name(input)?;
        self.existing(cx, input, name)?;
        let ids = batch(input)?;
        let (mut deleted, mut failures) = (Vec::new(), Vec::new());
        self.edit(cx, name, |repository| {
            for id in &ids {
                match id.find(repository).map(|(digest, _)| digest.to_owned()) {
                    Ok(digest) => deleted.extend(repository.delete(&digest, id.tag)),
                    Err(code) => failures.push(id.failure(code)),
                }
            }
        });
        for id in deleted.iter().map(ImageId::of) {
            let digest = id.digest.unwrap_or_default();
            self.notice(cx, name, "DELETE", digest, id.tag);
        }
        Ok(json!({"imageIds": deleted, "failures": failures}))
    }
}

impl Repository {
    /// Puts an image in and moves the tag to it.
    fn tag(&mut self, digest: &str, tag: Option<&str>, new: impl FnOnce() -> Image) {
        self.images.entry(digest.to_owned()).or_insert_with(new);
        let Some(tag) = tag else { return };
        for (other, image) in &mut self.images {
            image.tags.retain(|name| name != tag);
            if other == digest {
                image.tags.push(tag.to_owned());
            }
        }
    }

    fn delete(&mut self, digest: &str, tag: Option<&str>) -> Vec<Value> {
        let Some(image) = self.images.get_mut(digest) else {
            return Vec::new();
        };
        if let Some(tag) = tag {
            image.tags.retain(|name| name != tag);
            if image.tags.is_empty() {
                self.images.remove(digest);
            }
            return vec![image_id(Some(digest), Some(tag))];
        }
        let tags = std::mem::take(&mut image.tags);
        self.images.remove(digest);
        if tags.is_empty() {
            return vec![image_id(Some(digest), None)];
        }
        tags.iter()
            .map(|tag| image_id(Some(digest), Some(tag)))
            .collect()
    }

    fn detail(&self, cx: &Cx<'_>, digest: &str, image: &Image) -> Value {
        let mut detail = json!({
            "registryId": cx.account,
            "repositoryName": self.name,
            "imageDigest": digest,
            "imageSizeInBytes": image.size,
            "imagePushedAt": epoch(image.pushed),
            "imageManifestMediaType": image.media_type,
        });
        if !image.tags.is_empty() {
            detail["imageTags"] = json!(image.tags);
        }
        detail
    }
}

fn check_digest(input: &Object, digest: &str) -> Result<(), Fault> {
    match text(input, "imageDigest") {
        Some(given) if given != digest => Err(Fault::client(
            "ImageDigestDoesNotMatchException",
            format!("Image digest '{given}' does not match the calculated digest '{digest}'"),
        )),
        _ => Ok(()),
    }
}

/// Refuses what changes nothing, and what an immutable repository must not change.
fn check_tag(
    cx: &Cx<'_>,
    repository: &Repository,
    digest: &str,
    tag: Option<&str>,
) -> Result<(), Fault> {
    let name = &repository.name;
    let known = repository.images.get(digest);
    let held = tag.and_then(|tag| repository.digest_of_tag(tag));
    let repeats = match tag {
        Some(_) => held == Some(digest),
        None => known.is_some(),
    };
    if repeats {
        return Err(Fault::client(
            "ImageAlreadyExistsException",
            format!(
                "Image with digest '{digest}' and tag '{}' already exists in the repository with \
                 name '{name}' in registry with id '{}'",
                tag.unwrap_or("null"),
                cx.account
            ),
        ));
    }
    if let (Some(tag), Some(_), "IMMUTABLE") = (tag, held, repository.mutability.as_str()) {
        return Err(Fault::client(
            "ImageTagAlreadyExistsException",
            format!(
                "The image tag '{tag}' already exists in the '{name}' repository and cannot be \
                 overwritten because the repository is immutable."
            ),
        ));
    }
    Ok(())
}

fn media_type(input: &Object, manifest: &Value) -> String {
    text(input, "imageManifestMediaType")
        .or_else(|| manifest.get("mediaType").and_then(Value::as_str))
        .unwrap_or(DOCKER_MANIFEST)
        .to_owned()
}

/// What the layers weigh; an index weighs nothing itself.
fn size(manifest: &Value) -> u64 {
    let layers = manifest.get("layers").and_then(Value::as_array);
    layers
        .into_iter()
        .flatten()
        .filter_map(|layer| layer.get("size").and_then(Value::as_u64))
        .fold(0, u64::saturating_add)
}

/// `filter.tagStatus`: tagged or untagged images only.
fn tag_status(input: &Object) -> Option<bool> {
    match input.get("filter")?.get("tagStatus")?.as_str()? {
        "TAGGED" => Some(true),
        "UNTAGGED" => Some(false),
        _ => None,
    }
}

fn no_image(cx: &Cx<'_>, input: &Object, name: &str, id: &ImageId<'_>, code: &str) -> Fault {
    if code == "MissingDigestAndTag" || code == "InvalidImageDigest" {
        return invalid(
            "Invalid request parameters: imageIds need an image digest or an image tag",
        );
    }
    Fault::client(
        "ImageNotFoundException",
        format!(
            "The image with imageId {{imageDigest:'{}', imageTag:'{}'}} does not exist within the \
             repository with name '{name}' in the registry with id '{}'",
            id.digest.unwrap_or("null"),
            id.tag.unwrap_or("null"),
            registry(cx, input)
        ),
    )
}
