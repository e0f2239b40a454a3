//! What `run` is told: its arguments, checked all at once, and where each came from.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args};
use jiff::SignedDuration;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::cli::error::CliError;
use crate::cli::logs;
use crate::cli::settings::Settings;
use crate::report::paint::printable;
use crate::resource::duration::Span;
use crate::store::lease::MAX_SHARDS;

/// As the command line has them: values are read by [`RunConfig::new`], so that everything that is
/// wrong is told at once.
#[derive(Debug, Args)]
#[command(after_help = "\
SIGTERM and Ctrl-C end it: no release is begun any more, passes under way are finished within the
grace time, leases are given back. A second signal ends it at once. Whatever was under way is found
again at the next start.

Exit code with --once: 0 everything is Ready, suspended or held (its new revision waits for an
approval, a window or other releases), 1 something is Stalled, 2 an error.

Examples:
  evenkeel run --http 127.0.0.1:8080         serve /metrics, /healthz and /readyz beside it
  evenkeel run --once                        work until everything is Ready or Stalled
  evenkeel run --once -n production          the releases of one environment only
  evenkeel run --print-config -o yaml        what counts, and where it was said")]
pub struct RunArgs {
    /// Work until every release is Ready, Stalled, suspended or held, then end
    #[arg(long, env = "EVENKEEL_RUN_ONCE", hide_env_values = true,
          value_parser = BoolishValueParser::new())]
    pub once: bool,
    /// Releases of one Environment that are worked on at once, 1 to 256. An Environment that is
    /// slow keeps no other waiting
    #[arg(
        long,
        env = "EVENKEEL_RUN_WORKERS",
        hide_env_values = true,
        default_value = "16",
        value_name = "N"
    )]
    workers: String,
    /// How often everything is looked at again, 10s to 24h. Changes in the table
    /// are noticed at once anyway
    #[arg(
        long,
        env = "EVENKEEL_RUN_RESYNC",
        hide_env_values = true,
        default_value = "5m",
        value_name = "TIME"
    )]
    resync: String,
    /// Serve /metrics, /healthz and /readyz on this address. By default nothing is served
    #[arg(
        long,
        env = "EVENKEEL_RUN_HTTP",
        hide_env_values = true,
        value_name = "ADDRESS"
    )]
    http: Option<String>,
    /// SQS queue that EventBridge sends ECS and ECR events to. Without one they are found by
    /// looking
    #[arg(
        long,
        env = "EVENKEEL_RUN_EVENTS_QUEUE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    events_queue_url: Option<String>,
    /// Share of each of AWS's request limits that may be used, above 0 and at most 1. The rest is
    /// left to others in the account
    #[arg(
        long,
        env = "EVENKEEL_RUN_BUDGET",
        hide_env_values = true,
        default_value = "0.5",
        value_name = "SHARE"
    )]
    budget: String,
    /// Leases that the releases are spread over, 1 to 48: so many replicas can share the work. The
    /// same for all of them
    #[arg(
        long,
        env = "EVENKEEL_RUN_SHARDS",
        hide_env_values = true,
        default_value = "1",
        value_name = "N"
    )]
    shards: String,
    /// How this replica calls itself in the table. By default the machine's name with something
    /// random
    #[arg(
        long,
        env = "EVENKEEL_RUN_IDENTITY",
        hide_env_values = true,
        value_name = "NAME"
    )]
    identity: Option<String>,
    /// /healthz fails when one pass takes longer than this, at least 1m
    #[arg(
        long,
        env = "EVENKEEL_RUN_STUCK_AFTER",
        hide_env_values = true,
        default_value = "10m",
        value_name = "TIME"
    )]
    stuck_after: String,
    /// How long ending may take after SIGTERM, 1s to 10m. Passes under way have the first 2s of it.
    /// Keep it some seconds below the stopTimeout of the ECS task
    #[arg(
        long,
        env = "EVENKEEL_RUN_SHUTDOWN_GRACE",
        hide_env_values = true,
        default_value = "20s",
        value_name = "TIME"
    )]
    shutdown_grace: String,
    /// OpenTelemetry collector that traces are sent to, by OTLP over HTTP: http://127.0.0.1:4318.
    /// By default none are made
    #[arg(
        long,
        env = "EVENKEEL_RUN_OTLP_ENDPOINT",
        hide_env_values = true,
        value_name = "URL"
    )]
    otlp_endpoint: Option<String>,
    /// Print what counts and where it was said, then end
    #[arg(long, env = "EVENKEEL_RUN_PRINT_CONFIG", hide_env_values = true,
          value_parser = BoolishValueParser::new())]
    pub print_config: bool,
    /// Where each argument came from.
    #[arg(skip)]
    sources: Sources,
}

/// By the long name of each argument of `run`, the global ones included.
#[derive(Clone, Debug, Default)]
struct Sources(BTreeMap<String, Source>);

/// Where a value was said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// On the command line.
    Flag,
    /// In the environment.
    Environment,
    /// Nowhere.
    #[default]
    Default,
}

