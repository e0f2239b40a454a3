//! CloudWatch Logs: the groups and streams of one Region.
//!
//! What the containers of the simulated ECS say goes here, as the awslogs driver does it. AWS wants
//! the group made first, unless the definition says `awslogs-create-group`; here it is made with
//! the first line, so that account files need not. Events keep the order in which they came. Not
//! played: retention, filter patterns but words, metric filters, subscriptions.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cx::Cx;
use super::fault::Fault;
use super::json::{Object, flag, int, list, page, text, texts};

/// Lines kept of each stream; a sandbox may run for days.
const KEPT: usize = 1000;
/// Streams kept of each group.
const STREAMS: usize = 1000;
/// Most events that one call answers.
const MOST: i64 = 10_000;

/// A line on its way to a stream.
#[derive(Debug)]
pub(super) struct Said {
    pub at: Timestamp,
    /// Another Region, where the definition names one.
    pub region: Option<String>,
    pub group: String,
    pub stream: String,
    pub message: String,
}

/// The groups of one Region.
#[derive(Default)]
pub(super) struct Logs {
    groups: BTreeMap<String, Group>,
}

struct Group {
    made: Timestamp,
    streams: BTreeMap<String, Stream>,
}

struct Stream {
    made: Timestamp,
    /// How many lines were dropped before the first.
    dropped: u64,
    lines: VecDeque<Line>,
}

#[derive(Clone)]
struct Line {
    at: i64,
    taken: i64,
    message: String,
}

impl Logs {
    /// Answers one call.
    pub fn call(
        &mut self,
        cx: &mut Cx<'_>,
        operation: &str,
        input: &Object,
    ) -> Result<Value, Fault> {
        match operation {
            "CreateLogGroup" => self.create_group(cx, input),
            "DeleteLogGroup" => {
                let name = needed(input, "logGroupName")?;
                self.groups.remove(name).ok_or_else(no_group)?;
                Ok(json!({}))
            }
            "DescribeLogGroups" => self.describe_groups(cx, input),
            "CreateLogStream" => self.create_stream(cx, input),
            "DescribeLogStreams" => self.describe_streams(cx, input),
            "PutLogEvents" => self.put(cx, input),
            "GetLogEvents" => self.get(input),
            "FilterLogEvents" => self.filter(input),
            _ => Err(Fault::client("UnknownOperationException", operation)),
        }
    }

    /// Writes a container's line.
    pub fn say(&mut self, said: Said) {
        let made = said.at;
        let group = self
            .groups
            .entry(said.group)
            .or_insert_with(|| Group::new(made));
        let at = said.at.as_millisecond();
        let line = Line {
            at,
            taken: at,
            message: said.message,
        };
        group.stream(said.stream, made).push(line);
    }

    fn create_group(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let name = needed(input, "logGroupName")?;
        if self.groups.contains_key(name) {
            return Err(exists("group"));
        }
        self.groups.insert(name.to_owned(), Group::new(cx.now));
        Ok(json!({}))
    }

    fn describe_groups(&self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let prefix = text(input, "logGroupNamePrefix").unwrap_or_default();
        let groups = self
            .groups
            .iter()
            .filter(|(name, _)| name.starts_with(prefix));
        let views = groups.map(|(name, group)| {
            let view = json!({
                "logGroupName": name, "arn": format!("{}:*", group_arn(cx, name)),
                "creationTime": group.made.as_millisecond(),
            });
            (name.clone(), view)
        });
        answer(input, "logGroups", views.collect())
    }

    fn create_stream(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let name = needed(input, "logStreamName")?.to_owned();
        let group = self.group_mut(input)?;
        if group.streams.contains_key(&name) {
            return Err(exists("stream"));
        }
        group.stream(name, cx.now);
        Ok(json!({}))
    }

