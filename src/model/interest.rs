//! What a Release looks at: which of its passes an event concerns, and what can be read for many
//! Releases at once.

use std::collections::{BTreeMap, BTreeSet};

use super::desired::{Access, Wanted};
use crate::resource::image_ref::EcrRepository;
use crate::resource::meta::ReleaseKey;

/// What the last pass over a Release looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// Credentials of its Environment.
    pub access: Access,
    /// Region of its Environment.
    pub region: String,
    /// Name or ARN of its cluster.
    pub cluster: String,
    /// Names of ECS services.
    pub services: BTreeSet<String>,
    /// Tags and digests by repository.
    pub images: BTreeMap<EcrRepository, BTreeSet<Wanted>>,
    /// Repositories whose tags it lists: every image of them matters.
    pub repositories: BTreeSet<EcrRepository>,
    /// Names of EventBridge rules.
    pub rules: BTreeSet<String>,
    /// What the names of its own rules begin with: one that comes to be is of interest, too.
    pub rule_prefix: String,
    /// Name of its schedule group, where it looks at that.
    pub schedule_group: Option<String>,
    /// Families whose ACTIVE revisions it lists.
    pub families: BTreeSet<String>,
    /// `startedBy` of the tasks of migrations that may be going on.
    pub tasks: BTreeSet<String>,
    /// Releases that it waits for, and those that these wait for.
    pub releases: BTreeSet<ReleaseKey>,
    /// Whether it looked at anything else in AWS.
    pub more: bool,
}
