//! The account: every service's state, by Region, under one time.

mod schedules;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::access;
use super::clock::Clock;
use super::cloudfront::CloudFront;
use super::cloudwatch::CloudWatch;
use super::codedeploy::CodeDeploy;
use super::codepipeline::CodePipeline;
use super::cx::{Cx, Ids, ImageLookup, Images};
use super::dynamodb::Tables;
use super::ecr::Registries;
use super::ecs::Ecs;
use super::events::Events;
use super::fault::Fault;
use super::firing::{Clockwork, Firing};
use super::lambda::Lambda;
use super::log::Log;
use super::logs::Logs;
use super::notice::Notice;
use super::rules::Rules;
use super::scheduler::Scheduler;
use super::secrets_manager::SecretsManager;
use super::settings::Settings;
use super::sns::Sns;
use super::sqs::Sqs;
use super::ssm::Ssm;
use super::sts::Sts;
use super::throttle::Throttle;
use super::webhooks::Webhooks;
use super::wire::Call;

/// All that the simulated account is.
pub(super) struct World {
    pub settings: Settings,
    pub rules: Rules,
    pub log: Log,
    pub webhooks: Webhooks,
    clock: Clock,
    ids: Ids,
    ecs: BTreeMap<String, Ecs>,
    registries: Registries,
    events: BTreeMap<String, Events>,
    queues: BTreeMap<String, Sqs>,
    topics: BTreeMap<String, Sns>,
    alarms: BTreeMap<String, CloudWatch>,
    logs: BTreeMap<String, Logs>,
    parameters: BTreeMap<String, Ssm>,
    secrets: BTreeMap<String, SecretsManager>,
    tables: BTreeMap<String, Tables>,
    functions: BTreeMap<String, Lambda>,
    cloudfront: CloudFront,
    deployers: BTreeMap<String, CodeDeploy>,
    pipelines: BTreeMap<String, CodePipeline>,
    sts: Sts,
    throttle: Throttle,
    schedulers: BTreeMap<String, Scheduler>,
    clockworks: BTreeMap<String, Clockwork>,
    /// What fired.
    pub fired: Vec<Firing>,
}

/// The surroundings of a call that pulls nothing: the registry is the very thing it changes.
struct NoImages;

impl Images for NoImages {
    fn lookup(&self, _: &str) -> ImageLookup {
        ImageLookup::Foreign
    }
}

impl World {
    /// An empty account.
    pub fn new(clock: Clock, settings: Settings, rules: Rules) -> Self {
        let registries = Registries {
            account: settings.account.clone(),
            ..Registries::default()
        };
        Self {
            settings,
            rules,
            log: Log::default(),
            webhooks: Webhooks::default(),
            clock,
            ids: Ids::default(),
            ecs: BTreeMap::new(),
            registries,
            events: BTreeMap::new(),
            queues: BTreeMap::new(),
            topics: BTreeMap::new(),
            alarms: BTreeMap::new(),
            logs: BTreeMap::new(),
            parameters: BTreeMap::new(),
            secrets: BTreeMap::new(),
            tables: BTreeMap::new(),
            functions: BTreeMap::new(),
            cloudfront: CloudFront::default(),
            deployers: BTreeMap::new(),
            pipelines: BTreeMap::new(),
            sts: Sts::default(),
            throttle: Throttle::default(),
            schedulers: BTreeMap::new(),
            clockworks: BTreeMap::new(),
            fired: Vec::new(),
        }
    }

    /// A new request id.
    pub fn request_id(&mut self) -> String {
        self.ids.uuid()
    }

    /// Moves time forward, answers the call, and writes it down. Calls of AWS clients (`client`)
    /// are counted, and are throttled and denied as the settings say; others are not.
    pub fn handle(&mut self, call: &Call, client: bool) -> Result<Value, Fault> {
        let now = self.clock.now();
        self.advance(now);
        let account = &self.settings.account;
        let principal = self.sts.principal(account, call.access_key.as_deref());
        let outcome = self.answer(now, call, client);
        self.note_schedules(now);
        self.send_events(now);
        if let Err(fault) = &outcome
            && matches!(fault.code, "UnknownOperationException" | "InvalidAction")
        {
            tracing::warn!(
                service = call.service,
                operation = call.operation,
                "the sandbox does not know this operation"
            );
        }
        self.log.add(now, call, principal, client, &outcome);
        outcome
    }