    fn describe_streams(&self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let (name, group) = self.group(input)?;
        let prefix = text(input, "logStreamNamePrefix").unwrap_or_default();
        let streams = group
            .streams
            .iter()
            .filter(|(name, _)| name.starts_with(prefix));
        let views = streams.map(|(stream, found)| {
            let mut view = json!({
                "logStreamName": stream,
                "arn": format!("{}:log-stream:{stream}", group_arn(cx, name)),
                "creationTime": found.made.as_millisecond(),
            });
            if let (Some(first), Some(last)) = (found.lines.front(), found.lines.back()) {
                view["firstEventTimestamp"] = first.at.into();
                view["lastEventTimestamp"] = last.at.into();
                view["lastIngestionTime"] = last.taken.into();
            }
            (stream.clone(), view)
        });
        answer(input, "logStreams", views.collect())
    }

    fn put(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let name = needed(input, "logStreamName")?.to_owned();
        let taken = cx.now.as_millisecond();
        let group = self.group_mut(input)?;
        let stream = group.streams.get_mut(&name).ok_or_else(no_stream)?;
        for event in list(input, "logEvents").iter().filter_map(Value::as_object) {
            stream.push(Line {
                at: int(event, "timestamp").unwrap_or(taken),
                taken,
                message: text(event, "message").unwrap_or_default().to_owned(),
            });
        }
        let next = format!("{:056}", stream.end());
        Ok(json!({ "nextSequenceToken": next }))
    }

    fn get(&self, input: &Object) -> Result<Value, Fault> {
        let (_, group) = self.group(input)?;
        let name = needed(input, "logStreamName")?;
        let stream = group.streams.get(name).ok_or_else(no_stream)?;
        let most = limit(input)?;
        let from_head = flag(input, "startFromHead");
        let (first, end) = (stream.dropped, stream.end());
        let (from, to) = match text(input, "nextToken").map(place) {
            None if from_head => (first, end.min(first + most)),
            None => (end.saturating_sub(most).max(first), end),
            Some(Some(('f', at))) if from_head => {
                let from = at.clamp(first, end);
                (from, end.min(from + most))
            }
            Some(Some(('b', at))) => {
                let to = at.clamp(first, end);
                (to.saturating_sub(most).max(first), to)
            }
            // A forward token needs startFromHead.
            Some(_) => return Err(invalid("The specified nextToken is invalid.")),
        };
        let events: Vec<Value> = stream
            .between(from, to)
            .filter(within(input))
            .map(view)
            .collect();
        Ok(json!({
            "events": events,
            "nextForwardToken": format!("f/{to:056}"),
            "nextBackwardToken": format!("b/{from:056}"),
        }))
    }

    fn filter(&self, input: &Object) -> Result<Value, Fault> {
        let (_, group) = self.group(input)?;
        let names = texts(input, "logStreamNames");
        let prefix = text(input, "logStreamNamePrefix").unwrap_or_default();
        let words = text(input, "filterPattern")
            .unwrap_or_default()
            .trim_matches('"');
        let mut found = Vec::new();
        for (name, stream) in &group.streams {
            if !name.starts_with(prefix) || !(names.is_empty() || names.contains(&name.as_str())) {
                continue;
            }
            let lines = stream.lines.iter().zip(stream.dropped..);
            for (line, number) in lines.filter(|(line, _)| within(input)(line)) {
                if line.message.contains(words) {
                    let mut event = view(line);
                    event["logStreamName"] = name.as_str().into();
                    event["eventId"] = format!("{:020}{number:036}", line.at).into();
                    found.push((format!("{:020}/{name}/{number:020}", line.at), event));
                }
            }
        }
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        answer(input, "events", found)
    }

    fn group<'a>(&self, input: &'a Object) -> Result<(&'a str, &Group), Fault> {
        let name = group_name(input)?;
        let group = self.groups.get(name).ok_or_else(no_group)?;
        Ok((name, group))
    }

    fn group_mut(&mut self, input: &Object) -> Result<&mut Group, Fault> {
        self.groups.get_mut(group_name(input)?).ok_or_else(no_group)
    }
}

impl Group {
    fn new(made: Timestamp) -> Self {
        Self {
            made,
            streams: BTreeMap::new(),
        }
    }

