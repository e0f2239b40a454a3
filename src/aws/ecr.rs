//! ECR: from tags to digests.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecr::Client;
use aws_sdk_ecr::types::{ImageDetail, ImageIdentifier, ImageStatus};

use super::error::{AwsError, Call};
use crate::model::desired::Wanted;
use crate::model::known::Known;

#[cfg(test)]
mod tests;

const SERVICE: &str = "ecr";
/// Most that DescribeImages takes.
pub const MAX_IMAGES: usize = 100;

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
    let archived = matches!(
        detail.image_status(),
        Some(ImageStatus::Archived | ImageStatus::Activating)
    );
    match detail.image_digest() {
        _ if archived => Known::Unknown(format!(
            "image {} is archived in ECR and cannot be pulled; restore it first",
            name(wanted)
        )),
        Some(digest) => Known::Present(digest.to_owned()),
        None => Known::Absent,
    }
}