    /// Lets happen what was due by `now`.
    pub fn advance(&mut self, now: Timestamp) {
        self.note_schedules(now);
        while let Some(at) = self.next_firing().filter(|at| *at <= now) {
            self.advance_services(at);
            self.fire(at);
        }
        self.advance_services(now);
    }

    fn advance_services(&mut self, now: Timestamp) {
        for (region, ecs) in &mut self.ecs {
            let listened = self.events.get(region).is_some_and(Events::listens);
            ecs.notices.wanted = listened;
            let mut cx = Cx {
                now,
                account: &self.settings.account,
                region,
                principal: self.sts.principal(&self.settings.account, None),
                rules: &self.rules,
                settings: &self.settings,
                ids: &mut self.ids,
                images: &self.registries,
            };
            match self.deployers.get_mut(region).filter(|it| it.is_busy()) {
                Some(deployer) => {
                    deployer.notices.wanted = listened;
                    deployer.advance(&mut cx, ecs);
                }
                None => ecs.advance(&mut cx),
            }
        }
        self.send_events(now);
    }

    /// Sends what the services told EventBridge on to queues.
    fn send_events(&mut self, now: Timestamp) {
        self.write_logs();
        self.note_hooks();
        self.send_messages(now);
        let mut told: Vec<(String, Notice)> = Vec::new();
        let mut collect = |region: &String, notices: Vec<Notice>| {
            told.extend(notices.into_iter().map(|notice| (region.clone(), notice)));
        };
        for (region, ecs) in &mut self.ecs {
            collect(region, ecs.notices.take());
        }
        for (region, ecr) in &mut self.registries.regions {
            collect(region, ecr.notices.take());
        }
        for (region, deployer) in &mut self.deployers {
            collect(region, deployer.notices.take());
        }
        for (region, events) in &mut self.events {
            collect(region, std::mem::take(&mut events.put));
        }
        for (region, notice) in told {
            let at = notice.at;
            let event = notice.event(&self.ids.uuid(), &self.settings.account, &region);
            self.send_event(now, at, &region, &event);
        }
    }

    /// Brings what containers said to their log streams.
    fn write_logs(&mut self) {
        for (region, ecs) in &mut self.ecs {
            for said in ecs.said.drain(..) {
                let region = said.region.clone().unwrap_or_else(|| region.clone());
                self.logs.entry(region).or_default().say(said);
            }
        }
    }

    /// Counts the hooks of deployments among what was invoked.
    fn note_hooks(&mut self) {
        for (region, deployer) in &mut self.deployers {
            if deployer.invoked.is_empty() {
                continue;
            }
            let functions = self.functions.entry(region.clone()).or_default();
            functions.invoked.append(&mut deployer.invoked);
        }
    }

    /// Sends an event that happened `at` a time to the queues of those rules that it matches.
    fn send_event(&mut self, now: Timestamp, at: Timestamp, region: &str, event: &Value) {
        let Some(events) = self.events.get(region) else {
            return;
        };
        let delivery = self.settings.delivery.clone();
        for (arn, body) in events.route(event) {
            if self.ids.happens(delivery.drop) {
                continue;
            }
            let copies = if self.ids.happens(delivery.duplicate) {
                2
            } else {
                1
            };
            for _ in 0..copies {
                let mut visible = at;
                if !delivery.delay.is_zero() {
                    let part = delivery.delay.mul_f64(self.ids.chance());
                    visible = at.saturating_add(part).unwrap_or(Timestamp::MAX);
                }
                self.deliver(now, &arn, &body, visible);
            }
        }
    }

