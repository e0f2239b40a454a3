//! `get`: lists and shows.

use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use serde::Serialize;

use super::clock::now;
use super::connect::Connection;
use super::error::{CliError, Exit};
use super::out::Format;
use super::settings::Settings;
use super::target::ReleaseName;
use crate::report::release;
use crate::resource::meta::{Environment, Release};

/// How often `-w` looks.
const POLL: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
#[command(after_help = "\
Exit code: 0, or 2 when the object does not exist or the table cannot be read.

Examples:
  evenkeel get                               every release
  evenkeel get -n production                 those of one environment
  evenkeel get rails                         one release with its parts
  evenkeel get rails -o yaml                 the whole object, spec and status
  evenkeel get -w                            again whenever something changes
  evenkeel get environments
  evenkeel get env production -o json")]
pub struct GetArgs {
    /// NAME, NAMESPACE/NAME, `releases [NAME]` or `environments [NAME]`
    #[arg(value_name = "WHAT", num_args = 0..=2)]
    what: Vec<String>,
    /// Print again whenever something changes
    #[arg(short, long, env = "EVENKEEL_GET_WATCH", hide_env_values = true,
          value_parser = BoolishValueParser::new())]
    watch: bool,
}

/// What is shown.
#[derive(Debug, PartialEq, Eq)]
enum What {
    Releases,
    Release(String),
    Environments,
    Environment(String),
}

impl What {
    fn parse(words: &[String]) -> Result<Self, CliError> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Ok(match words.as_slice() {
            [] | ["releases" | "release"] => What::Releases,
            ["environments" | "environment" | "env"] => What::Environments,
            ["environments" | "environment" | "env", name] => What::Environment((*name).to_owned()),
            ["releases" | "release", name] | [name] => What::Release((*name).to_owned()),
            [kind, _] => {
                return Err(CliError::new(format!("`{kind}` is not a kind of object"))
                    .help("there are releases and environments"));
            }
            _ => {
                return Err(
                    CliError::new("too many names").help("name one object, or none for all")
                );
            }
        })
    }
}

/// What was found.
enum Found {
    Releases(Vec<Release>),
    Release(Box<Release>),
    Environments(Vec<Environment>),
    Environment(Box<Environment>),
}

#[derive(Serialize)]
struct Items<'a, T> {
    items: &'a [T],
}

pub async fn run(args: &GetArgs, settings: &Settings) -> Result<Exit, CliError> {
    let what = What::parse(&args.what)?;
    let connection = Connection::open(settings).await?;
    let mut shown = None;
    loop {
        let found = find(&what, &connection, settings, args.watch).await?;
        // Ages change with every second: what counts is the content.
        let content = found.content();
        if shown.as_ref() != Some(&content) {
            found.print(settings)?;
            shown = Some(content);
        }
        if !args.watch {
            return Ok(Exit::Done);
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn find(
    what: &What,
    connection: &Connection,
    settings: &Settings,
    watch: bool,
) -> Result<Found, CliError> {
    let namespace = settings.namespace.as_deref();
    Ok(match what {
        // Every second is too often for reading the whole table.
        What::Releases if watch => Found::Releases(connection.releases(namespace).await?),
        What::Releases => Found::Releases(connection.all_releases(namespace).await?),
        What::Release(name) => {
            let name = ReleaseName::parse(name, namespace)?;
            Found::Release(Box::new(connection.find(&name).await?))
        }
        What::Environments => Found::Environments(connection.environments().await?),
        What::Environment(name) => {
            Found::Environment(Box::new(connection.environment(name).await?))
        }
    })
}

impl Found {
    fn content(&self) -> serde_json::Value {
        match self {
            Found::Releases(all) => serde_json::to_value(all),
            Found::Release(one) => serde_json::to_value(one),
            Found::Environments(all) => serde_json::to_value(all),
            Found::Environment(one) => serde_json::to_value(one),
        }
        .unwrap_or_default()
    }

    fn print(&self, settings: &Settings) -> Result<(), CliError> {
        let out = settings.out;
        let now = now();
        match self {
            Found::Releases(all) if out.format == Format::Html => {
                out.text(&release::html(all, now))
            }
            Found::Release(one) if out.format == Format::Html => {
                out.text(&release::html(std::slice::from_ref(one), now))
            }
            Found::Releases(all) if all.is_empty() && out.format == Format::Table => {
                out.line(&format!("No releases{}.", of(settings)))
            }
            Found::Environments(all) if all.is_empty() && out.format == Format::Table => {
                out.line("No environments.")
            }
            Found::Releases(all) => out.print(&Items { items: all }, |paint| {
                release::list(all, now, paint)
            }),
            Found::Release(one) => out.print(one, |paint| release::describe(one, now, paint)),
            Found::Environments(all) => out.print(&Items { items: all }, |paint| {
                release::environments(all, now, paint)
            }),
            Found::Environment(one) => out.print(one, |paint| {
                release::environments(std::slice::from_ref(one), now, paint)
            }),
        }
    }
}

fn of(settings: &Settings) -> String {
    settings
        .namespace
        .as_ref()
        .map(|name| format!(" in namespace {name}"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_one_object_or_all() {
        let parse = |words: &[&str]| {
            What::parse(
                &words
                    .iter()
                    .map(|word| (*word).to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(parse(&[]).unwrap(), What::Releases);
        assert_eq!(
            parse(&["rails"]).unwrap(),
            What::Release("rails".to_owned())
        );
        assert_eq!(
            parse(&["releases", "environments"]).unwrap(),
            What::Release("environments".to_owned())
        );
        assert_eq!(parse(&["env"]).unwrap(), What::Environments);
        assert_eq!(
            parse(&["env", "production"]).unwrap(),
            What::Environment("production".to_owned())
        );
        assert!(parse(&["pods", "x"]).is_err());
    }
}
