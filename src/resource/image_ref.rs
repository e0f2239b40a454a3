//! Image references and the registries they name.

use serde::{Deserialize, Serialize};

/// A repository in Amazon ECR, as its host name tells.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EcrRepository {
    /// The account that owns the registry.
    pub registry_id: String,
    /// The registry's Region.
    pub region: String,
    /// The repository's name, without the host.
    pub name: String,
}

/// The ECR repository that a reference such as
/// `123456789012.dkr.ecr.eu-central-1.amazonaws.com/rails/app` names; none for other registries.
pub fn ecr_host(repository: &str) -> Option<EcrRepository> {
    let (host, name) = repository.split_once('/')?;
    let (registry_id, rest) = host.split_once('.')?;
    let is_account = registry_id.len() == 12 && registry_id.bytes().all(|b| b.is_ascii_digit());
    let region = region_of_host(rest)?;
    let is_region = !region.is_empty()
        && region
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    (is_account && is_region && !name.is_empty()).then(|| EcrRepository {
        registry_id: registry_id.to_owned(),
        region: region.to_owned(),
        name: name.to_owned(),
    })
}

/// The Region of an ECR host name without its account.
fn region_of_host(host: &str) -> Option<&str> {
    let dual_stack = host
        .strip_prefix("dkr-ecr.")
        .or_else(|| host.strip_prefix("dkr-ecr-fips."));
    if let Some(region) = dual_stack.and_then(|rest| rest.strip_suffix(".on.aws")) {
        return Some(region);
    }
    let rest = host
        .strip_prefix("dkr.ecr.")
        .or_else(|| host.strip_prefix("dkr.ecr-fips."))?;
    [".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu"]
        .into_iter()
        .find_map(|suffix| rest.strip_suffix(suffix))
}

/// Whether a text is a digest: `sha256:` and 64 lower-case hexadecimal digits.
pub fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Whether a text is a tag: at most 128 of letters, digits, `_`, `.` and `-`, not beginning with
/// `.` or `-`.
pub fn is_tag(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    (1..=128).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ecr_hosts_of_every_partition_are_known() {
        for (repository, region) in [
            (
                "123456789012.dkr.ecr.eu-central-1.amazonaws.com/rails/app",
                "eu-central-1",
            ),
            (
                "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com/rails/app",
                "us-gov-west-1",
            ),
            (
                "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/rails/app",
                "cn-north-1",
            ),
            (
                "123456789012.dkr-ecr.us-west-2.on.aws/rails/app",
                "us-west-2",
            ),
        ] {
            let found = ecr_host(repository).expect(repository);
            assert_eq!(found.registry_id, "123456789012");
            assert_eq!(found.region, region);
            assert_eq!(found.name, "rails/app");
        }
    }

    #[test]
    fn other_hosts_are_not_ecr() {
        for repository in [
            "public.ecr.aws/nginx/nginx",
            "docker.io/library/nginx",
            "12345.dkr.ecr.eu-central-1.amazonaws.com/app",
            "123456789012.dkr.ecr.eu-central-1.amazonaws.com",
            "123456789012.dkr.ecr.eu-central-1.amazonaws.com/",
            "123456789012.dkr.ecr.eu-central-1.amazonaws.com.evil.example/app",
            "123456789012.dkr.ecr.a.b.amazonaws.com/app",
        ] {
            assert_eq!(ecr_host(repository), None, "{repository}");
        }
    }

    #[test]
    fn digests_and_tags() {
        assert!(is_digest(&format!("sha256:{}", "0a".repeat(32))));
        assert!(!is_digest(&format!("sha256:{}", "0A".repeat(32))));
        assert!(!is_digest("sha256:abc"));
        assert!(is_tag("9d3c2f1"));
        assert!(is_tag("_x.y-z"));
        assert!(!is_tag("-x"));
        assert!(!is_tag(""));
        assert!(!is_tag("a:b"));
        assert!(!is_tag(&"a".repeat(129)));
    }
}
