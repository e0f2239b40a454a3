//! Lambda: functions of one Region that do what their environment says.
//!
//! `SANDBOX_TAKES` is how many seconds an invocation takes, and `SANDBOX_FAILS` the message with which
//! it fails. Both are read at each invocation, so that UpdateFunctionConfiguration changes them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::cx::Cx;
use super::fault::Fault;
use super::json::{Object, text};

/// The functions of one Region.
#[derive(Default)]
pub(super) struct Lambda {
    functions: BTreeMap<String, Object>,
    /// Function and input of each invocation, oldest first.
    pub invoked: Vec<(String, Value)>,
}

impl Lambda {
    /// Answers one call.
    pub fn call(&mut self, cx: &Cx<'_>, operation: &str, input: &Object) -> Result<Value, Fault> {
        match operation {
            "CreateFunction" => self.create(cx, input),
            "UpdateFunctionConfiguration" => self.update(cx, input),
            "GetFunctionConfiguration" => {
                let name = name(input)?;
                let found = self.functions.get(&name);
                let found = found.ok_or_else(|| missing(cx, &name))?;
                Ok(configuration(cx, &name, found))
            }
            "Invoke" => self.invoke(cx, input),
            _ => Err(Fault::client("UnknownOperationException", operation)),
        }
    }

    /// How long a call takes until it is answered.
    pub fn takes(&self, operation: &str, input: &Object) -> Duration {
        let invoked = name(input).ok().filter(|_| operation == "Invoke");
        let function = invoked.and_then(|name| self.functions.get(&name));
        let takes = function.and_then(|function| variable(function, "SANDBOX_TAKES"));
        let seconds = takes.and_then(|text| text.parse().ok());
        Duration::from_secs_f64(seconds.unwrap_or(0.0))
    }

    fn create(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let name = name(input)?;
        for needed in ["Role", "Code"] {
            if !input.contains_key(needed) {
                let message = format!("{needed} is missing");
                return Err(Fault::client("InvalidParameterValueException", message));
            }
        }
        if self.functions.contains_key(&name) {
            let message = format!("Function already exist: {name}");
            return Err(Fault {
                status: 409,
                ..Fault::client("ResourceConflictException", message)
            });
        }
        let answer = configuration(cx, &name, input);
        self.functions.insert(name, input.clone());
        Ok(answer)
    }

    fn update(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let name = name(input)?;
        let Some(found) = self.functions.get_mut(&name) else {
            return Err(missing(cx, &name));
        };
        found.extend(input.clone());
        Ok(configuration(cx, &name, found))
    }

    fn invoke(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let name = name(input)?;
        let Some(function) = self.functions.get(&name) else {
            return Err(missing(cx, &name));
        };
        let mut given = input.clone();
        for own in ["FunctionName", "Qualifier"] {
            given.shift_remove(own);
        }
        self.invoked.push((name, Value::Object(given)));
        Ok(match variable(function, "SANDBOX_FAILS") {
            Some(message) => json!({
                "FunctionError": "Unhandled",
                "Payload": {"errorType": "RuntimeError", "errorMessage": message},
            }),
            None => json!({ "Payload": {"ok": true} }),
        })
    }
}

/// The name of a function, also where it is called by its ARN.
fn name(input: &Object) -> Result<String, Fault> {
    let missing = || Fault::client("InvalidParameterValueException", "FunctionName is missing");
    let given = text(input, "FunctionName").ok_or_else(missing)?;
    // arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]
    let named = given
        .split(':')
        .nth(6)
        .filter(|_| given.starts_with("arn:"));
    Ok(named.unwrap_or(given).to_owned())
}

fn arn(cx: &Cx<'_>, name: &str) -> String {
    format!(
        "arn:aws:lambda:{}:{}:function:{name}",
        cx.region, cx.account
    )
}

fn missing(cx: &Cx<'_>, name: &str) -> Fault {
    Fault {
        status: 404,
        ..Fault::client(
            "ResourceNotFoundException",
            format!("Function not found: {}", arn(cx, name)),
        )
    }
}

fn configuration(cx: &Cx<'_>, name: &str, function: &Object) -> Value {
    json!({
        "FunctionName": name,
        "FunctionArn": arn(cx, name),
        "Role": function.get("Role"),
        "State": "Active",
    })
}

fn variable<'a>(function: &'a Object, name: &str) -> Option<&'a str> {
    function
        .get("Environment")?
        .get("Variables")?
        .get(name)?
        .as_str()
}
