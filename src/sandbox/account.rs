//! Account files: lists of calls that any AWS client could replay.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::CallError;

/// One call of an account file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountCall {
    /// The service, as boto3 names it.
    pub service: String,
    /// The operation.
    pub operation: String,
    /// What is sent.
    #[serde(default)]
    pub input: Map<String, Value>,
}

/// Reads an account file; the error has line and column.
pub fn parse_account(text: &str) -> Result<Vec<AccountCall>, serde_json::Error> {
    serde_json::from_str(text)
}

/// A call of an account file that was refused.
#[derive(Debug)]
pub struct BadCall {
    /// Its place in the list, from 0.
    pub index: usize,
    /// The service.
    pub service: String,
    /// The operation.
    pub operation: String,
    /// What the sandbox answered.
    pub error: CallError,
}

/// Calls of an account file that were refused; the others were done.
#[derive(Debug, thiserror::Error)]
#[error("{}", Lines(.0))]
pub struct LoadError(pub Vec<BadCall>);

struct Lines<'a>(&'a [BadCall]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of the account's calls were refused", self.0.len())?;
        for bad in self.0 {
            write!(
                f,
                "\n  call {} ({} {}): {}",
                bad.index, bad.service, bad.operation, bad.error
            )?;
        }
        Ok(())
    }
}
