//! The account: every service's state, by Region, under one time.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::access;
use super::clock::Clock;
use super::cx::{Cx, Ids, ImageLookup, Images};
use super::dynamodb::Tables;
use super::ecr::Registries;
use super::ecs::Ecs;
use super::events::Events;
use super::fault::Fault;
use super::log::Log;
use super::rules::Rules;
use super::settings::Settings;
use super::sts::Sts;
use super::throttle::Throttle;
use super::wire::Call;

/// All that the simulated account is.
pub(super) struct World {
    pub settings: Settings,
    pub rules: Rules,
    pub log: Log,
    clock: Clock,
    ids: Ids,
    ecs: BTreeMap<String, Ecs>,
    registries: Registries,
    events: BTreeMap<String, Events>,
    tables: BTreeMap<String, Tables>,
    sts: Sts,
    throttle: Throttle,
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
            clock,
            ids: Ids::default(),
            ecs: BTreeMap::new(),
            registries,
            events: BTreeMap::new(),
            tables: BTreeMap::new(),
            sts: Sts::default(),
            throttle: Throttle::default(),
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
        for (region, ecs) in &mut self.ecs {
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
            ecs.advance(&mut cx);
        }
    }

    /// When the next thing happens by itself.
    pub fn next_event(&self) -> Option<Timestamp> {
        self.ecs.values().filter_map(Ecs::next_event).min()
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
        match service.as_str() {
            "ecs" => {
                cx.images = &self.registries;
                let ecs = self.ecs.entry(region.clone()).or_default();
                ecs.call(&mut cx, operation, input)
            }
            "ecr" => {
                let registries = &mut self.registries.regions;
                let ecr = registries.entry(region.clone()).or_default();
                ecr.call(&mut cx, operation, input)
            }
            "events" => {
                let events = self.events.entry(region.clone()).or_default();
                events.call(&mut cx, operation, input)
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
            "sts" => self.sts.call(&mut cx, operation, input),
            _ => Err(Fault::client(
                "UnknownOperationException",
                format!("The sandbox has no service {service}, so it cannot do {operation}"),
            )),
        }
        .map_err(|fault| name_operation(fault, service, operation))
    }
}

/// Says in words what was unknown: clients show the message, not the target they sent.
fn name_operation(mut fault: Fault, service: &str, operation: &str) -> Fault {
    if fault.code == "UnknownOperationException" && fault.message == operation {
        fault.message = format!("The sandbox's {service} has no operation {operation}");
    }
    fault
}
