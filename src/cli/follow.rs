//! Following a release: a live view on a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use jiff::Timestamp;
use tokio::time::Instant;

use super::connect::Connection;
use super::error::{CliError, Exit};
use super::settings::Settings;
use crate::report::evidence;
use crate::report::paint::{Paint, brief, printable};
use crate::report::release::{self, Standing};
use crate::report::time::short;
use crate::resource::conditions::{ConditionType, is_true};
use crate::resource::meta::{Release, ReleaseKey};
use crate::resource::status::PartState;

/// How often the table is read: a read of one item costs next to nothing, and a person waits.
const POLL: Duration = Duration::from_secs(1);

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The generation seen at the start is Ready.
    Ready,
    /// The release is gone.
    Deleted,
}

/// Follows until the goal is reached or cannot be reached any more.
///
/// # Errors
/// When the table cannot be read, the release is not there, or time is up.
pub async fn follow(
    connection: &Connection,
    key: &ReleaseKey,
    goal: Goal,
    timeout: Duration,
    settings: &Settings,
) -> Result<Exit, CliError> {
    let mut view = View::new(settings);
    let deadline = Instant::now() + timeout;
    let mut generation = None;
    let mut seen = None;
    let mut asked = false;
    loop {
        let Some(release) = connection.lookup(key).await? else {
            view.close();
            return gone(key, goal, settings);
        };
        view.show(&release)?;
        let wanted = *generation.get_or_insert(release.metadata.generation);
        if goal == Goal::Ready {
            // A request is taken away before the status says what came of it, so a Release is
            // Stalled, or Ready after a request, once it was seen so twice.
            let again = seen.as_ref() == Some(&release.status);
            seen = Some(release.status.clone());
            match at(connection, key, &release, wanted).await? {
                At::Work => {}
                At::Asked => {
                    asked = true;
                    seen = None;
                }
                At::End(end) => {
                    if again || !(asked || matches!(end, End::Stalled(_))) {
                        view.close();
                        if matches!(end, End::Stalled(_)) {
                            tell_evidence(connection, &release, settings)?;
                        }
                        return end.tell(key, settings);
                    }
                }
            }
        }
        if Instant::now() + POLL > deadline {
            view.close();
            return Err(timed_out(key, &release, goal, timeout));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// What ECS told of rollouts that failed, before the sentence with which waiting ends.
fn tell_evidence(
    connection: &Connection,
    release: &Release,
    settings: &Settings,
) -> Result<(), CliError> {
    let told = evidence::describe(release, connection.now(), settings.out.paint);
    for line in told.lines() {
        settings.out.remark(line)?;
    }
    Ok(())
}

fn gone(key: &ReleaseKey, goal: Goal, settings: &Settings) -> Result<Exit, CliError> {
    match goal {
        Goal::Deleted => {
            settings.out.remark(&format!("release/{key} deleted"))?;
            Ok(Exit::Done)
        }
        Goal::Ready => Err(CliError::new(format!("release {key} does not exist"))
            .help("`evenkeel get` lists those that do")),
    }
}

fn timed_out(key: &ReleaseKey, release: &Release, goal: Goal, timeout: Duration) -> CliError {
    let standing = release::standing(release);
    let length =
        short(jiff::SignedDuration::try_from(timeout).unwrap_or(jiff::SignedDuration::MAX));
    let what = match goal {
        Goal::Ready => "Ready",
        Goal::Deleted => "gone",
    };
    CliError::new(format!(
        "release {key} is not {what} after {length}: {} ({})",
        standing.message, standing.reason
    ))
    .help(match standing.reason.as_str() {
        "ApprovalPending" | "WindowClosed" | "RequirementNotMet" => {
            format!("`evenkeel plan {key}` names everything that it waits for")
        }
        _ => format!(
            "a controller must be running (`evenkeel run`); `evenkeel plan {key}` says what is \
             waited for"
        ),
    })
}

/// How waiting ends.
enum End {
    Ready,
    Stalled(Standing),
    /// Until then, or until somebody resumes it.
    Suspended(Option<Timestamp>),
    Deleting,
    Superseded(u64),
}

impl End {
    fn tell(self, key: &ReleaseKey, settings: &Settings) -> Result<Exit, CliError> {
        match self {
            End::Ready => {
                settings.out.remark(&format!("release/{key} is Ready"))?;
                Ok(Exit::Done)
            }
            End::Stalled(standing) => Err(CliError::new(format!(
                "release {key} is Stalled: {} ({})",
                standing.message, standing.reason
            ))
            .help(format!("`evenkeel get {key}` shows every part; after the cause is gone: `evenkeel retry {key}`"))
            .exit(Exit::Found)),
            End::Suspended(None) => Err(CliError::new(format!("release {key} is suspended"))
                .help(format!("`evenkeel resume {key}` lets it go on"))),
            End::Suspended(Some(until)) => Err(CliError::new(format!(
                "release {key} is suspended until {until}"
            ))
            .help(format!(
                "it goes on by itself then; `evenkeel resume {key}` lets it go on now"
            ))),
            End::Deleting => Err(CliError::new(format!("release {key} is being deleted"))
                .help(format!("`evenkeel wait {key} --for Deleted` waits until it is gone"))),
            End::Superseded(generation) => Err(CliError::new(format!(
                "release {key} was changed meanwhile: generation {generation} takes its place"
            ))
            .exit(Exit::Superseded)),
        }
    }
}

/// How far a release is.
enum At {
    /// It goes on.
    Work,
    /// Something is asked, and the controller has not looked yet.
    Asked,
    /// It goes on no more.
    End(End),
}

async fn at(
    connection: &Connection,
    key: &ReleaseKey,
    release: &Release,
    wanted: Option<u64>,
) -> Result<At, CliError> {
    let Some(end) = end(release, wanted, connection.now()) else {
        return Ok(At::Work);
    };
    let depends = matches!(end, End::Ready | End::Stalled(_));
    Ok(match depends && connection.is_asked(key).await? {
        true => At::Asked,
        false => At::End(end),
    })
}

fn end(release: &Release, wanted: Option<u64>, now: Timestamp) -> Option<End> {
    if release.metadata.deletion_timestamp.is_some() {
        return Some(End::Deleting);
    }
    let generation = release.metadata.generation;
    if generation > wanted {
        return generation.map(End::Superseded);
    }
    let suspended = End::Suspended(release.spec.suspend_until);
    let Some(status) = release
        .status
        .as_ref()
        .filter(|s| s.observed_generation >= wanted)
    else {
        return release.spec.is_suspended(now).then_some(suspended);
    };
    if is_true(&status.conditions, ConditionType::Ready) {
        return Some(End::Ready);
    }
    if release.spec.is_suspended(now) {
        return Some(suspended);
    }
    is_true(&status.conditions, ConditionType::Stalled)
        .then(|| End::Stalled(release::standing(release)))
}

/// The view: one line for each part, redrawn on a terminal, or printed when it changes.
struct View {
    started: Instant,
    paint: Paint,
    live: Option<MultiProgress>,
    out: super::out::Out,
    bars: BTreeMap<String, ProgressBar>,
    said: BTreeMap<String, String>,
}

impl View {
    fn new(settings: &Settings) -> Self {
        Self {
            started: Instant::now(),
            paint: Paint::new(settings.log_colour),
            live: settings.live.then(MultiProgress::new),
            out: settings.out,
            bars: BTreeMap::new(),
            said: BTreeMap::new(),
        }
    }

    fn show(&mut self, release: &Release) -> Result<(), CliError> {
        let standing = release::standing(release);
        let head = format!("{} ({})", standing.message, standing.reason);
        self.line(
            &release.release_key().to_string(),
            PartState::Progressing,
            standing.tone,
            &head,
        )?;
        let Some(status) = &release.status else {
            return Ok(());
        };
        for (resource, state, detail) in release::lines(status) {
            let (word, tone) = release::state(state);
            let text = if detail.is_empty() {
                word.to_owned()
            } else {
                format!("{word}: {detail}")
            };
            self.line(&resource, state, tone, &text)?;
        }
        Ok(())
    }

    fn line(
        &mut self,
        resource: &str,
        state: PartState,
        tone: crate::report::paint::Tone,
        text: &str,
    ) -> Result<(), CliError> {
        let text = brief(&printable(text));
        if self.said.get(resource) == Some(&text) {
            return Ok(());
        }
        self.said.insert(resource.to_owned(), text.clone());
        let Some(live) = &self.live else {
            let elapsed =
                jiff::SignedDuration::try_from(self.started.elapsed()).unwrap_or_default();
            return self
                .out
                .remark(&format!("{:>6}  {resource:<28}  {text}", short(elapsed)));
        };
        let bar = self.bars.entry(resource.to_owned()).or_insert_with(|| {
            let bar = live.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix:28} {wide_msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(resource.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        bar.set_message(self.paint.tone(tone, &text));
        if matches!(state, PartState::Done | PartState::Failed) {
            bar.disable_steady_tick();
        }
        Ok(())
    }

    /// Leaves the last state on the screen.
    fn close(&mut self) {
        for bar in self.bars.values() {
            bar.abandon();
        }
    }
}
