//! Every key of the table, in one place.
//!
//! A partition key begins with what its items are, and goes on with the namespace where CI of one
//! namespace needs it: IAM's `dynamodb:LeadingKeys` can then allow CI to write `spec#<ns>` and
//! `request#<ns>` and to read `status#<ns>`, and nothing else.
//!
//! | pk | sk | holds | written by |
//! |---|---|---|---|
//! | `meta` | `installation` | the installation's id | `init` |
//! | `environment` | `environment#<name>` | an Environment | platform admins |
//! | `environment` | `applied#<name>#<applier>` | what an applier applied last | platform admins |
//! | `binding` | `<name>` | account, Region and cluster at first use | the controller |
//! | `spec#<ns>` | `release#<name>` | a Release without its status | people and CI |
//! | `spec#<ns>` | `applied#<name>#<applier>` | what an applier applied last | people and CI |
//! | `request#<ns>` | `<name>#<id>` | something asked of the controller | people and CI |
//! | `status#<ns>` | `release#<name>` | a Release's status | the controller |
//! | `ledger#<ns>/<name>` | `revision#<number>` | a revision | the controller |
//! | `ledger#<ns>/<name>` | `migration#<name>#<run key>` | a migration's run | the controller |
//! | `ledger#<ns>/<name>` | `migration#hook/<name>#<run key>` | the run of a hook's task | the controller |
//! | `ledger#<ns>/<name>` | `pipeline-job` | the CodePipeline job that was named last | the controller |
//! | `ledger#<ns>/<name>` | `rollout#<service>` | a service's newest rollout | the controller |
//! | `ledger#<ns>/<name>` | `claim#<arn>` | a claim of this Release | the controller |
//! | `registration#<account>/<region>/<family>` | `<hash>` | a registration | the controller |
//! | `definition#<hash>` | `definition` | a task definition's content | the controller |
//! | `claim#<arn>` | `claim` | who holds a service or rule | the controller |
//! | `lease` | `layout` | over how many shards the keys are spread | the controller |
//! | `lease` | `shard#<number>` | who works on a shard's keys | the controller |
//! | `lease` | `replica#<id>` | a replica's heartbeat, with several shards | the controller |
//! | `epoch` | `shard#<number>` | how often a shard's lease was taken | the controller |
//! | `outbox` | `<ns>/<name>#<id>#<notification>` | what somebody is to be told of a Release | the controller |
//! | `hint` | `<what>` | that something happened, for the other replicas | the controller |

use crate::aws::dynamodb::Key;
use crate::model::notice::Outgoing;
use crate::resource::meta::{Kind, ReleaseKey};

use super::ObjectRef;

/// Partition of the Environments.
pub const ENVIRONMENTS: &str = "environment";
/// Partition of the Environments' bindings.
pub const BINDINGS: &str = "binding";
/// Partition of the leases.
pub const LEASES: &str = "lease";
/// Partition of the shards' epochs.
pub const EPOCHS: &str = "epoch";
/// Sort key prefix of replicas within the leases' partition.
pub const REPLICA_PREFIX: &str = "replica#";
const SHARD_PREFIX: &str = "shard#";
/// Partition of what people are to be told of Releases.
pub const OUTBOX: &str = "outbox";
/// Partition of what replicas of the controller tell each other about AWS.
pub const HINTS: &str = "hint";
/// What the partitions of requests begin with; the namespace follows.
pub const REQUESTS_PREFIX: &str = "request#";
/// What the partitions of statuses begin with; the namespace follows.
pub const STATUSES_PREFIX: &str = "status#";
/// What the partitions of Releases begin with; the namespace follows.
pub const SPECS_PREFIX: &str = "spec#";
/// Sort key prefix of Environments within their partition.
pub const ENVIRONMENT_PREFIX: &str = "environment#";
/// Sort key prefix of Releases within their partition, and of their statuses within theirs.
pub const RELEASE_PREFIX: &str = "release#";
/// Sort key prefixes of a ledger's records.
pub const REVISION_PREFIX: &str = "revision#";
/// See [`REVISION_PREFIX`].
pub const MIGRATION_PREFIX: &str = "migration#";
/// Sort key of the CodePipeline job in a ledger.
pub const PIPELINE_JOB: &str = "pipeline-job";
/// See [`REVISION_PREFIX`].
pub const ROLLOUT_PREFIX: &str = "rollout#";
/// See [`REVISION_PREFIX`].
pub const CLAIM_PREFIX: &str = "claim#";

/// The installation's id.
pub fn installation() -> Key {
    Key::new("meta", "installation")
}

/// Over how many shards the keys are spread.
pub fn layout() -> Key {
    Key::new(LEASES, "layout")
}

/// A shard's lease.
pub fn lease(shard: u32) -> Key {
    Key::new(LEASES, self::shard(shard))
}

/// The shard of a lease, by its sort key.
pub fn shard_of_lease(sort_key: &str) -> Option<u32> {
    sort_key.strip_prefix(SHARD_PREFIX)?.parse().ok()
}

