//! What is wrong with a manifest, where, and what to do about it.

use std::fmt;

use serde::Serialize;

use super::path::FieldPath;

/// Something wrong with an object, found without knowing which file it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field.
    pub path: FieldPath,
    /// What is wrong with it.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Where a name was looked up and not found. Such an error says nothing when that place
    /// could not be read itself.
    pub looked_in: Option<FieldPath>,
}

impl FieldError {
    /// An error at a field.
    pub fn new(path: FieldPath, message: impl Into<String>) -> Self {
        Self {
            path,
            message: message.into(),
            help: None,
            looked_in: None,
        }
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds where a name was looked up.
    #[must_use]
    pub fn looked_in(mut self, path: FieldPath) -> Self {
        self.looked_in = Some(path);
        self
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_parts(
            f,
            &self.path.to_string(),
            &self.message,
            self.help.as_deref(),
        )
    }
}

/// Something wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file as it was named, or `<stdin>`.
    pub file: String,
    /// The line, from 1; 0 when it is about the file as a whole.
    pub line: usize,
    /// The column in characters, from 1; 0 when it is about the file as a whole.
    pub column: usize,
    /// The field: `spec.services[1].images.app`; empty when it is about the document or the file.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    /// A problem of a file as a whole.
    pub fn of_file(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: 0,
            column: 0,
            field: String::new(),
            message: message.into(),
            help: None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        f.write_str(": ")?;
        write_parts(f, &self.field, &self.message, self.help.as_deref())
    }
}

fn write_parts(
    f: &mut fmt::Formatter<'_>,
    field: &str,
    message: &str,
    help: Option<&str>,
) -> fmt::Result {
    if !field.is_empty() {
        write!(f, "{field}: ")?;
    }
    f.write_str(message)?;
    match help {
        Some(help) => write!(f, " ({help})"),
        None => Ok(()),
    }
}

/// All that is wrong with a set of manifests, in the order of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, problem) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
