//! The story, chapter by chapter.

use std::time::Duration;

use serde_json::json;

use super::account::{Account, CLUSTER, ENVIRONMENT, HOST, REGION, RELEASE, text};
use super::checks::{Checks, ensure, rule};
use super::stage::Stage;
use crate::aws::Aws;
use crate::cli::apply::{self, Options};
use crate::cli::clock::now;
use crate::cli::connect::Connection;
use crate::cli::drift::look;
use crate::cli::error::{CliError, Exit};
use crate::cli::set;
use crate::cli::settings::Settings;
use crate::controller::{Controller, ControllerOptions, Summary};
use crate::report::drift::DriftState;
use crate::report::paint::Paint;
use crate::resource::manifest::{self, Manifest, Problems};
use crate::resource::meta::ReleaseKey;
use crate::sandbox::{Behavior, Glob, Match, Rule, Rules, Sandbox, SandboxOptions};
use crate::store::EditOptions;

const GOOD: &str = "9d3c2f1";
const BAD: &str = "e5a1bad";
const STRANGER: &str = "someone-elses-rule";

/// Everybody in the story.
struct Cast<'a> {
    stage: &'a Stage,
    paint: Paint,
    account: Account,
    connection: Connection,
    controller: Controller,
    key: ReleaseKey,
}

/// Tells it.
///
/// # Errors
/// When something that should happen did not.
pub async fn tell(stage: &Stage, settings: &Settings) -> Result<Exit, CliError> {
    let mut options = SandboxOptions::at(now());
    options.rules = Rules(vec![migration_succeeds()?]);
    let account = Account::load(Sandbox::new(options))?;
    stage.start(account.sandbox.now());
    stage.title(
        "evenkeel demo: a Rails shop on a simulated AWS account",
        "Nothing leaves this machine. Times are the account's own; they pass as fast as you read.",
    )?;
    let aws = Aws::for_test(account.sandbox.http_client(), REGION);
    let connection = Connection::new(aws, settings, account.clock());
    let cast = Cast {
        stage,
        paint: settings.out.paint,
        controller: Controller::new(connection.reconciler(), options_of(stage)),
        account,
        connection,
        key: ReleaseKey::new("production", "rails"),
    };
    cast.before()?;
    cast.apply().await?;
    cast.converge().await?;
    cast.drift().await?;
    cast.bad_image().await?;
    cast.next()?;
    Ok(Exit::Done)
}

fn options_of(stage: &Stage) -> ControllerOptions {
    ControllerOptions {
        observer: Some(stage.observer()),
        ..ControllerOptions::default()
    }
}

fn migration_succeeds() -> Result<Rule, CliError> {
    Ok(Rule {
        when: Match {
            command: Some(glob("*db:migrate*")?),
            ..Match::default()
        },
        then: Behavior::Exit {
            after: Duration::from_secs(8),
            exit_code: 0,
        },
        log: Some("== AddIndexToOrders: migrated".to_owned()),
    })
}

fn glob(pattern: &str) -> Result<Glob, CliError> {
    pattern.parse().map_err(CliError::new)
}

