//! Settings: everything that arguments and the environment say, read once and made definite.

use std::io::IsTerminal as _;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};

use super::out::{Format, Out};

/// Arguments that every verb takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// DynamoDB table that holds everything
    #[arg(long, global = true, env = "EVENKEEL_TABLE", default_value = "evenkeel",
          hide_env_values = true, value_parser = NonEmptyStringValueParser::new())]
    pub table: String,

    /// Namespace of the releases, which is the name of their Environment; all of them when absent
    #[arg(short, long, global = true, env = "EVENKEEL_NAMESPACE", hide_env_values = true,
          value_parser = NonEmptyStringValueParser::new())]
    pub namespace: Option<String>,

    /// What is printed: table, json, yaml (html: `get` and `drift`)
    #[arg(
        short,
        long,
        global = true,
        env = "EVENKEEL_OUTPUT",
        default_value = "table",
        hide_env_values = true,
        hide_possible_values = true,
        value_name = "FORMAT"
    )]
    pub output: Format,

    /// Who writes: `apply` remembers each writer's fields apart. By default the name of the AWS
    /// user or role, else of the local user
    #[arg(long, global = true, env = "EVENKEEL_APPLIER", hide_env_values = true, value_name = "NAME",
          value_parser = NonEmptyStringValueParser::new())]
    pub applier: Option<String>,

    /// How logs are written on standard error: text or json. By default text, but json for `run`
    /// where standard error is no terminal
    #[arg(
        long,
        global = true,
        env = "EVENKEEL_LOG_FORMAT",
        hide_env_values = true,
        hide_possible_values = true,
        value_name = "FORMAT"
    )]
    pub log_format: Option<LogFormat>,

    /// More logs: -v for decisions, -vv for calls, -vvv for everything
    #[arg(short, long, global = true, env = "EVENKEEL_VERBOSE", hide_env_values = true,
          action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
    }
}

/// What a verb works with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The table.
    pub table: String,
    /// The namespace, if one was named.
    pub namespace: Option<String>,
    /// Who writes, if that was said.
    pub applier: Option<String>,
    /// The local user, as the environment names them.
    pub user: Option<String>,
    /// This machine's name, as the environment says it.
    pub host: Option<String>,
    /// Where results go.
    pub out: Out,
    /// Whether a live view may be drawn on standard error.
    pub live: bool,
    /// Whether logs may be coloured.
    pub log_colour: bool,
    /// How logs are written, if that was said.
    pub log_format: Option<LogFormat>,
    /// Whether standard error is a terminal.
    pub stderr_terminal: bool,
    /// How much is logged.
    pub verbose: u8,
    /// What `RUST_LOG` says, which goes before `verbose`.
    pub log_filter: Option<String>,
}

impl Settings {
    /// Made of the arguments and what else the environment says.
    pub fn new(args: GlobalArgs) -> Self {
        // NO_COLOR counts when it is there and not empty: https://no-color.org
        let colour = env("NO_COLOR").is_none() && env("TERM").as_deref() != Some("dumb");
        let terminal = std::io::stderr().is_terminal();
        Self {
            table: args.table,
            namespace: args.namespace,
            applier: args.applier,
            user: env("USER").or_else(|| env("LOGNAME")),
            host: env("HOSTNAME"),
            out: Out::new(args.output, colour),
            live: terminal && args.output == Format::Table,
            log_colour: terminal && colour,
            log_format: args.log_format,
            stderr_terminal: terminal,
            verbose: args.verbose,
            log_filter: env("RUST_LOG"),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where settings are read"
)]
fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
