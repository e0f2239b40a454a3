//! Standard output: tables for people, JSON and YAML for programs.

use std::io::{ErrorKind, IsTerminal as _, Write as _};

use clap::ValueEnum;
use serde::Serialize;

use super::error::CliError;
use crate::report::html::escape;
use crate::report::paint::Paint;

/// What is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns, for people.
    #[default]
    Table,
    /// JSON, a stable contract.
    Json,
    /// YAML of the same content.
    Yaml,
    /// A page that stands by itself (`get` and `drift`).
    Html,
}

/// Where results go.
#[derive(Clone, Copy, Debug)]
pub struct Out {
    /// What is printed.
    pub format: Format,
    /// Colours, on a terminal.
    pub paint: Paint,
    /// Whether a person looks on.
    pub terminal: bool,
}

impl Out {
    /// Looks at standard output; `colour` is false where the user forbids it.
    pub fn new(format: Format, colour: bool) -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self {
            format,
            paint: Paint::new(terminal && colour),
            terminal,
        }
    }

    /// Prints text as it is.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn text(self, text: &str) -> Result<(), CliError> {
        let mut stdout = std::io::stdout().lock();
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush())
            .map_err(|error| {
                if error.kind() == ErrorKind::BrokenPipe {
                    CliError::pipe_closed()
                } else {
                    CliError::new(format!("standard output cannot be written: {error}"))
                }
            })
    }

    /// Prints one line.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn line(self, line: &str) -> Result<(), CliError> {
        self.text(&format!("{line}\n"))
    }

    /// Prints a value: `table` makes the text for people.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn print<T: Serialize>(
        self,
        value: &T,
        table: impl FnOnce(Paint) -> String,
    ) -> Result<(), CliError> {
        match self.format {
            Format::Table => self.text(&table(self.paint)),
            Format::Json => self.json(value),
            Format::Yaml => self.yaml(value),
            // Objects that have no page of their own are shown as they are.
            Format::Html => self.text(&format!(
                "<pre>{}</pre>\n",
                escape(&table(Paint::default()))
            )),
        }
    }

    /// Prints JSON.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn json<T: Serialize>(self, value: &T) -> Result<(), CliError> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| CliError::new(format!("this cannot be shown as JSON: {error}")))?;
        self.line(&text)
    }

    /// Prints YAML.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn yaml<T: Serialize>(self, value: &T) -> Result<(), CliError> {
        let text = serde_saphyr::to_string(value)
            .map_err(|error| CliError::new(format!("this cannot be shown as YAML: {error}")))?;
        self.text(text.trim_start_matches("---\n"))
    }
}
