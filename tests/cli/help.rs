//! Help is part of the interface: what it says is reviewed as snapshots.

use clap::CommandFactory as _;
use evenkeel::cli::args::Cli;

use crate::support::run;

/// Every verb, and every verb that has verbs below it.
const VERBS: [&str; 29] = [
    "init",
    "validate",
    "apply",
    "get",
    "plan",
    "run",
    "wait",
    "drift",
    "set",
    "set image",
    "history",
    "rollback",
    "approve",
    "retry",
    "migration",
    "migration list",
    "migration resolve",
    "migration retry",
    "migration stop",
    "migration logs",
    "logs",
    "suspend",
    "resume",
    "delete",
    "schema",
    "sandbox",
    "demo",
    "completions",
    "version",
];

#[test]
fn help_of_the_program() {
    insta::assert_snapshot!(run(&["--help"]).shown());
}

#[test]
fn help_of_every_verb() {
    for verb in VERBS {
        let mut args: Vec<&str> = verb.split(' ').collect();
        args.push("-h");
        let ended = run(&args);
        let shown = ended.shown();
        // The options of every verb are in the program's own help.
        let (own, rest) = shown
            .split_once("\nGlobal options:")
            .expect("every verb has them");
        let (_, after) = rest.split_once("\n\n").expect("something follows them");
        insta::assert_snapshot!(verb.replace(' ', "_"), format!("{own}\n{after}"));
        assert!(
            shown.contains("Examples:"),
            "{verb} has no examples: {shown}"
        );
    }
}

#[test]
fn every_verb_is_looked_at() {
    let mut all = Vec::new();
    for verb in Cli::command().get_subcommands() {
        all.push(verb.get_name().to_owned());
        let below = verb.get_subcommands();
        all.extend(below.map(|one| format!("{} {}", verb.get_name(), one.get_name())));
    }
    let missing: Vec<_> = all
        .iter()
        .filter(|verb| !VERBS.contains(&verb.as_str()))
        .collect();
    assert!(missing.is_empty(), "no help snapshot: {missing:?}");
}

#[test]
fn every_option_has_an_environment_variable() {
    fn look(command: &clap::Command, found: &mut Vec<String>) {
        for arg in command.get_arguments() {
            let Some(long) = arg.get_long() else { continue };
            if ["help", "version"].contains(&long) {
                continue;
            }
            let name = arg
                .get_env()
                .map(|name| name.to_string_lossy().into_owned());
            if !name.is_some_and(|name| name.starts_with("EVENKEEL_")) {
                found.push(format!("{} --{long}", command.get_name()));
            }
        }
        command
            .get_subcommands()
            .for_each(|command| look(command, found));
    }
    let mut command = Cli::command();
    command.build();
    let mut without = Vec::new();
    look(&command, &mut without);
    assert!(without.is_empty(), "no environment variable: {without:?}");
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}
