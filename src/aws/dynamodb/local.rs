//! A DynamoDB in this process for tests: a real implementation behind the SDK's connector, with
//! calls recorded and answers that can be lost.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use dynoxide::Database;
use serde_json::{Value, json};

use super::Table;
use crate::aws::Aws;

/// One call as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub operation: String,
    pub body: Value,
    /// How many calls of this operation came before.
    pub nth: usize,
}

/// What becomes of a call.
pub(crate) enum Fate {
    /// It is carried out and answered.
    Answered,
    /// The same, after a while.
    Late(Duration),
    /// It is carried out, and the answer is lost.
    AnswerLost,
    /// It is carried out, and there is no answer, not even that none will come.
    AnswerNever,
    /// It is carried out after a while, whether anybody still waits for it or not, and there is no
    /// answer.
    Lands(Duration),
    /// It never arrives, and nobody can tell.
    Lost,
    /// It never arrives, and there is no answer, not even that.
    Never,
    /// It is refused: status, code, rest of the body.
    Refused(u16, &'static str, Value),
    /// It is not carried out, and this is the answer.
    Instead(Value),
}

type Fates = dyn Fn(&Arrived) -> Fate + Send + Sync;

#[derive(Clone)]
pub(crate) struct Local {
    database: Arc<Mutex<Database>>,
    calls: Arc<Mutex<Vec<Arrived>>>,
    fates: Arc<Mutex<Box<Fates>>>,
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Local")
    }
}

impl Local {
    /// Without tables.
    pub fn empty() -> Self {
        Self {
            database: Arc::new(Mutex::new(Database::memory().unwrap())),
            calls: Arc::default(),
            fates: Arc::new(Mutex::new(Box::new(|_| Fate::Answered))),
        }
    }

    /// With the table.
    pub async fn with_table() -> (Self, Table) {
        let local = Self::empty();
        let table = local.table();
        assert!(table.create_table().await.unwrap());
        local.forget();
        (local, table)
    }

    /// Another way to the same tables, with calls and fates of its own.
    pub fn beside(&self) -> Self {
        Self {
            database: self.database.clone(),
            ..Self::empty()
        }
    }

    pub fn table(&self) -> Table {
        let connector = SharedHttpConnector::new(self.clone());
        let http = http_client_fn(move |_, _| connector.clone());
        Table::new(&Aws::for_test(http, "eu-central-1"), "evenkeel")
    }

    /// Decides what becomes of calls from now on.
    pub fn fate(&self, fate: impl Fn(&Arrived) -> Fate + Send + Sync + 'static) {
        self.forget();
        *self.fates.lock().unwrap() = Box::new(fate);
    }

    /// Forgets the calls so far.
    pub fn forget(&self) {
        self.calls.lock().unwrap().clear();
    }

    pub fn calls(&self) -> Vec<Arrived> {
        self.calls.lock().unwrap().clone()
    }

    /// Operations that change items, in order.
    pub fn writes(&self) -> Vec<String> {
        let reads = [
            "GetItem",
            "Query",
            "BatchGetItem",
            "DescribeTable",
            "DescribeTimeToLive",
        ];
        let calls = self.calls().into_iter().map(|call| call.operation);
        calls
            .filter(|name| !reads.contains(&name.as_str()))
            .collect()
    }

    fn arrive(&self, request: &HttpRequest) -> Arrived {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let body = request.body().bytes().unwrap_or_default();
        let mut calls = self.calls.lock().unwrap();
        let nth = calls
            .iter()
            .filter(|call| call.operation == operation)
            .count();
        let body = serde_json::from_slice(body).unwrap();
        let arrived = Arrived {
            operation,
            body,
            nth,
        };
        calls.push(arrived.clone());
        arrived
    }

    fn carry_out(&self, call: &Arrived) -> HttpResponse {
        let database = self.database.lock().unwrap();
        macro_rules! dispatch {
            ($($name:literal => $method:ident),* $(,)?) => {
                match call.operation.as_str() {
                    $($name => {
                        let request = serde_json::from_value(call.body.clone()).unwrap();
                        database
                            .$method(request)
                            .map(|answer| serde_json::to_value(answer).unwrap())
                    })*
                    other => panic!("{other} is not dispatched"),
                }
            };
        }
        let done = dispatch! {
            "CreateTable" => create_table,
            "DescribeTable" => describe_table,
            "UpdateTable" => update_table,
            "UpdateTimeToLive" => update_time_to_live,
            "DescribeTimeToLive" => describe_time_to_live,
            "GetItem" => get_item,
            "PutItem" => put_item,
            "DeleteItem" => delete_item,
            "Query" => query,
            "BatchGetItem" => batch_get_item,
            "TransactWriteItems" => transact_write_items,
        };
        match done {
            Ok(answer) => respond(200, answer.to_string()),
            Err(error) => respond(error.status_code(), error.to_json()),
        }
    }
}

impl HttpConnector for Local {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let local = self.clone();
        HttpConnectorFuture::new(async move {
            // Lets concurrent callers meet: each reads before the other writes.
            tokio::task::yield_now().await;
            let call = local.arrive(&request);
            let fate = (local.fates.lock().unwrap())(&call);
            let lost = || io::Error::from(io::ErrorKind::ConnectionReset);
            match fate {
                Fate::Answered => Ok(local.carry_out(&call)),
                Fate::Late(time) => {
                    tokio::time::sleep(time).await;
                    Ok(local.carry_out(&call))
                }
                Fate::AnswerLost => {
                    local.carry_out(&call);
                    Err(ConnectorError::io(Box::new(lost())))
                }
                Fate::Lands(time) => {
                    tokio::spawn(async move {
                        tokio::time::sleep(time).await;
                        local.carry_out(&call);
                    });
                    std::future::pending().await
                }
                Fate::AnswerNever => {
                    local.carry_out(&call);
                    std::future::pending().await
                }
                Fate::Never => std::future::pending().await,
                Fate::Lost => Err(ConnectorError::io(Box::new(lost()))),
                Fate::Refused(status, code, mut body) => {
                    body["__type"] = format!("com.amazonaws.dynamodb.v20120810#{code}").into();
                    Ok(respond(status, body.to_string()))
                }
                Fate::Instead(answer) => Ok(respond(200, answer.to_string())),
            }
        })
    }
}

fn respond(status: u16, body: String) -> HttpResponse {
    HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body))
}

/// AWS's refusal of whatever these credentials may not do.
pub(crate) fn denied() -> Fate {
    Fate::Refused(
        400,
        "AccessDeniedException",
        json!({ "message": "not authorized" }),
    )
}