impl Cast<'_> {
    fn checks(&self) -> Checks<'_> {
        Checks {
            account: &self.account,
            connection: &self.connection,
            key: self.key.clone(),
        }
    }

    fn before(&self) -> Result<(), CliError> {
        self.stage.chapter("The account before")?;
        for name in ["app", "shoryuken"] {
            let service = self.account.service(name)?;
            let definition = crate::report::release::short_arn(&text(&service["taskDefinition"]));
            let images = self.account.images(&definition)?;
            let images = images.join(", ").replace(HOST, "");
            self.stage.block(&format!(
                "service {name:<12} {definition:<20} {} tasks   {}",
                service["desiredCount"], images
            ))?;
        }
        self.stage.block(&format!(
            "rule    {STRANGER}   somebody else's; nobody will declare it"
        ))
    }

    async fn apply(&self) -> Result<(), CliError> {
        self.stage.chapter("What is wanted goes into the table")?;
        self.connection.store.init().await?;
        self.stage
            .hand("evenkeel init && evenkeel apply -f environment.yaml -f release.yaml")?;
        let manifests = example()?;
        let options = Options {
            applier: "demo".to_owned(),
            source: None,
            force: false,
        };
        let applied = apply::apply(&self.connection, &manifests, &options).await?;
        self.stage.block(&apply::table(&applied, self.paint))
    }

    /// One run of the controller until everything is Ready or Stalled.
    async fn run(&self) -> Result<Summary, CliError> {
        Ok(self.controller.run_once().await?)
    }

    async fn converge(&self) -> Result<(), CliError> {
        let stranger = self.account.rule(STRANGER)?;
        self.stage
            .chapter("The controller moves the account there")?;
        self.stage.hand("evenkeel run --once")?;
        self.run().await?;
        self.stage.say("\nAsked of the account and the table:")?;
        let checks = self.checks();
        self.stage.proved(&checks.ready().await?)?;
        self.stage.proved(&checks.resolved(GOOD).await?)?;
        self.stage.proved(&checks.migrated(1)?)?;
        self.stage.proved(&checks.migrated_first()?)?;
        self.stage.proved(&checks.services_run(GOOD)?)?;
        self.stage.proved(&checks.schedules_run(GOOD)?)?;
        self.stage.proved(&checks.untouched(STRANGER, &stranger)?)?;
        self.account.sandbox.reset_calls();
        self.run().await?;
        let (aws, table) = (self.account.writes(), self.account.table_writes());
        ensure(
            aws == 0 && table == 0,
            "the next pass should write nothing",
            format!("{:?}", self.account.sandbox.calls()),
        )?;
        self.stage
            .proved("the next pass wrote nothing: 0 AWS write calls, 0 table writes")
    }

    async fn drift(&self) -> Result<(), CliError> {
        self.stage.chapter("Somebody changes things by hand")?;
        let sweep = rule(&self.key, "sweep-carts");
        let declared = text(&self.account.rule(&sweep)?["ScheduleExpression"]);
        self.stage.hand(&format!(
            "aws events put-rule --name {sweep} --schedule-expression 'rate(1 minute)'"
        ))?;
        let input =
            json!({ "Name": sweep, "ScheduleExpression": "rate(1 minute)", "State": "ENABLED" });
        self.account.call("events", "PutRule", input)?;
        self.stage.hand(
            "aws ecs update-service --service shoryuken --task-definition rails-shoryuken:1",
        )?;
        let input = json!({ "cluster": CLUSTER, "service": "shoryuken", "taskDefinition": "rails-shoryuken:1" });
        self.account.ecs("UpdateService", input)?;
        self.stage.say("Ten minutes later:")?;
        tokio::time::sleep(Duration::from_secs(600)).await;
        self.find_drift().await?;
        self.stage
            .say("\nThe controller puts it right, by the same steps as everything else:")?;
        self.run().await?;
        self.corrected(&sweep, &declared).await
    }

    async fn find_drift(&self) -> Result<(), CliError> {
        self.stage.hand("evenkeel drift rails")?;
        let release = self.checks().release().await?;
        let mut report = look(&self.connection, &[release]).await;
        // Without the registry the lines fit a terminal.
        for one in report
            .items
            .iter_mut()
            .flat_map(|item| &mut item.differences)
        {
            one.desired = one.desired.replace(HOST, "");
            one.actual = one.actual.replace(HOST, "");
        }
        self.stage.block(&report.table(self.paint))?;
        let differs = |resource: &str| {
            report
                .items
                .iter()
                .flat_map(|item| &item.differences)
                .any(|one| one.resource == resource)
        };
        let found = differs("service/shoryuken") && differs("schedule/sweep-carts");
        ensure(
            report.worst() == DriftState::Drifted && found,
            "both changes should be found",
            format!("{:?}", report.items),
        )
    }

    async fn corrected(&self, sweep: &str, declared: &str) -> Result<(), CliError> {
        let checks = self.checks();
        self.stage.say("\nAsked of the account and the table:")?;
        let expression = text(&self.account.rule(sweep)?["ScheduleExpression"]);
        ensure(
            expression == declared,
            "the rule should be as declared",
            &expression,
        )?;
        self.stage
            .proved(&format!("rule {sweep} says {expression} again"))?;
        self.stage
            .proved(&checks.service_runs("shoryuken", GOOD)?)?;
        checks.migrated(1)?;
        self.stage.proved("no migration ran for it")?;
        let release = checks.release().await?;
        let report = look(&self.connection, &[release]).await;
        ensure(
            report.worst() == DriftState::Clean,
            "nothing should differ any more",
            format!("{:?}", report.items),
        )?;
        self.stage.proved("nothing differs any more")?;
        self.stage.proved(&checks.ready().await?)
    }

    async fn bad_image(&self) -> Result<(), CliError> {
        self.stage.chapter("A bad image is released")?;
        self.push_bad_image()?;
        self.stage
            .hand(&format!("evenkeel set image rails app={BAD}"))?;
        let tags = [("app".to_owned(), set::parse_tag(BAD)?)].into();
        let options = EditOptions {
            applier: "demo".to_owned(),
            source: None,
            force: false,
            now: self.connection.now(),
        };
        let applied = set::set_images(&self.connection, &self.key, &tags, &options).await?;
        self.stage.block(&apply::table(&[applied], self.paint))?;
        self.stage.hand("evenkeel run --once")?;
        let summary = self.run().await?;
        ensure(
            summary.stalled.len() == 1,
            "the release should be Stalled",
            format!("{summary:?}"),
        )?;
        self.stage.say("\nAsked of the account and the table:")?;
        let checks = self.checks();
        self.stage.proved(&format!(
            "the table says Stalled: {}",
            checks.stalled().await?
        ))?;
        self.stage.proved(&checks.migrated(2)?)?;
        self.stage.proved(&checks.rolled_back("app")?)?;
        self.stage.proved(&checks.service_runs("app", GOOD)?)?;
        self.stage.proved(&checks.schedules_run(GOOD)?)?;
        self.account.sandbox.reset_calls();
        tokio::time::sleep(Duration::from_secs(3600)).await;
        self.run().await?;
        let again = self.account.count("ecs.UpdateService");
        ensure(
            again == 0,
            "a rejected revision should not be tried again",
            again,
        )?;
        self.stage
            .proved("an hour later the bad image has not been tried again")?;
        self.stage
            .proved(&format!("and {}", checks.services_run(GOOD)?))
    }

    /// A new build whose web processes end as soon as they start; its migrations are in order.
    fn push_bad_image(&self) -> Result<(), CliError> {
        self.stage.hand(&format!(
            "docker push .../rails/app:{BAD}        # crashes at boot"
        ))?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "size": 1469,
                "digest": format!("sha256:{}", "bad0".repeat(16)),
            },
            "layers": [],
        });
        let input = json!({
            "repositoryName": "rails/app",
            "imageTag": BAD,
            "imageManifest": manifest.to_string(),
        });
        self.account.call("ecr", "PutImage", input)?;
        let crash = Rule {
            when: Match {
                image: Some(glob(&format!("rails/app:{BAD}"))?),
                group: Some(glob("service:*")?),
                ..Match::default()
            },
            then: Behavior::Crash {
                after: Duration::from_secs(5),
                exit_code: 1,
            },
            log: Some("KeyError: key not found: \"PAYMENTS_URL\"".to_owned()),
        };
        self.account
            .sandbox
            .set_rules(Rules(vec![crash, migration_succeeds()?]));
        Ok(())
    }

    fn next(&self) -> Result<(), CliError> {
        self.stage.chapter("Try it yourself")?;
        self.stage.say(NEXT)
    }
}

const NEXT: &str = "\
In one terminal:
  evenkeel sandbox --load tests/fixtures/examples/rails/account.json --speed 20
In another, after the three `export` lines that it prints:
  evenkeel init
  evenkeel apply -f tests/fixtures/examples/rails
  evenkeel plan rails
  evenkeel run --once
  evenkeel get rails
  evenkeel drift
The README has the tour, and how to point it at a real account.";

fn example() -> Result<Vec<Manifest>, CliError> {
    let mut manifests = Vec::new();
    let mut problems = Vec::new();
    for (file, text) in [("environment.yaml", ENVIRONMENT), ("release.yaml", RELEASE)] {
        let (read, wrong) = manifest::parse(file, text);
        manifests.extend(read);
        problems.extend(wrong);
    }
    if problems.is_empty() {
        Ok(manifests)
    } else {
        Err(CliError::from_error(&Problems(problems)))
    }
}
