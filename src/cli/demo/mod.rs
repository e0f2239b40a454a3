//! `demo`: sandbox, controller and the Rails example, from start to finish.
//!
//! Time is virtual: tokio's clock is paused and moves when everybody waits, so that half an hour
//! of rollouts takes seconds, and every run tells the same story. What is claimed at the end of a
//! chapter is asked of the account and of the table, not of what the controller said.

mod account;
mod checks;
mod stage;
mod story;

use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::error::{CliError, Exit};
use super::logs;
use super::settings::Settings;
use stage::Stage;

#[derive(Debug, Args)]
#[command(after_help = "\
Needs no AWS account, no network and no Docker. Exit code 0 only if everything that it tells really
happened.

Examples:
  evenkeel demo
  evenkeel demo --fast > demo.txt")]
pub struct DemoArgs {
    /// Do not wait between the lines for a person to read them
    #[arg(long, env = "EVENKEEL_DEMO_FAST", hide_env_values = true,
          value_parser = BoolishValueParser::new())]
    fast: bool,
}

/// How long a line stands before the next one, where a person reads along.
const LINE: Duration = Duration::from_millis(110);

pub fn run(args: &DemoArgs, settings: &Settings) -> Result<Exit, CliError> {
    logs::init(settings, logs::Usual::of_people("error"), None);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .map_err(|error| CliError::new(format!("the demo could not be started: {error}")))?;
    let pace = if args.fast || !settings.out.terminal {
        Duration::ZERO
    } else {
        LINE
    };
    let stage = Stage::new(settings.out, pace);
    runtime.block_on(story::tell(&stage, settings))
}
