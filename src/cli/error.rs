//! How a verb ends: an exit code, and at most one sentence about why.

use std::error::Error;
use std::fmt::Write as _;
use std::process::ExitCode;

/// Exit codes, as the help of each verb names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It is done, or there is nothing to tell.
    Done,
    /// There is something: an action, a difference, a Stalled release.
    Found,
    /// It could not be done, or could not be found out.
    Failed,
    /// Somebody applied a newer generation meanwhile.
    Superseded,
    /// Whoever read our output went away; shells expect 128 + SIGPIPE.
    PipeClosed,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Found => 1,
            Exit::Failed => 2,
            Exit::Superseded => 3,
            Exit::PipeClosed => 141,
        })
    }
}

/// Why a verb did not do what it was asked. Printed once, by [`super::main`].
#[derive(Debug)]
pub struct CliError {
    exit: Exit,
    message: String,
    help: Option<String>,
}

impl CliError {
    /// A failure with a sentence.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Failed,
            message: message.into(),
            help: None,
        }
    }

    /// Another exit code than 2.
    #[must_use]
    pub fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Where in the files it happened, and how many objects had been written before it.
    #[must_use]
    pub fn at(mut self, place: &str, written: usize) -> Self {
        self.message = format!("{place}: {}", self.message);
        if written > 0 {
            let _ = write!(
                self.message,
                " (the {written} objects before it were written)"
            );
        }
        self
    }

    /// Nobody reads on; nothing is printed.
    pub(super) fn pipe_closed() -> Self {
        Self {
            exit: Exit::PipeClosed,
            message: String::new(),
            help: None,
        }
    }

    /// A failure told by an error and all that it came from.
    pub fn from_error(error: &(dyn Error + 'static)) -> Self {
        Self::new(chain(error))
    }

    /// What ends on standard error; empty when there is nothing to say.
    pub fn render(&self) -> String {
        if self.exit == Exit::PipeClosed {
            return String::new();
        }
        let mut text = format!("error: {}\n", self.message);
        if let Some(help) = &self.help {
            let _ = writeln!(text, "  help: {help}");
        }
        text
    }

    /// The exit code.
    pub fn code(&self) -> Exit {
        self.exit
    }
}

/// An error with its sources, each said once.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            let _ = write!(text, ": {more}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("reading table `evenkeel`")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn sources_are_kept_and_said_once() {
        let error = Outer(std::io::Error::other("connection refused"));
        let text = CliError::from_error(&error).help("start it").render();
        assert_eq!(
            text,
            "error: reading table `evenkeel`: connection refused\n  help: start it\n"
        );
    }

    #[test]
    fn a_closed_pipe_is_silent() {
        assert_eq!(CliError::pipe_closed().render(), "");
    }
}
