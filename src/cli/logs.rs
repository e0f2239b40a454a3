//! Logs, on standard error.

mod flat;

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use super::settings::{LogFormat, Settings};
use super::traces::Traces;
use flat::Flat;

/// What is logged by a verb that goes on for long.
pub const TELLING: &str = "warn,evenkeel=info";
/// What is logged by a verb that somebody waits for.
pub const QUIET: &str = "error,evenkeel=warn";

/// What a verb logs where nobody says otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Usual {
    /// What is shown without `-v`.
    pub filter: &'static str,
    /// Whether programs read it: JSON where standard error is no terminal.
    pub service: bool,
}

impl Usual {
    /// Of a verb that a person waits for.
    pub const fn of_people(filter: &'static str) -> Self {
        Self {
            filter,
            service: false,
        }
    }
}

/// Sends logs to standard error, and spans to `traces`.
pub fn init(settings: &Settings, usual: Usual, traces: Option<&Traces>) {
    let filter = match (&settings.log_filter, settings.verbose) {
        (Some(filter), 0) => EnvFilter::new(filter),
        (_, 0) => EnvFilter::new(usual.filter),
        (_, 1) => EnvFilter::new("warn,evenkeel=info"),
        (_, 2) => EnvFilter::new("warn,evenkeel=debug"),
        (_, _) => EnvFilter::new("debug,evenkeel=trace,hyper=info,rustls=info"),
    };
    let format = format(settings, usual.service);
    let lines = lines(format, settings.log_colour, std::io::stderr);
    // A second subscriber in one process (tests) changes nothing.
    let _ = subscriber(filter, lines, traces).try_init();
}

/// Shows the lines that pass the filter and are nobody's secret, and sends spans to `traces`.
/// Unless the filter names spans, what neither of the two wants is known beforehand: a call of the
/// SDK comes by hundreds of places that could log, and none of them needs to ask the filter.
fn subscriber<L>(
    filter: EnvFilter,
    lines: L,
    traces: Option<&Traces>,
) -> Box<dyn Subscriber + Send + Sync>
where
    L: Layer<Registry> + Send + Sync,
{
    let filter = filter.and(filter_fn(is_harmless));
    let shown = tracing_subscriber::registry().with(lines.with_filter(filter));
    match traces {
        Some(traces) => Box::new(shown.with(traces.layer())),
        // A layer that is absent would make `tracing` ask the filter each time.
        None => Box::new(shown),
    }
}

/// How logs are written: as somebody said, else JSON for programs and text for people.
pub fn format(settings: &Settings, service: bool) -> LogFormat {
    settings
        .log_format
        .unwrap_or(match settings.stderr_terminal {
            false if service => LogFormat::Json,
            _ => LogFormat::Text,
        })
}

/// At its finest the SDK logs requests and answers whole, with the environment of every container.
/// No setting lets that through.
fn is_harmless(metadata: &Metadata<'_>) -> bool {
    let own = metadata.target().split("::").next() == Some("evenkeel");
    own || *metadata.level() < Level::TRACE
}

fn lines<S, W>(format: LogFormat, colour: bool, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_writer(writer);
    match format {
        LogFormat::Text => layer.with_ansi(colour).with_target(false).boxed(),
        LogFormat::Json => layer
            .fmt_fields(fmt::format::JsonFields::new())
            .event_format(Flat)
            .boxed(),
    }
}

#[cfg(test)]
pub mod tests;
