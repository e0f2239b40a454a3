//! `sandbox`: an AWS endpoint on this machine.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use jiff::SignedDuration;
use tokio::net::TcpListener;

use super::clock::now;
use super::error::{CliError, Exit};
use super::run::stop_signal;
use super::settings::Settings;
use crate::sandbox::{self, AccountCall, Glob, Rules, Sandbox, SandboxOptions, parse_account};

/// Where the account lies when nothing says otherwise.
const DEFAULT_REGION: &str = "us-east-1";

#[derive(Debug, Args)]
#[command(after_help = "\
Plays DynamoDB, ECS, ECR, EventBridge, CloudWatch's alarms and logs, SQS and STS for account
123456789012; any credentials do. Works with evenkeel, the AWS CLI and every SDK. Everything is
forgotten when it ends.

An account file is a JSON list of {\"service\", \"operation\", \"input\"}: calls made at the start.
A rules file is a JSON list that says what tasks do; the first match wins:
  [{\"when\": {\"image\": \"rails/app:bad*\"}, \"then\": {\"crash\": {\"after\": \"5s\"}}},
   {\"when\": {\"command\": \"*db:migrate*\"}, \"then\": {\"exit\": {\"after\": \"8s\", \"exitCode\": 0}}}]
`when` takes image, command, family, container and group; `then` is one of healthy, crash, exit,
cannotPull, neverStarts, unhealthy and cannotPlace; `log` beside them is what the container writes.
A rule with `stage` is about a stage of a service's blue/green, linear or canary deployment:
  [{\"when\": {\"stage\": \"BAKE_TIME\"}, \"then\": {\"stage\": {\"fails\": {\"reason\": \"errors\"}}}}]
or `hooks`: {\"status\": \"FAILED\"}, `takes`: {\"after\": \"1h\"}, `shows`: {\"stage\": \"NEW\"}.

While it runs: GET /_sandbox/calls counts calls, /_sandbox/log shows them, PUT /_sandbox/rules and
/_sandbox/settings change it, POST /_sandbox/advance {\"by\": \"10m\"} lets time pass.

Examples:
  evenkeel sandbox --load account.json
  evenkeel sandbox --listen 127.0.0.1:0 --load account.json --rules rules.json --speed 20")]
pub struct SandboxArgs {
    /// Address to listen on; port 0 takes a free one
    #[arg(
        long,
        env = "EVENKEEL_SANDBOX_LISTEN",
        hide_env_values = true,
        default_value = "127.0.0.1:4566",
        value_name = "ADDRESS"
    )]
    listen: SocketAddr,
    /// Account file to begin with; may be given more than once
    #[arg(
        long,
        env = "EVENKEEL_SANDBOX_LOAD",
        hide_env_values = true,
        value_name = "PATH"
    )]
    load: Vec<PathBuf>,
    /// Region of the account files: by default the one that their images name, else us-east-1
    #[arg(
        long,
        env = "EVENKEEL_SANDBOX_REGION",
        hide_env_values = true,
        value_name = "REGION"
    )]
    region: Option<String>,
    /// Rules file: what tasks do
    #[arg(
        long,
        env = "EVENKEEL_SANDBOX_RULES",
        hide_env_values = true,
        value_name = "PATH"
    )]
    rules: Option<PathBuf>,
    /// How many of its seconds pass in one of ours
    #[arg(long, env = "EVENKEEL_SANDBOX_SPEED", hide_env_values = true, default_value_t = 1.0,
          value_parser = speed, value_name = "N")]
    speed: f64,
    /// How long a write stays invisible to reads, as with the real thing: 2s, 500ms
    #[arg(long, env = "EVENKEEL_SANDBOX_READ_DELAY", hide_env_values = true, default_value = "0s",
          value_parser = delay, value_name = "TIME")]
    read_delay: Duration,
    /// Throttle calls as AWS does
    #[arg(long, env = "EVENKEEL_SANDBOX_THROTTLE", hide_env_values = true,
          value_parser = BoolishValueParser::new())]
    throttle: bool,
    /// Deny these actions: ecs:UpdateService, ecr:*; may be given more than once
    #[arg(
        long,
        env = "EVENKEEL_SANDBOX_DENY",
        hide_env_values = true,
        value_name = "ACTION"
    )]
    deny: Vec<Glob>,
    /// Listen on an address that other machines reach. Whoever reaches it may do anything to it
    #[arg(long, env = "EVENKEEL_SANDBOX_ALLOW_REMOTE", hide_env_values = true,
          value_parser = BoolishValueParser::new())]
    allow_remote: bool,
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if speed.is_finite() && speed > 0.0 && speed <= 10_000.0 => Ok(speed),
        _ => Err("write a number above 0, at most 10000".to_owned()),
    }
}

