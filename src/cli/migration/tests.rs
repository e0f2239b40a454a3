use super::*;
use crate::resource::meta::{API_VERSION, Kind, Object, ObjectMeta};
use crate::resource::release::{Migration, ReleaseSpec};
use crate::resource::status::{MigrationStatus, ReleaseStatus};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn release() -> Release {
    Object {
        api_version: API_VERSION.to_owned(),
        kind: Kind::Release,
        metadata: ObjectMeta {
            name: "rails".to_owned(),
            namespace: Some("production".to_owned()),
            ..ObjectMeta::default()
        },
        spec: ReleaseSpec {
            migrations: vec![Migration {
                name: "db".to_owned(),
                ..Migration::default()
            }],
            ..ReleaseSpec::default()
        },
        status: Some(ReleaseStatus {
            migrations: vec![MigrationStatus {
                name: "db".to_owned(),
                run_key: Some("k1".to_owned()),
                ..MigrationStatus::default()
            }],
            ..ReleaseStatus::default()
        }),
    }
}

fn run(key: &str, state: RunState) -> MigrationRun {
    MigrationRun {
        hook: false,
        version: 1,
        migration: "db".to_owned(),
        run_key: key.to_owned(),
        revision: 3,
        attempt: 1,
        state,
        cluster: "main".to_owned(),
        started_by: "evenkeel/k1".to_owned(),
        client_token: "token".to_owned(),
        containers: Vec::new(),
        logs: Default::default(),
        log_regions: Default::default(),
        intended_at: at("2026-03-01T10:00:00Z"),
        timeout_seconds: 900,
        task_arn: Some("arn:aws:ecs:eu-west-1:123456789012:task/main/0123".to_owned()),
        started_at: Some(at("2026-03-01T10:00:01Z")),
        stop: None,
        finished_at: Some(at("2026-03-01T10:00:31Z")),
        exit_code: Some(3),
        stop_code: Some("EssentialContainerExited".to_owned()),
        stopped_reason: Some("Essential container in task exited".to_owned()),
        log_stream: None,
        message: None,
        refusals: 0,
    }
}

fn ledger(runs: Vec<MigrationRun>) -> Ledger {
    Ledger {
        migrations: runs,
        ..Ledger::default()
    }
}

fn answer(state: RunState, ask: Ask) -> Result<(), String> {
    sensible(&release(), &ledger(vec![run("k1", state)]), "db", ask).map_err(|error| error.render())
}

#[test]
fn what_the_controller_would_not_carry_out_is_refused_at_once() {
    for (state, ask, word) in [
        (RunState::Started, Ask::Retry, "still runs"),
        (RunState::Intended, Ask::Retry, "still runs"),
        (RunState::Succeeded, Ask::Retry, "epoch"),
        (RunState::Succeeded, Ask::Succeeded, "not Unknown"),
        (RunState::Failed, Ask::Succeeded, "known to have failed"),
        (RunState::Failed, Ask::Stop, "nothing to stop"),
        (RunState::Retry, Ask::Retry, "already"),
    ] {
        let error = answer(state, ask).expect_err(word);
        assert!(error.contains(word), "{state:?} {ask:?}: {error}");
    }
}

#[test]
fn what_makes_sense_is_asked() {
    for (state, ask) in [
        (RunState::Failed, Ask::Retry),
        (RunState::Unknown, Ask::Retry),
        (RunState::Unknown, Ask::Succeeded),
        (RunState::Unknown, Ask::RetryUnknown),
        (RunState::Started, Ask::Stop),
    ] {
        assert_eq!(answer(state, ask), Ok(()), "{state:?} {ask:?}");
    }
}

#[test]
fn an_old_failure_is_not_what_is_retried() {
    let old = ledger(vec![run("k0", RunState::Failed)]);
    let error = sensible(&release(), &old, "db", Ask::Retry)
        .unwrap_err()
        .render();
    assert!(error.contains("has not run yet"), "{error}");
}

#[test]
fn a_wrong_name_is_told_with_the_right_ones() {
    let error = sensible(&release(), &Ledger::default(), "dbb", Ask::Retry)
        .unwrap_err()
        .render();
    assert!(
        error.contains("no migration `dbb`") && error.contains("its migrations are: db"),
        "{error}"
    );
}

#[test]
fn the_table_shows_how_each_run_ended() {
    let (failed, good) = (run("k1", RunState::Failed), run("k0", RunState::Succeeded));
    let row = |run| Row {
        namespace: "production",
        release: "rails",
        run,
    };
    let good = MigrationRun {
        exit_code: Some(0),
        ..good
    };
    insta::assert_snapshot!(table(&[row(&good), row(&failed)], at("2026-03-01T10:05:00Z"), Paint::default()), @r"
    NAMESPACE    RELEASE   MIGRATION   STATE       REVISION   ATTEMPT   EXIT   STARTED     TOOK   RUN KEY   DETAIL
    production   rails     db          Succeeded   3          1         0      4m59s ago   30s    k0        -
    production   rails     db          Failed      3          1         3      4m59s ago   30s    k1        EssentialContainerExited, Essential container in task exited
    ");
}
