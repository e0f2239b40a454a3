use clap::{CommandFactory as _, FromArgMatches as _};

use super::*;
use crate::cli::args::{Cli, Verb};

fn read(args: &[&str]) -> Result<RunConfig, String> {
    let all = ["evenkeel", "run"].iter().chain(args);
    let matches = Cli::command().try_get_matches_from(all).unwrap();
    let cli = Cli::from_arg_matches(&matches).unwrap();
    let Verb::Run(mut run) = cli.verb else {
        panic!("it is `run`");
    };
    run.came_from(matches.subcommand_matches("run").unwrap());
    RunConfig::new(&run, &Settings::new(cli.global)).map_err(|error| error.render())
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let told = read(&[
        "--workers",
        "0",
        "--resync",
        "9s",
        "--http",
        "8080",
        "--events-queue-url",
        "events",
        "--budget",
        "1.5",
        "--shards",
        "65",
        "--identity",
        "two words",
        "--stuck-after",
        "soon",
        "--shutdown-grace",
        "1h",
        "--otlp-endpoint",
        "127.0.0.1:4317",
    ])
    .unwrap_err();
    insta::assert_snapshot!(told);
}

#[test]
fn the_bounds_themselves_are_right() {
    let least = [
        "--workers=1",
        "--shards=1",
        "--budget=0.001",
        "--resync=10s",
    ];
    assert!(read(&least).is_ok());
    let most = ["--workers=256", "--shards=48", "--budget=1", "--resync=24h"];
    assert!(read(&most).is_ok());
    for wrong in [
        "--workers=257",
        "--workers=1.5",
        "--shards=0",
        "--budget=0",
        "--budget=NaN",
        "--budget=-0.5",
        "--shutdown-grace=900ms",
        "--stuck-after=59s",
        "--identity=",
    ] {
        let told = read(&[wrong]).unwrap_err();
        let name = wrong.split('=').next().unwrap();
        assert!(told.starts_with(&format!("error: {name}: ")), "{told}");
    }
}

#[test]
fn traces_go_where_otlp_puts_them() {
    let endpoint = |url: &str| read(&["--otlp-endpoint", url]).map(|config| config.otlp_endpoint);
    for (url, posted) in [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
        (
            "https://otel.example/x/traces",
            "https://otel.example/x/traces",
        ),
    ] {
        assert_eq!(endpoint(url).unwrap().as_deref(), Some(posted));
    }
    let told = endpoint("https://somebody:s3cr3t@otel.example").unwrap_err();
    assert!(
        told.contains("credentials") && !told.contains("s3cr3t"),
        "{told}"
    );
}

#[test]
fn a_queue_is_named_by_its_whole_url() {
    let url = |url: &str| read(&["--events-queue-url", url]).map(|config| config.events_queue_url);
    for right in [
        "https://sqs.eu-west-1.amazonaws.com/123456789012/evenkeel-events",
        "http://127.0.0.1:4566/123456789012/events.fifo",
    ] {
        assert_eq!(url(right).unwrap().as_deref(), Some(right));
    }
    for wrong in [
        "https://sqs.eu-west-1.amazonaws.com",
        "https://sqs.eu-west-1.amazonaws.com/123456789012/",
        "arn:aws:sqs:eu-west-1:123456789012:evenkeel-events",
        "ftp://sqs.eu-west-1.amazonaws.com/123456789012/events",
    ] {
        assert!(url(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_replica_that_begins_anew_is_another() {
    let identity = || read(&[]).unwrap().identity;
    assert_ne!(identity(), identity());
    assert_eq!(read(&["--identity", "blue"]).unwrap().identity, "blue");
}