fn delay(text: &str) -> Result<Duration, String> {
    text.parse::<SignedDuration>()
        .ok()
        .and_then(|length| Duration::try_from(length).ok())
        .ok_or_else(|| "write a length of time such as 2s or 500ms".to_owned())
}

pub async fn run(args: &SandboxArgs, settings: &Settings) -> Result<Exit, CliError> {
    if !args.listen.ip().is_loopback() && !args.allow_remote {
        return Err(CliError::new(format!(
            "{} can be reached from other machines, and the sandbox asks nobody who they are",
            args.listen.ip()
        ))
        .help("listen on 127.0.0.1, or say --allow-remote"));
    }
    let (sandbox, region) = prepare(args)?;
    let listener = TcpListener::bind(args.listen).await.map_err(|error| {
        CliError::new(format!("{} cannot be listened on: {error}", args.listen))
            .help("--listen 127.0.0.1:0 takes a free port")
    })?;
    let address = listener
        .local_addr()
        .map_err(|error| CliError::from_error(&error))?;
    settings.out.text(&welcome(address, &region))?;
    sandbox::serve(listener, sandbox, stop_signal())
        .await
        .map_err(|error| CliError::new(format!("the sandbox stopped: {error}")))?;
    Ok(Exit::Done)
}

fn welcome(address: SocketAddr, region: &str) -> String {
    format!(
        "listening on http://{address}\n\
         In another terminal:\n\
         \x20 export AWS_ENDPOINT_URL=http://{address}\n\
         \x20 export AWS_REGION={region} AWS_DEFAULT_REGION={region}\n\
         \x20 export AWS_ACCESS_KEY_ID=sandbox AWS_SECRET_ACCESS_KEY=sandbox\n\
         Ctrl-C ends it, and everything in it.\n"
    )
}

fn prepare(args: &SandboxArgs) -> Result<(Sandbox, String), CliError> {
    let mut options = SandboxOptions::at(now());
    options.speed = args.speed;
    options.settings.read_delay = args.read_delay;
    options.settings.throttle = args.throttle;
    options.settings.deny = args.deny.clone();
    if let Some(path) = &args.rules {
        options.rules = rules(path)?;
    }
    let mut files = Vec::new();
    for path in &args.load {
        let calls = parse_account(&read(path)?).map_err(|error| {
            CliError::new(format!("{} is no account file: {error}", path.display()))
        })?;
        files.push((path, calls));
    }
    let region = match &args.region {
        Some(region) => region.clone(),
        None => region_of(files.iter().flat_map(|(_, calls)| calls))
            .unwrap_or_else(|| DEFAULT_REGION.to_owned()),
    };
    let sandbox = Sandbox::new(options);
    for (path, calls) in &files {
        sandbox.load_account(calls, &region).map_err(|error| {
            CliError::new(format!(
                "calls of {} were refused:\n{error}",
                path.display()
            ))
        })?;
    }
    Ok((sandbox, region))
}

fn rules(path: &Path) -> Result<Rules, CliError> {
    serde_json::from_str(&read(path)?)
        .map_err(|error| CliError::new(format!("{} is no rules file: {error}", path.display())))
}

fn read(path: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(path)
        .map_err(|error| CliError::new(format!("{} cannot be read: {error}", path.display())))
}

/// The Region that the ECR images of the calls name, if it is one and the same.
pub fn region_of<'a>(calls: impl Iterator<Item = &'a AccountCall>) -> Option<String> {
    let mut regions: Vec<String> = Vec::new();
    for call in calls {
        let text = serde_json::to_string(&call.input).unwrap_or_default();
        for part in text.split(".dkr.ecr.").skip(1) {
            let region = part.split('.').next().unwrap_or_default().to_owned();
            if !region.is_empty() && !regions.contains(&region) {
                regions.push(region);
            }
        }
    }
    match regions.as_slice() {
        [one] => Some(one.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_the_one_that_images_name() {
        let of = |text: &str| region_of(parse_account(text).unwrap().iter());
        let call = |host: &str| {
            format!(r#"{{"service":"ecs","operation":"X","input":{{"image":"{host}/app:1"}}}}"#)
        };
        let tokyo = call("1.dkr.ecr.ap-northeast-1.amazonaws.com");
        let dublin = call("1.dkr.ecr.eu-west-1.amazonaws.com");
        assert_eq!(
            of(&format!("[{tokyo},{tokyo}]")).as_deref(),
            Some("ap-northeast-1")
        );
        assert_eq!(of(&format!("[{tokyo},{dublin}]")), None);
        assert_eq!(of("[]"), None);
    }

    #[test]
    fn speeds_that_make_no_sense_are_refused() {
        assert_eq!(speed("20"), Ok(20.0));
        for wrong in ["0", "-1", "NaN", "inf", "fast"] {
            assert!(speed(wrong).is_err(), "{wrong}");
        }
        assert_eq!(delay("500ms"), Ok(Duration::from_millis(500)));
        assert!(delay("-1s").is_err());
    }
}
