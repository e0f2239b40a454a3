//! `suspend` and `resume`.

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::connect::Connection;
use super::error::{CliError, Exit};
use super::settings::Settings;
use super::target::ReleaseName;
use crate::resource::duration::Span;

#[derive(Debug, Args)]
#[command(after_help = "\
Nothing is changed in AWS while a release is suspended, and it is not compared either. Applying
the manifest again does not resume it. With --until it resumes by itself at that time.

Examples:
  evenkeel suspend rails
  evenkeel suspend rails --until 2h
  evenkeel suspend rails --until 2030-03-02T18:00:00Z
  evenkeel suspend production/rails && evenkeel get production/rails")]
pub struct SuspendArgs {
    /// NAME, or NAMESPACE/NAME
    #[arg(value_name = "NAME")]
    name: String,
    /// When it resumes by itself: a length of time from now, or a time with its offset
    #[arg(
        long,
        env = "EVENKEEL_SUSPEND_UNTIL",
        hide_env_values = true,
        value_name = "TIME"
    )]
    until: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel resume rails")]
pub struct ResumeArgs {
    /// NAME, or NAMESPACE/NAME
    #[arg(value_name = "NAME")]
    name: String,
}

pub async fn suspend(args: &SuspendArgs, settings: &Settings) -> Result<Exit, CliError> {
    set(&args.name, true, args.until.as_deref(), settings).await
}

pub async fn resume(args: &ResumeArgs, settings: &Settings) -> Result<Exit, CliError> {
    set(&args.name, false, None, settings).await
}

async fn set(
    name: &str,
    suspend: bool,
    until: Option<&str>,
    settings: &Settings,
) -> Result<Exit, CliError> {
    let name = ReleaseName::parse(name, settings.namespace.as_deref())?;
    let connection = Connection::open(settings).await?;
    let until = until
        .map(|text| moment(text, connection.now()))
        .transpose()?;
    let release = connection.find(&name).await?;
    let key = release.release_key();
    let changed = match until {
        Some(until) => connection.suspend_until(&key, until).await?,
        None => connection.set_suspend(&key, suspend).await?,
    };
    let word = match (changed, suspend) {
        (true, true) => "suspended",
        (true, false) => "resumed",
        (false, _) => "unchanged",
    };
    let mut value = json!({ "release": key.to_string(), "suspended": suspend, "result": word });
    if let Some(until) = until {
        value["until"] = until.to_string().into();
    }
    let end = until.map_or_else(String::new, |until| format!(" until {until}"));
    settings
        .out
        .print(&value, |_| format!("release/{key} {word}{end}\n"))?;
    Ok(Exit::Done)
}

/// A moment to come: `2h`, or `2030-03-02T18:00:00Z`.
fn moment(text: &str, now: Timestamp) -> Result<Timestamp, CliError> {
    let until = match (text.parse::<Timestamp>(), Span::parse(text)) {
        (Ok(moment), _) => Some(moment),
        (Err(_), Ok(span)) => now.checked_add(span.length()).ok(),
        (Err(_), Err(_)) => None,
    };
    let help = "write a length of time such as `2h`, or a time such as `2030-03-02T18:00:00Z`";
    match until {
        None => Err(CliError::new(format!("--until: `{text}` is not a time")).help(help)),
        Some(until) if until <= now => {
            Err(CliError::new(format!("--until: {until} is not to come")).help(help))
        }
        Some(until) => Ok(until),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_length_from_now_or_a_time_to_come() {
        let now: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
        let read = |text| moment(text, now).map(|until| until.to_string());
        assert_eq!(read("2h").unwrap(), "2026-03-02T11:00:00Z");
        assert_eq!(read("1h 30m").unwrap(), "2026-03-02T10:30:00Z");
        assert_eq!(
            read("2026-03-02T11:00:00+01:00").unwrap(),
            "2026-03-02T10:00:00Z"
        );
        for wrong in [
            "",
            "tomorrow",
            "0s",
            "-2h",
            "2026-03-02T09:00:00Z",
            "2026-03-02",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