    /// The stream, made if it is not there; the oldest goes where there are too many.
    fn stream(&mut self, name: String, made: Timestamp) -> &mut Stream {
        if self.streams.len() >= STREAMS && !self.streams.contains_key(&name) {
            let oldest = self.streams.iter().min_by_key(|(_, stream)| stream.made);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.streams.remove(&oldest);
            }
        }
        self.streams.entry(name).or_insert_with(|| Stream {
            made,
            dropped: 0,
            lines: VecDeque::new(),
        })
    }
}

impl Stream {
    fn push(&mut self, line: Line) {
        if self.lines.len() >= KEPT {
            self.lines.pop_front();
            self.dropped += 1;
        }
        self.lines.push_back(line);
    }

    /// The number of the line that comes next.
    fn end(&self) -> u64 {
        self.dropped + self.lines.len() as u64
    }

    fn between(&self, from: u64, to: u64) -> impl Iterator<Item = &Line> {
        let numbered = self.lines.iter().zip(self.dropped..);
        let inside = numbered.filter(move |(_, number)| (from..to).contains(number));
        inside.map(|(line, _)| line)
    }
}

fn view(line: &Line) -> Value {
    json!({ "timestamp": line.at, "message": line.message, "ingestionTime": line.taken })
}

/// Whether a line lies between `startTime` and `endTime`.
fn within(input: &Object) -> impl Fn(&&Line) -> bool {
    let (start, end) = (int(input, "startTime"), int(input, "endTime"));
    move |line| start.is_none_or(|start| line.at >= start) && end.is_none_or(|end| line.at < end)
}

/// A direction and the number of a line.
fn place(token: &str) -> Option<(char, u64)> {
    let (direction, number) = token.split_once('/')?;
    Some((direction.chars().next()?, number.parse().ok()?))
}

fn limit(input: &Object) -> Result<u64, Fault> {
    match int(input, "limit").unwrap_or(MOST) {
        asked @ 1..=MOST => Ok(asked.unsigned_abs()),
        asked => Err(invalid(&format!(
            "1 validation error detected: Value '{asked}' at 'limit' failed to satisfy constraint: \
             Member must have value between 1 and {MOST}"
        ))),
    }
}

/// A page of a list.
fn answer(input: &Object, name: &str, items: Vec<(String, Value)>) -> Result<Value, Fault> {
    let most = usize::try_from(limit(input)?).unwrap_or(usize::MAX);
    let wrong = || invalid("The specified nextToken is invalid.");
    let found = page(items, text(input, "nextToken"), most, wrong)?;
    let mut answer = json!({ name: found.items });
    if let Some(next) = found.next {
        answer["nextToken"] = next.into();
    }
    Ok(answer)
}

/// The group's name; an identifier may be its ARN.
fn group_name(input: &Object) -> Result<&str, Fault> {
    let name = text(input, "logGroupName").or_else(|| text(input, "logGroupIdentifier"));
    let name = name.ok_or_else(|| missing("logGroupName"))?;
    Ok(name
        .rsplit_once(":log-group:")
        .map_or(name, |(_, name)| name.trim_end_matches(":*")))
}

fn group_arn(cx: &Cx<'_>, name: &str) -> String {
    format!("arn:aws:logs:{}:{}:log-group:{name}", cx.region, cx.account)
}

fn needed<'a>(input: &'a Object, key: &str) -> Result<&'a str, Fault> {
    text(input, key)
        .filter(|text| !text.is_empty())
        .ok_or_else(|| missing(key))
}

fn missing(key: &str) -> Fault {
    invalid(&format!(
        "1 validation error detected: Value null at '{key}' failed to satisfy constraint: Member \
         must not be null"
    ))
}

fn invalid(message: &str) -> Fault {
    Fault::client("InvalidParameterException", message)
}

fn no_group() -> Fault {
    Fault::client(
        "ResourceNotFoundException",
        "The specified log group does not exist.",
    )
}

fn no_stream() -> Fault {
    Fault::client(
        "ResourceNotFoundException",
        "The specified log stream does not exist.",
    )
}

fn exists(what: &str) -> Fault {
    let message = format!("The specified log {what} already exists");
    Fault::client("ResourceAlreadyExistsException", message)
}
