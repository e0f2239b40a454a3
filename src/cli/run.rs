//! `run`: the controller.

mod config;
mod stop;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::connect::Connection;
use super::error::{CliError, Exit};
use super::logs::{self, Usual};
use super::out::{Format, Out};
use super::settings::Settings;
use super::traces::Traces;
use crate::aws::sqs::Queue;
use crate::aws::{AwsSettings, Budget};
use crate::controller::health::Health;
use crate::controller::leadership::LeaseOptions;
use crate::controller::{Controller, ControllerOptions, Happening, Observer, Summary, What};
use crate::http::{self, Metrics, Pages};
use crate::report::paint::{Tone, brief};
use crate::report::plan::without_name;
use config::RunConfig;
use stop::Stop;

pub use config::RunArgs;
#[cfg(feature = "sandbox")]
pub use stop::signal as stop_signal;

/// How long passes may go on at the end, so that another replica leads within three seconds. Most
/// take less; what does not is found where it was by the next one.
const PASSES_END: Duration = Duration::from_secs(2);

/// How long requests under way may take to be answered at the end.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

pub async fn run(args: &RunArgs, settings: &Settings) -> Result<Exit, CliError> {
    let config = RunConfig::new(args, settings)?;
    if args.print_config {
        return config.print(args, settings).map(|()| Exit::Done);
    }
    let traces = match &config.otlp_endpoint {
        Some(endpoint) => Some(Traces::open(endpoint)?),
        None => None,
    };
    let usual = match config.once {
        true => Usual::of_people(logs::QUIET),
        false => Usual {
            filter: logs::TELLING,
            service: true,
        },
    };
    logs::init(settings, usual, traces.as_ref());
    let stop = Stop::listen();
    let work = work(&config, settings, &stop);
    let ended = stop
        .bound(work, config::length(&config.shutdown_grace))
        .await;
    if let Some(traces) = traces {
        traces.flush().await;
    }
    ended
}

async fn work(config: &RunConfig, settings: &Settings, stop: &Stop) -> Result<Exit, CliError> {
    let metrics = Metrics::new().map_err(|error| CliError::from_error(&error))?;
    let health = Health::new(config::length(&config.stuck_after));
    let budget = Budget::new(config.budget);
    let registered = budget.register(&metrics.registry());
    registered.map_err(|error| CliError::from_error(&error))?;
    let aws = AwsSettings {
        metrics: Some(metrics.aws()),
        budget: Some(budget),
        ..AwsSettings::default()
    };
    let connection = Connection::open_with(settings, aws).await?;
    // A table that is not there is told before anything is served.
    tokio::select! {
        found = connection.store.installation() => found?,
        () = stop.asked(1) => return Ok(Exit::Done),
    };
    let pages = Pages {
        registry: metrics.registry(),
        health: health.clone(),
    };
    let server = match config.http {
        Some(address) => Some(Server::start(address, pages).await?),
        None => None,
    };
    let decisions =
        (config.once && settings.out.format == Format::Table).then(|| Decisions::new(settings.out));
    let options = ControllerOptions {
        namespace: settings.namespace.clone(),
        resync: config.resync.length(),
        workers: config.workers,
        grace: PASSES_END.min(config::length(&config.shutdown_grace)),
        leases: LeaseOptions {
            shards: config.shards,
            identity: config.identity.clone(),
            ..LeaseOptions::default()
        },
        health,
        metrics: metrics.controller(),
        observer: Some(observer(metrics, decisions)),
        events: config
            .events_queue_url
            .as_ref()
            .map(|url| Queue::new(&connection.aws, url.as_str())),
        ..ControllerOptions::default()
    };
    let controller = Controller::new(connection.reconciler(), options);
    let ended = if config.once {
        tokio::select! {
            summary = controller.run_once() => conclude(&summary?, settings),
            () = stop.asked(1) => {
                controller.release().await;
                Err(CliError::new("stopped before everything was Ready or Stalled"))
            }
        }
    } else {
        controller.run(stop.asked(1)).await?;
        Ok(Exit::Done)
    };
    // Scraped to the end: the last of what was counted is seen.
    if let Some(server) = server {
        server.stop().await;
    }
    ended
}

