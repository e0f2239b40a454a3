//! `schema`: JSON Schemas for editors, CRDs for Kubernetes.

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};

use super::error::{CliError, Exit};
use super::out::Format;
use super::settings::Settings;
use crate::resource::crd;
use crate::resource::meta::Kind;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel schema release > release.schema.json
  evenkeel schema --crd | kubectl apply --dry-run=server -f -

In an editor with the YAML language server, put this at the top of a manifest:
  # yaml-language-server: $schema=release.schema.json")]
pub struct SchemaArgs {
    /// environment or release; both when absent
    #[arg(value_name = "KIND", ignore_case = true, hide_possible_values = true)]
    kind: Option<KindArg>,
    /// The CustomResourceDefinition as YAML instead of the JSON Schema
    #[arg(long, env = "EVENKEEL_SCHEMA_CRD", hide_env_values = true,
          value_parser = BoolishValueParser::new())]
    crd: bool,
}

/// A kind, as it is typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum KindArg {
    /// Environment.
    #[value(alias = "environments", alias = "env")]
    Environment,
    /// Release.
    #[value(alias = "releases")]
    Release,
}

impl From<KindArg> for Kind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Environment => Kind::Environment,
            KindArg::Release => Kind::Release,
        }
    }
}

pub fn run(args: &SchemaArgs, settings: &Settings) -> Result<Exit, CliError> {
    let kind = args.kind.map(Kind::from);
    if args.crd {
        let kinds = kind.map_or_else(|| vec![Kind::Environment, Kind::Release], |kind| vec![kind]);
        for kind in kinds {
            let yaml = crd::crd_yaml(kind).map_err(|error| CliError::from_error(&error))?;
            settings.out.text(&yaml)?;
        }
        return Ok(Exit::Done);
    }
    let schema = crd::json_schema(kind);
    match settings.out.format {
        Format::Yaml => settings.out.yaml(&schema)?,
        _ => settings.out.json(&schema)?,
    }
    Ok(Exit::Done)
}
