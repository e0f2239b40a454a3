//! Invalidations of CloudFront distributions.

use aws_sdk_cloudfront::Client;
use aws_sdk_cloudfront::error::BuildError;
use aws_sdk_cloudfront::types::{InvalidationBatch, Paths};

use super::error::{AwsError, Call, ErrorClass};
use crate::model::known::Known;

const SERVICE: &str = "cloudfront";

/// CloudFront, which is the same in all Regions. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CloudFront {
    client: Client,
}

impl CloudFront {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// CreateInvalidation; answers its id. The same reference with the same paths creates nothing
    /// twice
    /// (<https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_InvalidationBatch.html>).
    ///
    /// # Errors
    /// When the call fails. Harmless when repeated.
    pub async fn invalidate(
        &self,
        distribution: &str,
        paths: &[String],
        reference: &str,
    ) -> Result<String, AwsError> {
        let what = format!("distribution {distribution}");
        let call = Call::write(SERVICE, "CreateInvalidation", what);
        let wrong = |error: BuildError| call.unexpected(ErrorClass::Refused, error.to_string());
        let batch = batch(paths, reference).map_err(wrong)?;
        let request = self
            .client
            .create_invalidation()
            .distribution_id(distribution)
            .invalidation_batch(batch);
        let sent = request.send().await;
        let answer = sent.map_err(|error| call.failed(error))?;
        let id = answer.invalidation.map(|it| it.id);
        id.ok_or_else(|| call.unexpected(ErrorClass::Ambiguous, "the answer has no id"))
    }

    /// The status of an invalidation: `InProgress` or `Completed`.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn invalidation(
        &self,
        distribution: &str,
        id: &str,
    ) -> Result<Known<String>, AwsError> {
        let what = format!("invalidation {id} of distribution {distribution}");
        let call = Call::read(SERVICE, "GetInvalidation", what);
        let request = self
            .client
            .get_invalidation()
            .distribution_id(distribution)
            .id(id);
        match request.send().await.map_err(|error| call.failed(error)) {
            Ok(answer) => Ok(match answer.invalidation {
                Some(found) => Known::Present(found.status),
                None => Known::Absent,
            }),
            Err(error) if error.has_code("NoSuchInvalidation") => Ok(Known::Absent),
            Err(error) => Err(error),
        }
    }
}

fn batch(paths: &[String], reference: &str) -> Result<InvalidationBatch, BuildError> {
    let quantity = i32::try_from(paths.len()).unwrap_or(i32::MAX);
    let paths = Paths::builder()
        .quantity(quantity)
        .set_items(Some(paths.to_vec()))
        .build()?;
    InvalidationBatch::builder()
        .caller_reference(reference)
        .paths(paths)
        .build()
}