/// What serves metrics and health, beside the loop.
struct Server {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(address: SocketAddr, pages: Pages) -> Result<Self, CliError> {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            CliError::new(format!("--http: {address} cannot be listened on: {error}"))
        })?;
        if let Ok(address) = listener.local_addr() {
            tracing::info!("serving http://{address}/metrics, /healthz and /readyz");
        }
        let (stop, stopped) = oneshot::channel();
        let stopped = async {
            // Where the sender is gone, so is the loop.
            let _ = stopped.await;
        };
        let task = tokio::spawn(async move {
            if let Err(error) = http::serve(listener, pages, stopped).await {
                tracing::error!("serving metrics ended: {error}");
            }
        });
        Ok(Self { stop, task })
    }

    /// Takes no connection any more, and answers what was asked.
    async fn stop(self) {
        let Self { stop, task } = self;
        drop(stop);
        // Whoever holds a connection open does not keep the process.
        let _ = tokio::time::timeout(LAST_ANSWERS, task).await;
    }
}

fn observer(metrics: Metrics, decisions: Option<Decisions>) -> Observer {
    Arc::new(move |happening| {
        metrics.observe(happening);
        if let Some(decisions) = &decisions {
            decisions.tell(happening);
        }
    })
}

/// One line for each decision: what was done, what waits, what failed.
pub struct Decisions {
    out: Out,
    waiting: Mutex<BTreeSet<String>>,
}

impl Decisions {
    /// Prints to `out`.
    pub fn new(out: Out) -> Self {
        Self {
            out,
            waiting: Mutex::default(),
        }
    }

    fn tell(&self, happening: &Happening) {
        let release = &happening.release;
        match &happening.what {
            What::Acted(action) => {
                let (step, resource) = (action.step.kind(), &action.resource);
                let reason = without_name(&action.reason, resource);
                self.line(&format!("{release}  {step} {resource}: {reason}"));
            }
            What::Passed { plan, .. } => {
                for waiting in &plan.waiting {
                    let reason = without_name(&waiting.reason, &waiting.resource);
                    let line = format!("{release}  waiting {}: {reason}", waiting.resource);
                    let mut told = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                    if told.insert(line.clone()) {
                        self.line(&self.out.paint.tone(Tone::Dim, &line));
                    }
                }
            }
            What::NotDone(message) | What::Failed(message) => {
                self.line(&format!("{release}  failed: {message}"))
            }
            What::Same | What::Gone => {}
        }
    }

    fn line(&self, line: &str) {
        // Nobody who reads on is no reason to stop converging.
        let _ = self.out.line(&brief(line));
    }
}

fn conclude(summary: &Summary, settings: &Settings) -> Result<Exit, CliError> {
    let value = json!({
        "ready": summary.ready.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "stalled": summary.stalled.iter().map(|(key, reason, message)| json!({
            "release": key.to_string(), "reason": reason, "message": message,
        })).collect::<Vec<_>>(),
        "suspended": summary.suspended.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "held": summary.held.iter().map(|(key, reason, message)| json!({
            "release": key.to_string(), "reason": reason, "message": message,
        })).collect::<Vec<_>>(),
    });
    settings.out.print(&value, |paint| {
        let mut text = String::new();
        for key in &summary.ready {
            text.push_str(&format!(
                "release/{key} {}\n",
                paint.tone(Tone::Good, "Ready")
            ));
        }
        for (key, reason, message) in &summary.stalled {
            let word = paint.tone(Tone::Bad, "Stalled");
            text.push_str(&format!("release/{key} {word} {reason}: {message}\n"));
        }
        for key in &summary.suspended {
            text.push_str(&format!("release/{key} suspended\n"));
        }
        for (key, reason, message) in &summary.held {
            let word = paint.tone(Tone::Fair, "held");
            text.push_str(&format!("release/{key} {word} {reason}: {message}\n"));
        }
        text.push_str(&format!(
            "{} Ready, {} Stalled, {} suspended",
            summary.ready.len(),
            summary.stalled.len(),
            summary.suspended.len()
        ));
        if !summary.held.is_empty() {
            text.push_str(&format!(", {} held", summary.held.len()));
        }
        text.push('\n');
        text
    })?;
    Ok(if summary.stalled.is_empty() {
        Exit::Done
    } else {
        Exit::Found
    })
}