impl RunArgs {
    /// Takes note of where each argument came from.
    pub fn came_from(&mut self, matches: &ArgMatches) {
        self.sources.0 = matches
            .ids()
            .map(|id| {
                let source = match matches.value_source(id.as_str()) {
                    Some(ValueSource::CommandLine) => Source::Flag,
                    Some(ValueSource::EnvVariable) => Source::Environment,
                    _ => Source::Default,
                };
                (id.as_str().replace('_', "-"), source)
            })
            .collect();
    }

    fn source(&self, name: &str) -> Source {
        self.sources.0.get(name).copied().unwrap_or_default()
    }

    /// An argument as whoever set it wrote it.
    fn shown(&self, name: &str) -> String {
        match self.source(name) {
            Source::Environment => {
                format!("EVENKEEL_RUN_{}", name.replace('-', "_").to_uppercase())
            }
            _ => format!("--{name}"),
        }
    }
}

/// What `run` works by.
#[derive(Clone, Debug, PartialEq)]
pub struct RunConfig {
    /// Whether to end when everything is Ready or Stalled.
    pub once: bool,
    /// Releases of one Environment at once.
    pub workers: usize,
    /// How long after a Release settled it is looked at again.
    pub resync: Span,
    /// Where metrics and health are served.
    pub http: Option<SocketAddr>,
    /// URL of the SQS queue of events.
    pub events_queue_url: Option<String>,
    /// Share of AWS's request limits: above 0, at most 1.
    pub budget: f64,
    /// Number of leases.
    pub shards: u32,
    /// This replica's name.
    pub identity: String,
    /// After how long a pass counts as stuck.
    pub stuck_after: Span,
    /// How long passes under way may go on at the end.
    pub shutdown_grace: Span,
    /// URL that traces are posted to, path included.
    pub otlp_endpoint: Option<String>,
}

/// Reads values, and remembers what is wrong with them.
struct Reader<'a> {
    args: &'a RunArgs,
    wrong: Vec<String>,
}

impl Reader<'_> {
    /// A value, or nothing where it is wrong, which is noted.
    fn read<T>(
        &mut self,
        name: &str,
        text: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        read(text)
            .map_err(|why| {
                let name = self.args.shown(name);
                self.wrong.push(format!("{name}: {why}"));
            })
            .ok()
    }

    fn read_if_any<T>(
        &mut self,
        name: &str,
        text: Option<&str>,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Option<T>> {
        match text {
            None => Some(None),
            Some(text) => self.read(name, text, read).map(Some),
        }
    }
}

impl RunConfig {
    /// Reads and checks all arguments.
    ///
    /// # Errors
    /// Everything that is wrong, each with what would be right.
    pub fn new(args: &RunArgs, settings: &Settings) -> Result<Self, CliError> {
        let mut reader = Reader {
            args,
            wrong: Vec::new(),
        };
        let workers = reader.read("workers", &args.workers, |text| whole(text, 256));
        let resync = reader.read("resync", &args.resync, |text| span(text, 10, Some(86_400)));
        let http = reader.read_if_any("http", args.http.as_deref(), address);
        let queue = args.events_queue_url.as_deref();
        let events_queue_url = reader.read_if_any("events-queue-url", queue, queue_url);
        let budget = reader.read("budget", &args.budget, share);
        let shards = reader.read("shards", &args.shards, |text| whole(text, MAX_SHARDS));
        let identity = reader.read_if_any("identity", args.identity.as_deref(), name);
        let stuck_after = reader.read("stuck-after", &args.stuck_after, |text| {
            span(text, 60, Some(86_400))
        });
        let shutdown_grace = reader.read("shutdown-grace", &args.shutdown_grace, |text| {
            span(text, 1, Some(600))
        });
        let endpoint = args.otlp_endpoint.as_deref();
        let otlp_endpoint = reader.read_if_any("otlp-endpoint", endpoint, traces_url);
        if !args.once && settings.namespace.is_some() {
            reader.wrong.push(
                "--namespace (EVENKEEL_NAMESPACE): the controller works on every namespace of its \
                 table, and two that divide them would keep each other's lease: leave it out, give \
                 the environment a table of its own, or say --once"
                    .to_owned(),
            );
        }
        if args.once && shards.is_some_and(|shards| shards > 1) {
            reader.wrong.push(format!(
                "{}: --once does everything itself: leave it out",
                args.shown("shards")
            ));
        }
        let config = (|| {
            Some(Self {
                once: args.once,
                workers: usize::try_from(workers?).ok()?,
                resync: resync?,
                http: http?,
                events_queue_url: events_queue_url?,
                budget: budget?,
                shards: shards?,
                identity: identity?.unwrap_or_else(|| own_name(settings)),
                stuck_after: stuck_after?,
                shutdown_grace: shutdown_grace?,
                otlp_endpoint: otlp_endpoint?,
            })
        })();
        let right = config.filter(|_| reader.wrong.is_empty());
        right.ok_or_else(|| match reader.wrong.as_slice() {
            [one] => CliError::new(one.as_str()),
            all => CliError::new(format!(
                "{} settings of `run` are wrong:\n  {}",
                all.len(),
                all.join("\n  ")
            )),
        })
    }