    /// Puts a message into a queue; without such a queue it is lost.
    fn deliver(&mut self, now: Timestamp, arn: &str, body: &str, visible: Timestamp) {
        // arn:aws:sqs:REGION:ACCOUNT:NAME
        let mut parts = arn.split(':').skip(3);
        let (Some(region), Some(name)) = (parts.next(), parts.nth(1)) else {
            return;
        };
        let Some(queues) = self.queues.get_mut(region) else {
            return;
        };
        let mut cx = Cx {
            now,
            account: &self.settings.account,
            region,
            principal: String::new(),
            rules: &self.rules,
            settings: &self.settings,
            ids: &mut self.ids,
            images: &NoImages,
        };
        queues.deliver(&mut cx, name, body, visible);
    }

    /// Brings what was published to the queues that are subscribed.
    fn send_messages(&mut self, now: Timestamp) {
        let topics = self.topics.values_mut();
        let sent: Vec<_> = topics.flat_map(|it| std::mem::take(&mut it.sent)).collect();
        for (arn, body) in sent {
            self.deliver(now, &arn, &body, now);
        }
    }

    /// Puts an event on the bus.
    pub fn put_event(&mut self, region: &str, event: &Value) {
        let now = self.clock.now();
        self.advance(now);
        self.send_event(now, now, region, event);
    }

    /// Until when a call waits for messages; `None` for calls that do not.
    pub fn poll_until(&self, call: &Call) -> Option<Timestamp> {
        if !is_poll(call) {
            return None;
        }
        let patience = self.queues.get(&call.region)?.patience(&call.input);
        let until = self.clock.now().checked_add(patience);
        (patience > SignedDuration::ZERO).then(|| until.unwrap_or(Timestamp::MAX))
    }

    /// Moves time forward and answers a poll that was admitted and written down before.
    pub fn look_again(&mut self, call: &Call) -> Result<Value, Fault> {
        let now = self.clock.now();
        self.advance(now);
        let mut cx = Cx {
            now,
            account: &self.settings.account,
            region: &call.region,
            principal: String::new(),
            rules: &self.rules,
            settings: &self.settings,
            ids: &mut self.ids,
            images: &NoImages,
        };
        let queues = self.queues.entry(call.region.clone()).or_default();
        queues.call(&mut cx, &call.operation, &call.input)
    }

    /// How long a call takes until it is answered.
    pub fn takes(&self, call: &Call) -> Duration {
        let functions = self.functions.get(&call.region);
        let functions = functions.filter(|_| call.service == "lambda");
        functions.map_or(Duration::ZERO, |it| it.takes(&call.operation, &call.input))
    }

    /// What functions were invoked with, oldest first.
    pub fn invoked(&self) -> Vec<(String, Value)> {
        let all = self.functions.values();
        all.flat_map(|functions| functions.invoked.clone())
            .collect()
    }

    /// When a message of the polled queue can be received.
    pub fn next_visible(&self, call: &Call) -> Option<Timestamp> {
        self.queues.get(&call.region)?.next_visible(&call.input)
    }

    /// When the next thing happens by itself.
    pub fn next_event(&self) -> Option<Timestamp> {
        let ecs = self.ecs.values().filter_map(Ecs::next_event);
        let deployers = self.deployers.values().filter_map(CodeDeploy::next_event);
        ecs.chain(deployers).min()
    }

    /// Makes a rule that an AWS service owns.
    pub fn put_managed_rule(&mut self, region: &str, name: &str, owner: &str, schedule: &str) {
        let cx = Cx {
            now: self.clock.now(),
            account: &self.settings.account,
            region,
            principal: String::new(),
            rules: &self.rules,
            settings: &self.settings,
            ids: &mut self.ids,
            images: &NoImages,
        };
        self.events
            .entry(region.to_owned())
            .or_default()
            .put_managed_rule(&cx, name, owner, schedule);
    }

    /// Ends the open shards of a table's stream.
    pub fn roll_stream(&mut self, region: &str, table: &str, children: u16) -> Result<(), Fault> {
        let missing = || Fault::client("ResourceNotFoundException", "no tables in this Region");
        let tables = self.tables.get_mut(region).ok_or_else(missing)?;
        tables.roll_stream(self.clock.now(), table, children)
    }

