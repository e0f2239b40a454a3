//! CloudWatch Logs: the end of a stream, and what comes after it. Nothing of it is kept.

use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::operation::get_log_events::GetLogEventsOutput;
use aws_sdk_cloudwatchlogs::types::OutputLogEvent;
use jiff::Timestamp;

use super::error::{AwsError, Call};
use crate::model::known::Known;

#[cfg(test)]
mod tests;

const SERVICE: &str = "logs";
/// Most lines that one call answers.
const MAX_LINES: usize = 10_000;
/// So many empty or short pages are read for lines that may be behind them.
const PAGES: usize = 20;

/// CloudWatch Logs in one Region. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Logs {
    client: Client,
    region: String,
}

/// A stream of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStream {
    /// The group's name.
    pub group: String,
    /// The stream's name.
    pub stream: String,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was written.
    pub at: Option<Timestamp>,
    /// What was written.
    pub message: String,
}

/// Lines, oldest first, and where the next ones are to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPage {
    /// The lines.
    pub lines: Vec<LogLine>,
    /// What [`Logs::after`] takes.
    pub next: Option<String>,
}

impl Logs {
    pub(super) fn new(client: Client, region: &str) -> Self {
        Self {
            client,
            region: region.to_owned(),
        }
    }

    /// The Region.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The last so many lines of a stream; Absent where there is no such stream, or no such group:
    /// both come with the first line.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn tail(&self, from: &LogStream, lines: usize) -> Result<Known<LogPage>, AwsError> {
        let mut found: Vec<LogLine> = Vec::new();
        let mut next = None;
        let mut back: Option<String> = None;
        for _ in 0..PAGES {
            let left = lines.saturating_sub(found.len());
            let answer = match self.read(from, back.clone(), false, left).await {
                Ok(answer) => answer,
                Err(error) if error.is_not_found() => return Ok(Known::Absent),
                Err(error) => return Err(error),
            };
            // Behind the first page read, which is the newest.
            next = next.or(answer.next_forward_token);
            let mut page: Vec<LogLine> = answer
                .events
                .unwrap_or_default()
                .into_iter()
                .map(line)
                .collect();
            page.append(&mut found);
            found = page;
            // The same token again is the stream's beginning; a page may be short before it.
            let token = answer.next_backward_token;
            if found.len() >= lines || token.is_none() || token == back {
                break;
            }
            back = token;
        }
        let surplus = found.len().saturating_sub(lines);
        found.drain(..surplus);
        Ok(Known::Present(LogPage { lines: found, next }))
    }

    /// What was written since, page by page: at the end of the stream the same place is answered
    /// again.
    ///
    /// # Errors
    /// When the call fails, also where the stream is gone.
    pub async fn after(&self, from: &LogStream, place: &str) -> Result<LogPage, AwsError> {
        let place = Some(place.to_owned());
        let answer = self.read(from, place, true, MAX_LINES).await?;
        Ok(LogPage {
            lines: answer
                .events
                .unwrap_or_default()
                .into_iter()
                .map(line)
                .collect(),
            next: answer.next_forward_token,
        })
    }

    /// GetLogEvents. A forward token asks for `from_head`
    /// (<https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html>).
    async fn read(
        &self,
        from: &LogStream,
        token: Option<String>,
        from_head: bool,
        most: usize,
    ) -> Result<GetLogEventsOutput, AwsError> {
        let LogStream { group, stream } = from;
        let region = &self.region;
        let what = format!("log stream {stream} of group {group} in Region {region}");
        let call = Call::read(SERVICE, "GetLogEvents", what);
        let most = i32::try_from(most.clamp(1, MAX_LINES)).unwrap_or(i32::MAX);
        let sent = self
            .client
            .get_log_events()
            .log_group_name(group)
            .log_stream_name(stream)
            .set_next_token(token)
            .start_from_head(from_head)
            .limit(most)
            .send()
            .await;
        sent.map_err(|error| call.failed(error))
    }
}

impl LogStream {
    /// The streams that `group/stream` may mean, the likeliest first. A stream of the awslogs driver
    /// is `prefix/container/task`; both group and prefix may hold slashes, and most often only the
    /// group does.
    pub fn meant(text: &str) -> Vec<Self> {
        let slashes: Vec<usize> = text.match_indices('/').map(|(at, _)| at).collect();
        let cuts = slashes.iter().rev().skip(2);
        cuts.filter(|at| **at > 0)
            .map(|at| Self {
                group: text[..*at].to_owned(),
                stream: text[at + 1..].to_owned(),
            })
            .collect()
    }
}

fn line(event: OutputLogEvent) -> LogLine {
    let at = event
        .timestamp
        .and_then(|at| Timestamp::from_millisecond(at).ok());
    LogLine {
        at,
        message: event.message.unwrap_or_default(),
    }
}