    /// Prints what counts and where it was said.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn print(&self, args: &RunArgs, settings: &Settings) -> Result<(), CliError> {
        let format = logs::format(settings, !self.once);
        let values = [
            ("table", json!(settings.table)),
            ("namespace", json!(settings.namespace)),
            ("log-format", json!(format.as_str())),
            ("once", json!(self.once)),
            ("workers", json!(self.workers)),
            ("resync", json!(self.resync)),
            ("http", json!(self.http)),
            ("events-queue-url", json!(self.events_queue_url)),
            ("budget", json!(self.budget)),
            ("shards", json!(self.shards)),
            ("identity", json!(self.identity)),
            ("stuck-after", json!(self.stuck_after)),
            ("shutdown-grace", json!(self.shutdown_grace)),
            ("otlp-endpoint", json!(self.otlp_endpoint)),
        ];
        let mut all = Map::new();
        let mut lines = String::new();
        for (name, value) in values {
            let from = args.source(name);
            let source = match from {
                Source::Flag => "flag",
                Source::Environment => "environment",
                Source::Default => "default",
            };
            let text = match &value {
                Value::Null => "-".to_owned(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            lines.push_str(&format!("{name:<18} {text:<40} {source}\n"));
            all.insert(name.to_owned(), json!({ "value": value, "from": from }));
        }
        settings.out.print(&Value::Object(all), |_| lines)
    }
}

/// A length of time, as timers take it.
pub fn length(span: &Span) -> Duration {
    Duration::try_from(span.length()).unwrap_or_default()
}

fn whole(text: &str, most: u32) -> Result<u32, String> {
    match text.parse() {
        Ok(number) if (1..=most).contains(&number) => Ok(number),
        _ => Err(format!(
            "`{}` is no whole number from 1 to {most}",
            printable(text)
        )),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err(format!(
            "`{}` is no share: write a number above 0 and at most 1, such as 0.5",
            printable(text)
        )),
    }
}

/// A length of time of at least and at most so many seconds.
fn span(text: &str, least: i64, most: Option<i64>) -> Result<Span, String> {
    let span = Span::parse(text).map_err(|why| printable(&why))?;
    if span.length() < SignedDuration::from_secs(least) {
        return Err(format!("`{span}` is too short: at least {least} seconds"));
    }
    match most {
        Some(most) if span.length() > SignedDuration::from_secs(most) => {
            Err(format!("`{span}` is too long: at most {most} seconds"))
        }
        _ => Ok(span),
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "`{}` is no address: write one with its port, such as 127.0.0.1:8080 or [::]:8080",
            printable(text)
        )
    })
}

fn name(text: &str) -> Result<String, String> {
    let fits = (1..=128).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic());
    match fits {
        true => Ok(text.to_owned()),
        false => Err("write 1 to 128 visible ASCII characters without a space".to_owned()),
    }
}

/// A URL without anything that a log should not show. It is not repeated where it is wrong, since
/// nobody knows what it holds.
fn url(text: &str, such_as: &str) -> Result<http::Uri, String> {
    let wrong = || format!("this is no URL such as {such_as}");
    let uri: http::Uri = text.parse().map_err(|_| wrong())?;
    let authority = uri.authority().ok_or_else(wrong)?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || authority.host().is_empty() {
        return Err(wrong());
    }
    if authority.as_str().contains('@') || uri.query().is_some() {
        return Err(format!(
            "this URL holds credentials or a query; write one such as {such_as}"
        ));
    }
    Ok(uri)
}

/// SQS: `https://sqs.<region>.amazonaws.com/<account>/<queue>`.
fn queue_url(text: &str) -> Result<String, String> {
    let such_as = "https://sqs.eu-west-1.amazonaws.com/123456789012/evenkeel-events";
    let uri = url(text, such_as)?;
    let parts: Vec<&str> = uri
        .path()
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    match parts.as_slice() {
        [_, .., _] => Ok(text.to_owned()),
        _ => Err(format!(
            "this URL names no queue; write one such as {such_as}"
        )),
    }
}

/// Where OTLP puts traces, when only the collector is named:
/// <https://opentelemetry.io/docs/specs/otlp/#otlphttp-request>.
fn traces_url(text: &str) -> Result<String, String> {
    let uri = url(text, "http://127.0.0.1:4318")?;
    Ok(match uri.path() {
        "" | "/" => format!("{}/v1/traces", text.trim_end_matches('/')),
        _ => text.to_owned(),
    })
}

/// The machine's name, and something that no other process has: a process that begins anew is
/// another replica.
fn own_name(settings: &Settings) -> String {
    let of_kernel = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = settings.host.clone().or_else(of_kernel).unwrap_or_default();
    let host: String = host
        .chars()
        .filter(char::is_ascii_graphic)
        .take(100)
        .collect();
    let host = if host.is_empty() { "evenkeel" } else { &host };
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("{host}_{}", random.split_at(8).0)
}

#[cfg(test)]
mod tests;
