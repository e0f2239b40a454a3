//! `run`: the controller.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use clap::builder::BoolishValueParser;
use serde_json::json;
use tokio::net::TcpListener;

use super::connect::Connection;
use super::error::{CliError, Exit};
use super::out::{Format, Out};
use super::settings::Settings;
use crate::controller::{Controller, ControllerOptions, Happening, Observer, Summary, What};
use crate::http::{self, Metrics};
use crate::report::paint::{Tone, brief};
use crate::report::plan::without_name;
use crate::resource::duration::Span;

#[derive(Debug, Args)]
#[command(after_help = "\
Run one controller for each table. SIGTERM and Ctrl-C end it between two steps; whatever was under
way is found again at the next start.

Exit code with --once: 0 everything is Ready, 1 something is Stalled, 2 an error.

Examples:
  evenkeel run --http 127.0.0.1:8080         serve /metrics and /healthz beside it
  evenkeel run --once                        work until everything is Ready or Stalled
  evenkeel run -n production --resync 1m     one environment, looked at every minute")]
pub struct RunArgs {
    /// Work until every release is Ready, Stalled or suspended, then end
    #[arg(long, env = "EVENKEEL_RUN_ONCE", hide_env_values = true,
          value_parser = BoolishValueParser::new())]
    pub once: bool,
    /// How long after a release settled it is looked at again
    #[arg(long, env = "EVENKEEL_RUN_RESYNC", hide_env_values = true, default_value = "5m",
          value_parser = Span::parse, value_name = "TIME")]
    resync: Span,
    /// Serve /metrics and /healthz on this address
    #[arg(
        long,
        env = "EVENKEEL_RUN_HTTP",
        hide_env_values = true,
        value_name = "ADDRESS"
    )]
    http: Option<SocketAddr>,
}

pub async fn run(args: &RunArgs, settings: &Settings) -> Result<Exit, CliError> {
    let metrics = Metrics::new().map_err(|error| CliError::from_error(&error))?;
    let connection = Connection::open_with(settings, Some(metrics.aws())).await?;
    // A table that is not there is told before anything is served.
    connection.store.installation().await?;
    if let Some(address) = args.http {
        serve(address, &metrics).await?;
    }
    let decisions =
        (args.once && settings.out.format == Format::Table).then(|| Decisions::new(settings.out));
    let options = ControllerOptions {
        namespace: settings.namespace.clone(),
        resync: args.resync.length(),
        observer: Some(observer(metrics, decisions)),
        ..ControllerOptions::default()
    };
    let controller = Controller::new(connection.reconciler(), options);
    if !args.once {
        controller.run(stop_signal()).await?;
        return Ok(Exit::Done);
    }
    tokio::select! {
        summary = controller.run_once() => conclude(&summary?, settings),
        () = stop_signal() => Err(CliError::new("stopped before everything was Ready or Stalled")),
    }
}

async fn serve(address: SocketAddr, metrics: &Metrics) -> Result<(), CliError> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| CliError::new(format!("{address} cannot be listened on: {error}")))?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!("serving http://{address}/metrics and /healthz");
    }
    let registry = metrics.registry();
    tokio::spawn(async move {
        if let Err(error) = http::serve(listener, registry, std::future::pending()).await {
            tracing::error!("serving metrics ended: {error}");
        }
    });
    Ok(())
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
            What::Gone => self.line(&format!("{release}  gone")),
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
        text.push_str(&format!(
            "{} Ready, {} Stalled, {} suspended\n",
            summary.ready.len(),
            summary.stalled.len(),
            summary.suspended.len()
        ));
        text
    })?;
    Ok(if summary.stalled.is_empty() {
        Exit::Done
    } else {
        Exit::Found
    })
}

/// Resolves when the process is asked to end.
pub async fn stop_signal() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                () = interrupt => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    interrupt.await;
}
