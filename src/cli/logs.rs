//! Logs, on standard error.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use super::settings::{LogFormat, Settings};

/// Sends logs to standard error. `usual` is what this verb shows without `-v`.
pub fn init(settings: &Settings, usual: &str) {
    let filter = match (&settings.log_filter, settings.verbose) {
        (Some(filter), 0) => EnvFilter::new(filter),
        (_, 0) => EnvFilter::new(usual),
        (_, 1) => EnvFilter::new("warn,evenkeel=info"),
        (_, 2) => EnvFilter::new("warn,evenkeel=debug"),
        (_, _) => EnvFilter::new("debug,evenkeel=trace,hyper=info,rustls=info"),
    };
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(settings.log_colour)
        .with_target(false);
    // A second subscriber in one process (tests) changes nothing.
    let _ = match settings.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}
