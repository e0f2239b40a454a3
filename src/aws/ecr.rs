//! ECR: from tags to digests, and all tags of a repository.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecr::Client;
use aws_sdk_ecr::types::{
    DescribeImagesFilter, ImageDetail, ImageIdentifier, ImageStatus, TagStatus,
};

use super::error::{AwsError, Call, ErrorClass};
use super::time::timestamp;
use crate::model::desired::Wanted;
use crate::model::known::Known;
use crate::model::observed::TaggedImage;

#[cfg(test)]
mod tests;

const SERVICE: &str = "ecr";
/// Most that DescribeImages takes.
pub const MAX_IMAGES: usize = 100;
/// Most that one page of a list holds.
const PAGE: i32 = 1000;
/// A repository holds at most 100,000 images
/// (<https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html>).
const MAX_PAGES: usize = 100;

/// ECR in one Region. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ecr {
    client: Client,
    region: String,
}

impl Ecr {
    pub(super) fn new(client: Client, region: &str) -> Self {
        Self {
            client,
            region: region.to_owned(),
        }
    }

    /// The digests of tags (of multi-architecture images: of the index), and whether digests are
    /// there; in the order asked for. A repository that is not there is an error.
    pub async fn digests(
        &self,
        registry_id: &str,
        repository: &str,
        wanted: &[Wanted],
    ) -> Result<Vec<Known<String>>, AwsError> {
        let mut found: BTreeMap<&str, Known<String>> = BTreeMap::new();
        let names: BTreeSet<&str> = wanted.iter().map(name).collect();
        let distinct: Vec<&Wanted> = names
            .iter()
            .filter_map(|asked| wanted.iter().find(|it| name(it) == *asked))
            .collect();
        // One missing image makes DescribeImages refuse the whole batch without saying which, so
        // a refused batch is halved until the missing ones stand alone.
        let mut batches: Vec<&[&Wanted]> = distinct.chunks(MAX_IMAGES).collect();
        while let Some(batch) = batches.pop() {
            match self.describe(registry_id, repository, batch).await {
                Ok(details) => {
                    for one in batch {
                        found.insert(name(one), digest(one, &details, batch.len() == 1));
                    }
                }
                Err(error) if error.has_code("ImageNotFoundException") => match batch {
                    [one] => {
                        found.insert(name(one), Known::Absent);
                    }
                    many => {
                        let (first, second) = many.split_at(many.len() / 2);
                        batches.extend([first, second]);
                    }
                },
                Err(error) => return Err(error),
            }
        }
        let answer = |one| found.get(name(one)).cloned().unwrap_or(Known::Absent);
        Ok(wanted.iter().map(answer).collect())
    }

    /// Every tag of a repository with what is behind it, in no order. What is archived cannot be
    /// pulled and is left out.
    ///
    /// # Errors
    /// When a call fails, or there are too many to tell which is the newest.
    pub async fn tagged(
        &self,
        registry_id: &str,
        repository: &str,
    ) -> Result<Vec<TaggedImage>, AwsError> {
        let what = tags_of(registry_id, &self.region, repository);
        let call = Call::read(SERVICE, "DescribeImages", what);
        let only_tagged = DescribeImagesFilter::builder()
            .tag_status(TagStatus::Tagged)
            .build();
        let (mut tagged, mut token) = (Vec::new(), None);
        for _ in 0..MAX_PAGES {
            let sent = self
                .client
                .describe_images()
                .registry_id(registry_id)
                .repository_name(repository)
                .filter(only_tagged.clone())
                .max_results(PAGE)
                .set_next_token(token.clone())
                .send()
                .await;
            let answer = sent.map_err(|error| call.failed(error))?;
            let details = answer.image_details.iter().flatten();
            tagged.extend(details.flat_map(tags));
            token = call.next_page(token.as_ref(), answer.next_token)?;
            if token.is_none() {
                return Ok(tagged);
            }
        }
        let message = format!(
            "the repository has more than {} tagged images, so nobody can tell which tag is the newest; a lifecycle policy keeps it small",
            MAX_PAGES * 1000
        );
        Err(call.unexpected(ErrorClass::Refused, message))
    }

    async fn describe(
        &self,
        registry_id: &str,
        repository: &str,
        batch: &[&Wanted],
    ) -> Result<Vec<ImageDetail>, AwsError> {
        let one = match batch {
            [one] => Some(*one),
            _ => None,
        };
        let what = images_of(registry_id, &self.region, repository, one);
        let call = Call::read(SERVICE, "DescribeImages", what);
        let sent = self
            .client
            .describe_images()
            .registry_id(registry_id)
            .repository_name(repository)
            .set_image_ids(Some(batch.iter().map(|one| identifier(one)).collect()))
            .send()
            .await;
        let answer = sent.map_err(|error| call.failed(error))?;
        Ok(answer.image_details.unwrap_or_default())
    }
}

/// What a read of one image of a repository, or of several, is about.
pub fn images_of(
    registry_id: &str,
    region: &str,
    repository: &str,
    one: Option<&Wanted>,
) -> String {
    let image = one.map(|one| format!("image {} of ", name(one)));
    format!(
        "{}repository {repository} in account {registry_id}, Region {region}",
        image.unwrap_or_default()
    )
}

/// What a list of all tags of a repository is about.
pub fn tags_of(registry_id: &str, region: &str, repository: &str) -> String {
    format!(
        "tags of {}",
        images_of(registry_id, region, repository, None)
    )
}

fn tags(detail: &ImageDetail) -> Vec<TaggedImage> {
    let Some(digest) = detail.image_digest().filter(|_| !is_archived(detail)) else {
        return Vec::new();
    };
    let pushed_at = timestamp(detail.image_pushed_at());
    let each = detail.image_tags().iter().map(|tag| TaggedImage {
        tag: tag.clone(),
        digest: digest.to_owned(),
        pushed_at,
    });
    each.collect()
}

fn is_archived(detail: &ImageDetail) -> bool {
    matches!(
        detail.image_status(),
        Some(ImageStatus::Archived | ImageStatus::Activating)
    )
}

/// Tags hold no colon and digests always do, so both can be keys of one map.
fn name(wanted: &Wanted) -> &str {
    match wanted {
        Wanted::Tag(tag) => tag,
        Wanted::Digest(digest) => digest,
    }
}

fn identifier(wanted: &Wanted) -> ImageIdentifier {
    match wanted {
        Wanted::Tag(tag) => ImageIdentifier::builder().image_tag(tag).build(),
        Wanted::Digest(digest) => ImageIdentifier::builder().image_digest(digest).build(),
    }
}

fn digest(wanted: &Wanted, details: &[ImageDetail], alone: bool) -> Known<String> {
    let is_it = |detail: &&ImageDetail| match wanted {
        // Asked for alone, the answer is about it even where the server leaves the tags out.
        Wanted::Tag(tag) => {
            detail.image_tags().contains(tag) || (alone && detail.image_tags().is_empty())
        }
        Wanted::Digest(digest) => detail.image_digest() == Some(digest),
    };
    let Some(detail) = details.iter().find(is_it) else {
        return Known::Absent;
    };
    match detail.image_digest() {
        _ if is_archived(detail) => Known::Unknown(format!(
            "image {} is archived in ECR and cannot be pulled; restore it first",
            name(wanted)
        )),
        Some(digest) => Known::Present(digest.to_owned()),
        None => Known::Absent,
    }
}