    fn answer(&mut self, now: Timestamp, call: &Call, client: bool) -> Result<Value, Fault> {
        let Call {
            service,
            operation,
            region,
            input,
            access_key,
        } = call;
        if client && self.settings.throttle {
            self.throttle
                .admit(now, region, service, operation, input)?;
        }
        let account = &self.settings.account;
        let principal = self.sts.principal(account, access_key.as_deref());
        let mut cx = Cx {
            now,
            account,
            region,
            principal,
            rules: &self.rules,
            settings: &self.settings,
            ids: &mut self.ids,
            images: &NoImages,
        };
        if client {
            access::check(&cx, service, operation, input)?;
        }
        let listened = self.events.get(region).is_some_and(Events::listens);
        match service.as_str() {
            "ecs" => {
                cx.images = &self.registries;
                let ecs = self.ecs.entry(region.clone()).or_default();
                ecs.notices.wanted = listened;
                ecs.call(&mut cx, operation, input)
            }
            "ecr" => {
                let registries = &mut self.registries.regions;
                let ecr = registries.entry(region.clone()).or_default();
                ecr.notices.wanted = listened;
                ecr.call(&mut cx, operation, input)
            }
            "events" => {
                let events = self.events.entry(region.clone()).or_default();
                events.call(&mut cx, operation, input)
            }
            "scheduler" => {
                let scheduler = self.schedulers.entry(region.clone()).or_default();
                scheduler.call(&mut cx, operation, input)
            }
            "sqs" => {
                let queues = self.queues.entry(region.clone()).or_default();
                queues.call(&mut cx, operation, input)
            }
            "sns" => {
                let topics = self.topics.entry(region.clone()).or_default();
                topics.call(&mut cx, operation, input)
            }
            "cloudwatch" => {
                let alarms = self.alarms.entry(region.clone()).or_default();
                alarms.call(&mut cx, operation, input)
            }
            "logs" => {
                let logs = self.logs.entry(region.clone()).or_default();
                logs.call(&mut cx, operation, input)
            }
            "ssm" => {
                let parameters = self.parameters.entry(region.clone()).or_default();
                parameters.call(&cx, operation, input)
            }
            "secretsmanager" => {
                let secrets = self.secrets.entry(region.clone()).or_default();
                secrets.call(&mut cx, operation, input)
            }
            "dynamodb" | "dynamodbstreams" => {
                if !self.tables.contains_key(region) {
                    let tables = Tables::new(&self.clock)?;
                    self.tables.insert(region.clone(), tables);
                }
                match self.tables.get_mut(region) {
                    Some(tables) => tables.call(&cx, operation, input),
                    None => Err(Fault::server("InternalServerError", "no tables")),
                }
            }
            "lambda" => {
                let functions = self.functions.entry(region.clone()).or_default();
                functions.call(&cx, operation, input)
            }
            "codedeploy" => {
                let ecs = self.ecs.entry(region.clone()).or_default();
                let deployer = self.deployers.entry(region.clone()).or_default();
                deployer.notices.wanted = listened;
                deployer.call(&mut cx, ecs, operation, input)
            }
            "cloudfront" => self.cloudfront.call(&mut cx, operation, input),
            "codepipeline" => {
                let jobs = self.pipelines.entry(region.clone()).or_default();
                jobs.call(&mut cx, operation, input)
            }
            "sts" => self.sts.call(&mut cx, operation, input),
            _ => Err(Fault::client(
                "UnknownOperationException",
                format!("The sandbox has no service {service}, so it cannot do {operation}"),
            )),
        }
        .map_err(|fault| name_operation(fault, service, operation))
    }
}

fn is_poll(call: &Call) -> bool {
    call.service == "sqs" && call.operation == "ReceiveMessage"
}

/// Says in words what was unknown: clients show the message, not the target they sent.
fn name_operation(mut fault: Fault, service: &str, operation: &str) -> Fault {
    if fault.code == "UnknownOperationException" && fault.message == operation {
        fault.message = format!("The sandbox's {service} has no operation {operation}");
    }
    fault
}
