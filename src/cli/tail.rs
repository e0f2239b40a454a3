//! The end of a log stream on standard output, and what comes after it. Nothing is stored.

use std::io::Write as _;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use jiff::Timestamp;
use serde_json::json;

use super::error::{CliError, Exit};
use super::out::{Format, Out};
use super::settings::Settings;
use crate::aws::Logs;
use crate::aws::logs::{LogLine, LogPage, LogStream};
use crate::model::known::Known;
use crate::report::paint::{Tone, plain};

/// How often `--follow` looks: CloudWatch Logs answers few such calls a second to an account.
const POLL: Duration = Duration::from_secs(2);
/// So often it looks in vain after the task has ended: its last lines may come late.
const QUIET: u32 = 3;

/// What every verb that shows logs takes.
#[derive(Clone, Debug, Args)]
pub struct TailArgs {
    /// How many of the newest lines, at most 10000
    #[arg(long, env = "EVENKEEL_LOGS_LINES", hide_env_values = true, default_value_t = 100,
          value_parser = clap::value_parser!(u16).range(1..=10_000), value_name = "N")]
    pub lines: u16,
    /// Go on with what is written from now on, until the task has ended
    #[arg(long, env = "EVENKEEL_LOGS_FOLLOW", hide_env_values = true,
          value_parser = BoolishValueParser::new())]
    pub follow: bool,
    /// The container, where several of a task have logs
    #[arg(
        long,
        env = "EVENKEEL_LOGS_CONTAINER",
        hide_env_values = true,
        value_name = "NAME"
    )]
    pub container: Option<String>,
}

/// A container's log.
#[derive(Debug)]
pub struct Source {
    /// Whose it is: `container app of task 0123`.
    pub whose: String,
    /// The streams that it may be, the likeliest first.
    pub streams: Vec<LogStream>,
    /// The Region that it is in, where that is not the Environment's.
    pub region: Option<String>,
}

impl Source {
    /// The log of a container, of which `group/stream` is known.
    pub fn new(container: &str, task_arn: &str, place: &str) -> Self {
        let task = task_arn.rsplit('/').next().unwrap_or(task_arn);
        Self {
            whose: format!("container {container} of task {task}"),
            streams: LogStream::meant(place),
            region: None,
        }
    }

    /// The same log in a Region of its own.
    #[must_use]
    pub fn within(self, region: Option<&String>) -> Self {
        Self {
            region: region.cloned(),
            ..self
        }
    }
}

/// Refuses formats that are no lines, before anything is asked.
///
/// # Errors
/// When the format is one of those.
pub fn check(settings: &Settings) -> Result<(), CliError> {
    match settings.out.format {
        Format::Table | Format::Json => Ok(()),
        Format::Yaml | Format::Html => Err(CliError::new("logs are printed line by line")
            .help("`-o table` prints `time  message`, `-o json` one object a line")),
    }
}

/// Prints a log's end; with `--follow` goes on until `ended` says that nothing more will come.
///
/// # Errors
/// When there is no such stream, or it cannot be read.
pub async fn tail(
    logs: &Logs,
    source: &Source,
    args: &TailArgs,
    settings: &Settings,
    mut ended: impl AsyncFnMut() -> Result<bool, CliError>,
) -> Result<Exit, CliError> {
    let (stream, page) = loop {
        if let Some(found) = newest(logs, source, usize::from(args.lines)).await? {
            break found;
        }
        if !args.follow || ended().await? {
            return Err(no_stream(logs, source));
        }
        tokio::time::sleep(POLL).await;
    };
    let told = format!("{}: log {}/{}", source.whose, stream.group, stream.stream);
    // A program that closed standard error does not want to know.
    let _ = writeln!(std::io::stderr(), "{told}");
    print(&page.lines, settings.out)?;
    if args.follow {
        follow(logs, &stream, page, settings.out, ended).await?;
    }
    Ok(Exit::Done)
}

/// The newest lines, of the first of the streams that is there.
async fn newest(
    logs: &Logs,
    source: &Source,
    lines: usize,
) -> Result<Option<(LogStream, LogPage)>, CliError> {
    for (index, stream) in source.streams.iter().enumerate() {
        match logs.tail(stream, lines).await {
            Ok(Known::Present(page)) => return Ok(Some((stream.clone(), page))),
            Ok(Known::Absent | Known::Unknown(_)) => {}
            // Less likely ones may be somebody else's.
            Err(_) if index > 0 => {}
            Err(error) => return Err(CliError::new(error.to_string())),
        }
    }
    Ok(None)
}

async fn follow(
    logs: &Logs,
    stream: &LogStream,
    page: LogPage,
    out: Out,
    mut ended: impl AsyncFnMut() -> Result<bool, CliError>,
) -> Result<(), CliError> {
    let mut place = page.next;
    let mut quiet = 0;
    loop {
        // Asked before the look, so that what was written last is seen.
        let over = ended().await?;
        if let Some(next) = &place {
            let page = logs.after(stream, next).await;
            let page = page.map_err(|error| CliError::new(error.to_string()))?;
            print(&page.lines, out)?;
            place = page.next.or(place);
            if !page.lines.is_empty() {
                quiet = 0;
                continue;
            }
        }
        if over {
            quiet += 1;
        }
        if quiet >= QUIET {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}

fn print(lines: &[LogLine], out: Out) -> Result<(), CliError> {
    let mut text = String::new();
    for line in lines {
        let at = line.at.map(moment).unwrap_or_default();
        text += &match out.format {
            Format::Json => json!({ "timestamp": at, "message": line.message }).to_string(),
            _ => format!(
                "{}  {}",
                out.paint.tone(Tone::Dim, &at),
                plain(&line.message)
            ),
        };
        text.push('\n');
    }
    match text.is_empty() {
        true => Ok(()),
        false => out.text(&text),
    }
}

/// To the millisecond, as CloudWatch Logs has it.
fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn no_stream(logs: &Logs, source: &Source) -> CliError {
    let place = match source.streams.first() {
        Some(LogStream { group, stream }) => format!(
            ": no stream {stream} in group {group}, Region {}",
            logs.region()
        ),
        None => String::new(),
    };
    CliError::new(format!("{} has no log (yet){place}", source.whose)).help(
        "a stream comes with its first line: a container that never started has none, and \
         retention removes old ones",
    )
}
