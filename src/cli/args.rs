//! The command line as it is written. [`super::settings::Settings`] makes it definite.

use clap::{Parser, Subcommand};

use super::settings::GlobalArgs;
use super::{
    apply, completions, delete, drift, get, init, migration, plan, retry, run, schema,
    service_logs, set, suspend, validate, version, wait,
};
#[cfg(feature = "sandbox")]
use super::{demo, sandbox};

/// evenkeel: a reconciling release controller for Amazon ECS
#[derive(Debug, Parser)]
#[command(
    name = "evenkeel",
    version,
    about = "A reconciling release controller for Amazon ECS",
    long_about = "A reconciling release controller for Amazon ECS.\n\n\
        Desired releases live in a DynamoDB table. The controller (`evenkeel run`) reads them, looks \
        at ECS, ECR and EventBridge, and moves them there: images, then migrations, then services, \
        then schedules; and again whenever something drifts.",
    after_help = AFTER,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub struct Cli {
    /// For every verb.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What is done.
    #[command(subcommand)]
    pub verb: Verb,
}

const AFTER: &str = "\
AWS settings come the usual way: AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL, and the roles of
containers, instances and web identities. Every option has an environment variable.

Examples:
  evenkeel demo                              see all of it, on this machine
  evenkeel init                              make the table
  evenkeel apply -f release.yaml --wait      write what is wanted, wait until it is so
  evenkeel get                               how every release stands
  evenkeel run                               the controller";

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make the table, or check the one that is there
    Init(init::InitArgs),
    /// Check manifests without AWS: every error of every file at once
    Validate(validate::ValidateArgs),
    /// Write manifests into the table
    Apply(apply::ApplyArgs),
    /// List releases and environments, or show one
    Get(get::GetArgs),
    /// What the next pass would do, and why not more
    Plan(plan::PlanArgs),
    /// The controller
    Run(run::RunArgs),
    /// Follow a release until it is Ready
    Wait(wait::WaitArgs),
    /// What differs from what was declared, looked at now
    Drift(drift::DriftArgs),
    /// Change image tags only
    Set(set::SetArgs),
    /// Try a Stalled release again
    Retry(retry::RetryArgs),
    /// The ledger of migrations
    Migration(migration::MigrationArgs),
    /// What a service's tasks write to CloudWatch Logs
    Logs(service_logs::LogsArgs),
    /// Leave AWS as it is until `resume`
    Suspend(suspend::SuspendArgs),
    /// Take a suspension back
    Resume(suspend::ResumeArgs),
    /// Delete a release or an environment; services are never deleted
    Delete(delete::DeleteArgs),
    /// JSON Schema of the manifests, or their CRDs
    Schema(schema::SchemaArgs),
    /// An AWS endpoint on this machine
    #[cfg(feature = "sandbox")]
    Sandbox(sandbox::SandboxArgs),
    /// Sandbox, controller and an example, from start to finish
    #[cfg(feature = "sandbox")]
    Demo(demo::DemoArgs),
    /// Completions for a shell
    Completions(completions::CompletionsArgs),
    /// The version
    Version(version::VersionArgs),
}