/// A replica's heartbeat.
pub fn replica(id: &str) -> Key {
    Key::new(LEASES, format!("{REPLICA_PREFIX}{id}"))
}

/// A shard's epoch.
pub fn epoch(shard: u32) -> Key {
    Key::new(EPOCHS, self::shard(shard))
}

/// Whether a partition holds who works on what, and nothing about objects.
pub fn is_leadership(pk: &str) -> bool {
    [LEASES, EPOCHS].contains(&pk)
}

fn shard(number: u32) -> String {
    format!("{SHARD_PREFIX}{number:04}")
}

/// What one of those who are told of a Release is to be told of it.
pub fn outgoing(outgoing: &Outgoing) -> Key {
    let Outgoing {
        notification,
        notice,
    } = outgoing;
    let place = format!("{}#{}#{notification}", notice.release, notice.id);
    Key::new(OUTBOX, place)
}

/// A hint that something happened to `what`.
pub fn hint(what: &str) -> Key {
    Key::new(HINTS, what)
}

/// Partition of a namespace's Releases.
pub fn specs(namespace: &str) -> String {
    format!("{SPECS_PREFIX}{namespace}")
}

/// Partition of a namespace's statuses.
pub fn statuses(namespace: &str) -> String {
    format!("{STATUSES_PREFIX}{namespace}")
}

/// Partition of a namespace's requests.
pub fn requests(namespace: &str) -> String {
    format!("{REQUESTS_PREFIX}{namespace}")
}

/// Partition of a Release's ledger.
pub fn ledger(release: &ReleaseKey) -> String {
    format!("ledger#{release}")
}

/// Partition of a family's registrations.
pub fn registrations(account: &str, region: &str, family: &str) -> String {
    format!("registration#{account}/{region}/{family}")
}

/// An Environment or a Release, without status.
pub fn object(object: &ObjectRef) -> Key {
    match object.kind {
        Kind::Environment => environment(&object.name),
        Kind::Release => release(&object.release_key()),
    }
}

/// What `applier` applied last to an object.
pub fn applied(object: &ObjectRef, applier: &str) -> Key {
    let Key { pk, .. } = self::object(object);
    Key::new(pk, format!("{}{applier}", applied_prefix(object)))
}

/// Sort key prefix of what anybody applied last to an object.
pub fn applied_prefix(object: &ObjectRef) -> String {
    format!("applied#{}#", object.name)
}

/// An Environment.
pub fn environment(name: &str) -> Key {
    Key::new(ENVIRONMENTS, format!("{ENVIRONMENT_PREFIX}{name}"))
}

/// An Environment's binding.
pub fn binding(name: &str) -> Key {
    Key::new(BINDINGS, name)
}

/// A Release without its status.
pub fn release(key: &ReleaseKey) -> Key {
    Key::new(
        specs(&key.namespace),
        format!("{RELEASE_PREFIX}{}", key.name),
    )
}

/// A Release's status.
pub fn status(key: &ReleaseKey) -> Key {
    Key::new(
        statuses(&key.namespace),
        format!("{RELEASE_PREFIX}{}", key.name),
    )
}

/// A request about a Release.
pub fn request(key: &ReleaseKey, id: &str) -> Key {
    Key::new(
        requests(&key.namespace),
        format!("{}{id}", request_prefix(key)),
    )
}

/// Sort key prefix of a Release's requests.
pub fn request_prefix(key: &ReleaseKey) -> String {
    format!("{}#", key.name)
}

/// A revision; numbers sort as they count.
pub fn revision(key: &ReleaseKey, number: u64) -> Key {
    Key::new(ledger(key), format!("{REVISION_PREFIX}{number:010}"))
}

/// The run of a migration, or of a hook's task: see [`MigrationRun::kept_as`].
///
/// [`MigrationRun::kept_as`]: crate::model::ledger::MigrationRun::kept_as
pub fn migration(key: &ReleaseKey, kept_as: &str, run_key: &str) -> Key {
    Key::new(
        ledger(key),
        format!("{MIGRATION_PREFIX}{kept_as}#{run_key}"),
    )
}

/// The CodePipeline job that was named last.
pub fn pipeline_job(key: &ReleaseKey) -> Key {
    Key::new(ledger(key), PIPELINE_JOB)
}

/// A service's newest rollout.
pub fn rollout(key: &ReleaseKey, service: &str) -> Key {
    Key::new(ledger(key), format!("{ROLLOUT_PREFIX}{service}"))
}

/// A claim, in the ledger of the Release that holds it.
pub fn claim_in_ledger(key: &ReleaseKey, arn: &str) -> Key {
    Key::new(ledger(key), format!("{CLAIM_PREFIX}{arn}"))
}

/// A claim, by what is claimed.
pub fn claim(arn: &str) -> Key {
    Key::new(format!("{CLAIM_PREFIX}{arn}"), "claim")
}

/// A registration.
pub fn registration(account: &str, region: &str, family: &str, hash: &str) -> Key {
    Key::new(registrations(account, region, family), hash)
}

/// A task definition's content.
pub fn definition(hash: &str) -> Key {
    Key::new(format!("definition#{hash}"), "definition")
}
