//! `validate`: manifests, without AWS.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::error::{CliError, Exit};
use super::out::Format;
use super::settings::Settings;
use crate::resource::manifest::{self, Manifest, Problems};

#[derive(Debug, Args)]
#[command(after_help = "\
Exit code: 0 when everything is right, 2 when something is wrong.

Examples:
  evenkeel validate -f release.yaml
  evenkeel validate -f deploy/ -f environments/production.yaml
  evenkeel validate -f deploy/ -o json")]
pub struct ValidateArgs {
    /// A file, a folder (all .yaml, .yml and .json below it), or - for standard input
    #[arg(
        short,
        long = "file",
        required = true,
        env = "EVENKEEL_VALIDATE_FILE",
        hide_env_values = true,
        value_name = "PATH"
    )]
    files: Vec<PathBuf>,
}

pub fn run(args: &ValidateArgs, settings: &Settings) -> Result<Exit, CliError> {
    match manifest::load(&args.files) {
        Ok(manifests) if manifests.is_empty() => Err(empty()),
        Ok(manifests) => {
            let names: Vec<String> = manifests.iter().map(|one| one.object.to_string()).collect();
            let value = json!({ "valid": true, "objects": names, "problems": [] });
            settings.out.print(&value, |_| {
                names
                    .iter()
                    .map(|name| format!("{name} is valid\n"))
                    .collect()
            })?;
            Ok(Exit::Done)
        }
        Err(problems) => {
            if settings.out.format != Format::Table {
                settings.out.print(
                    &json!({ "valid": false, "objects": [], "problems": listed(&problems) }),
                    |_| String::new(),
                )?;
            }
            Err(invalid(&problems, ""))
        }
    }
}

fn listed(problems: &Problems) -> Vec<serde_json::Value> {
    problems
        .0
        .iter()
        .map(|problem| {
            json!({
                "file": problem.file,
                "line": problem.line,
                "column": problem.column,
                "field": problem.field,
                "message": problem.message,
                "help": problem.help,
            })
        })
        .collect()
}

/// Reads manifests; every problem of every file becomes one error.
pub fn load(files: &[PathBuf]) -> Result<Vec<Manifest>, CliError> {
    manifest::load(files).map_err(|problems| invalid(&problems, "; nothing was done"))
}

/// The manifests of which there is at least one: a template that came out empty is no success.
pub fn some(manifests: Vec<Manifest>) -> Result<Vec<Manifest>, CliError> {
    match manifests.is_empty() {
        true => Err(empty()),
        false => Ok(manifests),
    }
}

fn empty() -> CliError {
    CliError::new("the files hold no manifest").help("was a template or a folder left empty?")
}

fn invalid(problems: &Problems, then: &str) -> CliError {
    let count = problems.0.len();
    let what = if count == 1 {
        "1 problem".to_owned()
    } else {
        format!("{count} problems")
    };
    CliError::new(format!("the manifests have {what}{then}\n{problems}"))
}
