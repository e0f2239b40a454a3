//! ECS.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::cx::Cx;
use super::fault::Fault;

#[derive(Default)]
pub(crate) struct Ecs;

impl Ecs {
    pub(crate) fn call(
        &mut self,
        _cx: &mut Cx<'_>,
        operation: &str,
        _input: &Map<String, Value>,
    ) -> Result<Value, Fault> {
        Err(Fault::client("UnknownOperationException", operation))
    }

    pub(crate) fn advance(&mut self, _cx: &mut Cx<'_>) {}

    pub(crate) fn next_event(&self) -> Option<Timestamp> {
        None
    }
}
