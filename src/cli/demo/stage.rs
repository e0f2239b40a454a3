//! How the story looks: headings, lines with the time of the sandbox, check marks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::account::HOST;
use crate::cli::error::CliError;
use crate::cli::out::Out;
use crate::controller::{Happening, Observer, What};
use crate::model::plan::Plan;
use crate::report::paint::{Tone, brief, printable};
use crate::report::plan::without_name;
use crate::report::release;
use crate::resource::conditions::{ConditionStatus, ConditionType, find};
use crate::resource::status::PartState;

/// Steps that only write into the table: worth a log line, not a line of the story.
const TABLE_ONLY: [&str; 11] = [
    "RecordRevision",
    "UpdateRevision",
    "DeleteRevision",
    "Claim",
    "Unclaim",
    "RecordRegistration",
    "RecordMigration",
    "RecordRollout",
    "FinishRequest",
    "FinishDeletion",
    "RecordBinding",
];

/// How the release is called in the lines of the story.
const RELEASE: &str = "release/rails";

/// What a part waits for, without its own name at the front.
fn waiting<'a>(plan: &'a Plan, resource: &str) -> Option<&'a str> {
    let waiting = plan.waiting.iter().find(|one| one.resource == resource)?;
    Some(without_name(&waiting.reason, resource))
}

/// Where the story is told. Clones tell the same one.
#[derive(Clone)]
pub struct Stage {
    out: Out,
    pace: Duration,
    told: Arc<Mutex<Told>>,
}

#[derive(Default)]
struct Told {
    started: Option<Timestamp>,
    chapter: u32,
    parts: BTreeMap<String, String>,
}

impl Stage {
    pub fn new(out: Out, pace: Duration) -> Self {
        Self {
            out,
            pace,
            told: Arc::default(),
        }
    }

    /// From when on time is counted.
    pub fn start(&self, at: Timestamp) {
        self.told().started = Some(at);
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first lines.
    pub fn title(&self, title: &str, below: &str) -> Result<(), CliError> {
        let title = self.out.paint.tone(Tone::Strong, title);
        self.out.text(&format!(
            "\n{title}\n{}\n",
            self.out.paint.tone(Tone::Dim, below)
        ))
    }

    /// A heading, after a breath.
    pub fn chapter(&self, heading: &str) -> Result<(), CliError> {
        self.rest(6);
        let number = {
            let mut told = self.told();
            told.chapter += 1;
            told.chapter
        };
        let heading = format!("{number}. {heading}");
        let rule = "─".repeat(heading.chars().count());
        self.out.text(&format!(
            "\n{}\n{}\n",
            self.out.paint.tone(Tone::Strong, &heading),
            self.out.paint.tone(Tone::Dim, &rule)
        ))
    }

    /// A sentence of the narrator.
    pub fn say(&self, text: &str) -> Result<(), CliError> {
        self.rest(2);
        self.out.line(text)
    }

    /// Something that somebody does by hand.
    pub fn hand(&self, text: &str) -> Result<(), CliError> {
        self.rest(2);
        self.out.line(&format!(
            "  {} {text}",
            self.out.paint.tone(Tone::Fair, "$")
        ))
    }

    /// Text as a verb prints it, set in.
    pub fn block(&self, text: &str) -> Result<(), CliError> {
        for line in text.lines() {
            self.rest(1);
            let line = if line.is_empty() {
                String::new()
            } else {
                format!("  {line}")
            };
            self.out.line(&line)?;
        }
        Ok(())
    }

    /// Something that was asked of the account or the table, and is so.
    pub fn proved(&self, what: &str) -> Result<(), CliError> {
        self.rest(1);
        self.out.line(&format!(
            "  {} {what}",
            self.out.paint.tone(Tone::Good, "✓")
        ))
    }

    /// An observer that tells what the controller does.
    pub fn observer(&self) -> Observer {
        let stage = self.clone();
        Arc::new(move |happening| stage.happens(happening))
    }

    fn happens(&self, happening: &Happening) {
        match &happening.what {
            What::Acted(action) if !TABLE_ONLY.contains(&action.step.kind()) => {
                let (step, resource) = (action.step.kind(), &action.resource);
                let step = self.out.paint.tone(Tone::Strong, &format!("{step:<22}"));
                let reason = brief(without_name(&action.reason, resource));
                self.line(happening.at, &format!("→ {step} {resource:<24} {reason}"));
            }
            What::Acted(_) | What::Same | What::Gone => {}
            What::Passed { plan, .. } => self.planned(happening.at, plan),
            What::NotDone(message) | What::Failed(message) => {
                let text = self.out.paint.tone(Tone::Bad, &printable(message));
                self.line(happening.at, &format!("! {text}"));
            }
        }
    }

    /// What changed since the last pass, part by part.
    fn planned(&self, at: Timestamp, plan: &Plan) {
        for (resource, state, detail) in release::lines(&plan.status) {
            let (word, tone) = release::state(state);
            // The step that set it going has been told just now.
            let acted = plan.actions.iter().any(|action| {
                action.resource == resource && !TABLE_ONLY.contains(&action.step.kind())
            });
            let told = match state {
                PartState::Pending => waiting(plan, &resource).unwrap_or_default(),
                _ => detail.as_str(),
            };
            let idle = state == PartState::Pending && (acted || told.is_empty());
            let quiet = idle || acted && state == PartState::Progressing;
            self.changed(at, &resource, word, tone, told, quiet);
        }
        let settled = [
            (ConditionType::Ready, Tone::Good),
            (ConditionType::Stalled, Tone::Bad),
        ]
        .into_iter()
        .filter_map(|(kind, tone)| Some((find(&plan.status.conditions, kind)?, tone)))
        .find(|(condition, _)| condition.status == ConditionStatus::True);
        match settled {
            Some((condition, tone)) => {
                let detail = format!("{} ({})", condition.message, condition.reason);
                self.changed(at, RELEASE, condition.kind.as_str(), tone, &detail, false);
            }
            // When it settles again that is news, even in the same words.
            None => {
                self.told().parts.remove(RELEASE);
            }
        }
    }

    fn changed(
        &self,
        at: Timestamp,
        resource: &str,
        word: &str,
        tone: Tone,
        detail: &str,
        quiet: bool,
    ) {
        let content = format!("{word} {detail}");
        let before = self
            .told()
            .parts
            .insert(resource.to_owned(), content.clone());
        if before.as_deref() == Some(&content) || quiet {
            return;
        }
        let word = self.out.paint.tone(tone, &format!("{word:<22}"));
        self.line(
            at,
            &format!("  {word} {resource:<24} {}", brief(&printable(detail))),
        );
    }

    fn line(&self, at: Timestamp, text: &str) {
        self.rest(1);
        let started = self.told().started.unwrap_or(at);
        let seconds = at.duration_since(started).as_secs();
        let elapsed = format!("+{}:{:02}", seconds / 60, seconds % 60);
        let elapsed = self.out.paint.tone(Tone::Dim, &format!("{elapsed:>7}"));
        // A reader who went away is noticed at the next sentence.
        let _ = self
            .out
            .line(&format!("{elapsed} {}", text.trim_end().replace(HOST, "")));
    }

    /// Real time for a person to read; the story's own time stands still meanwhile.
    #[expect(
        clippy::disallowed_methods,
        reason = "tokio's clock is virtual here, the reader's is not"
    )]
    fn rest(&self, lines: u32) {
        if !self.pace.is_zero() {
            std::thread::sleep(self.pace * lines);
        }
    }
}
