//! Tokens of transactions: one that is sent again within ten minutes is done once.
//!
//! The engine has this too, but by the machine's clock, and looks through all its tokens each time.
//! Source: <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>

use std::collections::{HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::super::fault::Fault;
use super::super::json::Object;
use crate::model::hash;

/// How long a token is remembered.
const WINDOW: SignedDuration = SignedDuration::from_mins(10);
/// The most characters it may have.
const LONGEST: usize = 36;

/// Transactions that were done, by their tokens.
#[derive(Default)]
pub(super) struct Tokens {
    /// What was sent, by its hash, and what was answered. Setting up thousands of services takes tens
    /// of thousands of transactions, and all of them are let go of at once, with everybody waiting.
    done: HashMap<String, (String, Value)>,
    /// Oldest first.
    order: VecDeque<(Timestamp, String)>,
}

impl Tokens {
    /// Carries out a transaction unless one of its token was; what was refused may be sent again.
    pub fn once(
        &mut self,
        now: Timestamp,
        mut input: Object,
        carry_out: impl FnOnce(Object) -> Result<Value, Fault>,
    ) -> Result<Value, Fault> {
        let Some(token) = input.remove("ClientRequestToken") else {
            return carry_out(input);
        };
        let token = match token {
            Value::String(token) if (1..=LONGEST).contains(&token.len()) => token,
            _ => {
                let message = "1 validation error detected: Value at 'clientRequestToken' failed to satisfy constraint: Member must have length less than or equal to 36";
                return Err(Fault::client("ValidationException", message));
            }
        };
        self.forget(now);
        let sent = hash::of(&input);
        if let Some((before, answer)) = self.done.get(&token) {
            if *before == sent {
                return Ok(answer.clone());
            }
            let message = "An error occurred (IdempotentParameterMismatchException)";
            return Err(Fault::client(
                "IdempotentParameterMismatchException",
                message,
            ));
        }
        let answer = carry_out(input)?;
        self.done.insert(token.clone(), (sent, answer.clone()));
        self.order.push_back((now, token));
        Ok(answer)
    }

    fn forget(&mut self, now: Timestamp) {
        while let Some((_, token)) = self
            .order
            .pop_front_if(|(at, _)| now.duration_since(*at) >= WINDOW)
        {
            self.done.remove(&token);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Object {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn a_token_is_done_once_within_ten_minutes() {
        let mut tokens = Tokens::default();
        let start: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
        let mut done = 0;
        let mut send = |minutes: i64, items: i64| {
            let input = object(json!({"ClientRequestToken": "a", "TransactItems": [items]}));
            let at = start + SignedDuration::from_mins(minutes);
            let answer = tokens.once(at, input, |input| {
                assert_eq!(input.keys().collect::<Vec<_>>(), ["TransactItems"]);
                done += 1;
                Ok(json!({ "done": done }))
            });
            answer.map_err(|fault| fault.code)
        };
        assert_eq!(send(0, 1), Ok(json!({"done": 1})));
        assert_eq!(send(9, 1), Ok(json!({"done": 1})));
        assert_eq!(send(9, 2), Err("IdempotentParameterMismatchException"));
        assert_eq!(send(10, 2), Ok(json!({"done": 2})));
    }

    #[test]
    fn what_was_refused_may_be_sent_again() {
        let mut tokens = Tokens::default();
        let now: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
        let input = object(json!({"ClientRequestToken": "a"}));
        let refused = tokens.once(now, input.clone(), |_| {
            Err(Fault::client("TransactionCanceledException", ""))
        });
        assert!(refused.is_err());
        assert_eq!(
            tokens.once(now, input, |_| Ok(json!({}))).ok(),
            Some(json!({}))
        );
    }
}
