use serde_json::{Value, json};

use super::local::{Fate, Local, denied};
use super::{
    Condition, Item, Key, Repair, Table, TableError, WRITE_ID, Write, WriteError, normalize,
};

fn item(pk: &str, sk: &str, rest: Value) -> Item {
    let Value::Object(mut item) = rest else {
        panic!("an item is an object")
    };
    item.insert("pk".to_owned(), pk.into());
    item.insert("sk".to_owned(), sk.into());
    item
}

fn put(pk: &str, sk: &str, condition: Option<Condition>) -> Write {
    Write::Put {
        item: item(pk, sk, json!({})),
        condition,
    }
}

fn failed_at(result: Result<(), WriteError>) -> usize {
    match result {
        Err(WriteError::ConditionFailed { index }) => index,
        other => panic!("{other:?}"),
    }
}

async fn sort_keys(table: &Table, pk: &str, prefix: &str) -> Vec<String> {
    let items = table.query(pk, prefix).await.unwrap();
    items.iter().map(|item| Key::of(item).sk).collect()
}

#[tokio::test(start_paused = true)]
async fn an_item_comes_back_as_it_was_put() {
    let (_, table) = Local::with_table().await;
    let content = json!({
        "empty": "", "null": null, "yes": true, "list": [1, "two", [], {}],
        "map": { "nested": { "with.dot": "" } },
        "numbers": [0, -7, 9_007_199_254_740_993_i64, 1.5, u64::MAX],
    });
    let write = Write::Put {
        item: item("p", "s", content.clone()),
        condition: None,
    };
    table.write(vec![write]).await.unwrap();
    let mut found = table.get(&Key::new("p", "s")).await.unwrap().unwrap();
    assert!(found.shift_remove(WRITE_ID).is_some());
    assert_eq!(Value::Object(found), Value::Object(item("p", "s", content)));
    assert_eq!(table.get(&Key::new("p", "other")).await.unwrap(), None);
}

#[test]
fn numbers_that_the_table_would_rewrite_are_rewritten_before_they_are_compared() {
    assert_eq!(
        normalize(json!({ "a": [1.0, 2.5, -0.0] })),
        json!({ "a": [1, 2.5, 0] })
    );
}

#[tokio::test(start_paused = true)]
async fn every_read_is_strongly_consistent() {
    let (local, table) = Local::with_table().await;
    table.get(&Key::new("p", "s")).await.unwrap();
    table.query("p", "s").await.unwrap();
    table.batch_get(&[Key::new("p", "s")]).await.unwrap();
    for call in local.calls() {
        let asked = match call.operation.as_str() {
            "BatchGetItem" => &call.body["RequestItems"]["evenkeel"]["ConsistentRead"],
            _ => &call.body["ConsistentRead"],
        };
        assert_eq!(*asked, json!(true), "{}", call.operation);
    }
}

#[tokio::test(start_paused = true)]
async fn a_query_reads_every_page_and_only_its_prefix() {
    let (local, table) = Local::with_table().await;
    let big = "x".repeat(300_000);
    for number in 0..9 {
        let item = item("p", &format!("a#{number}"), json!({ "big": big }));
        table
            .write(vec![Write::Put {
                item,
                condition: None,
            }])
            .await
            .unwrap();
    }
    table
        .write(vec![put("p", "b#0", None), put("q", "a#0", None)])
        .await
        .unwrap();
    local.forget();
    let found = sort_keys(&table, "p", "a#").await;
    assert_eq!(
        found,
        (0..9)
            .map(|number| format!("a#{number}"))
            .collect::<Vec<_>>()
    );
    assert!(local.calls().len() > 1, "2.7 MB do not fit into one page");
    assert_eq!(sort_keys(&table, "p", "").await.len(), 10);
    assert!(table.any("p", "b#").await.unwrap());
    assert!(!table.any("p", "c#").await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_any_size_asks_again_for_what_was_left_out() {
    let (local, table) = Local::with_table().await;
    for chunk in (0..250).collect::<Vec<_>>().chunks(50) {
        let writes = chunk
            .iter()
            .map(|number| put("p", &number.to_string(), None))
            .collect();
        table.write(writes).await.unwrap();
    }
    local.fate(|call| match (call.operation.as_str(), call.nth) {
        ("BatchGetItem", 1) => Fate::Instead(json!({
            "Responses": {}, "UnprocessedKeys": call.body["RequestItems"],
        })),
        _ => Fate::Answered,
    });
    let mut keys: Vec<_> = (0..260)
        .map(|number| Key::new("p", number.to_string()))
        .collect();
    keys.push(Key::new("p", "0"));
    assert_eq!(table.batch_get(&keys).await.unwrap().len(), 250);
    assert_eq!(local.calls().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_left_out_for_ever_are_an_error() {
    let (local, table) = Local::with_table().await;
    local.fate(|call| {
        let left = &call.body["RequestItems"];
        Fate::Instead(json!({ "Responses": {}, "UnprocessedKeys": left }))
    });
    let error = table.batch_get(&[Key::new("p", "s")]).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_transaction_does_all_or_nothing_and_names_the_first_condition_that_failed() {
    let (_, table) = Local::with_table().await;
    table
        .write(vec![put("p", "there", None), put("p", "too", None)])
        .await
        .unwrap();
    let writes = vec![
        put("p", "new", Some(Condition::Absent)),
        Write::Check {
            key: Key::new("p", "too"),
            condition: Condition::Present,
        },
        put("p", "there", Some(Condition::Absent)),
        Write::Delete {
            key: Key::new("p", "not there"),
            condition: Some(Condition::Present),
        },
    ];
    assert_eq!(failed_at(table.write(writes).await), 2);
    assert_eq!(sort_keys(&table, "p", "").await, ["there", "too"]);
}

#[tokio::test(start_paused = true)]
async fn conditions_speak_of_the_item_that_is_there() {
    let (_, table) = Local::with_table().await;
    let there = item("p", "s", json!({ "version": 3, "name": "a" }));
    table
        .write(vec![Write::Put {
            item: there,
            condition: None,
        }])
        .await
        .unwrap();
    let version = |version: u64| Condition::Equals("version", version.into());
    let name = |name: &str| Condition::Equals("name", name.into());
    let holds = [
        Condition::Present,
        Condition::Has("name"),
        version(3),
        Condition::All(vec![version(3), name("a")]),
        Condition::Any(vec![Condition::Absent, name("a")]),
        Condition::Any(vec![name("b"), name("a")]),
    ];
    let fails = [
        Condition::Absent,
        Condition::Has("other"),
        version(2),
        Condition::All(vec![version(3), name("b")]),
        Condition::Any(vec![name("b"), name("c")]),
    ];
    let check = |condition| {
        vec![Write::Check {
            key: Key::new("p", "s"),
            condition,
        }]
    };
    for condition in holds {
        table.write(check(condition)).await.unwrap();
    }
    for condition in fails {
        failed_at(table.write(check(condition)).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_put_whose_answer_was_lost_is_not_mistaken_for_a_conflict() {
    let (local, table) = Local::with_table().await;
    // The SDK sends it again, and the condition fails because of the first one.
    local.fate(|call| match (call.operation.as_str(), call.nth) {
        ("PutItem", 0) => Fate::AnswerLost,
        _ => Fate::Answered,
    });
    table
        .write(vec![put("p", "s", Some(Condition::Absent))])
        .await
        .unwrap();
    assert_eq!(local.writes(), ["PutItem", "PutItem"]);
    // Somebody else's is a conflict.
    assert_eq!(
        failed_at(
            table
                .write(vec![put("p", "s", Some(Condition::Absent))])
                .await
        ),
        0
    );
}

#[tokio::test(start_paused = true)]
async fn a_write_that_never_gets_an_answer_is_looked_at_again() {
    for (writes, operation) in [
        (vec![put("p", "s", Some(Condition::Absent))], "PutItem"),
        (
            vec![put("p", "s", Some(Condition::Absent)), put("p", "t", None)],
            "TransactWriteItems",
        ),
    ] {
        let (local, table) = Local::with_table().await;
        local.fate(move |call| match call.operation == operation {
            true => Fate::AnswerLost,
            false => Fate::Answered,
        });
        table.write(writes.clone()).await.unwrap();
        local.fate(move |call| match call.operation == operation {
            true => Fate::Lost,
            false => Fate::Answered,
        });
        match table.write(writes).await {
            Err(WriteError::Table(error)) => assert!(error.is_ambiguous(), "{error}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_met_another_is_sent_again_under_the_same_token() {
    let (local, table) = Local::with_table().await;
    local.fate(|call| match (call.operation.as_str(), call.nth) {
        ("TransactWriteItems", 0) => Fate::Refused(
            400,
            "TransactionCanceledException",
            json!({
                "Message": "Transaction cancelled",
                "CancellationReasons": [{ "Code": "None" }, { "Code": "TransactionConflict" }],
            }),
        ),
        ("TransactWriteItems", 1) => Fate::Refused(
            400,
            "TransactionInProgressException",
            json!({ "Message": "wait" }),
        ),
        ("PutItem", 0) => Fate::Refused(
            400,
            "TransactionConflictException",
            json!({ "message": "busy" }),
        ),
        _ => Fate::Answered,
    });
    table
        .write(vec![put("p", "a", None), put("p", "b", None)])
        .await
        .unwrap();
    table.write(vec![put("p", "c", None)]).await.unwrap();
    assert_eq!(sort_keys(&table, "p", "").await, ["a", "b", "c"]);
    let tokens: std::collections::BTreeSet<_> = local
        .calls()
        .into_iter()
        .filter(|call| call.operation == "TransactWriteItems")
        .map(|call| call.body["ClientRequestToken"].to_string())
        .collect();
    assert_eq!(tokens.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn endless_contention_ends_in_an_error_that_says_so() {
    let (local, table) = Local::with_table().await;
    local.fate(|_| {
        Fate::Refused(
            400,
            "TransactionConflictException",
            json!({ "message": "busy" }),
        )
    });
    let Err(WriteError::Table(error)) = table.write(vec![put("p", "s", None)]).await else {
        panic!("it was never written");
    };
    assert!(error.is_transient());
    assert!(
        error.to_string().contains("p / s in table evenkeel"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_item_that_is_too_large_is_refused_before_anything_is_sent() {
    let (local, table) = Local::with_table().await;
    let large = item(
        "spec#prod",
        "release#app",
        json!({ "spec": "x".repeat(410_000) }),
    );
    let writes = vec![
        put("p", "s", None),
        Write::Put {
            item: large,
            condition: None,
        },
    ];
    let Err(WriteError::Table(error)) = table.write(writes).await else {
        panic!("written")
    };
    assert!(matches!(error, TableError::TooLarge { .. }));
    assert!(
        error
            .to_string()
            .starts_with("spec#prod / release#app would take 410"),
        "{error}"
    );
    assert!(local.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_missing_table_says_what_to_run() {
    let table = Local::empty().table();
    let sentence = "table evenkeel does not exist in eu-central-1: run `evenkeel init`";
    let key = Key::new("p", "s");
    assert_eq!(table.get(&key).await.unwrap_err().to_string(), sentence);
    assert_eq!(
        table.query("p", "").await.unwrap_err().to_string(),
        sentence
    );
    assert_eq!(
        table.batch_get(&[key]).await.unwrap_err().to_string(),
        sentence
    );
    let write = table.write(vec![put("p", "s", None)]).await.unwrap_err();
    assert_eq!(write.to_string(), sentence);
    let writes = vec![put("p", "s", None), put("p", "t", None)];
    assert_eq!(table.write(writes).await.unwrap_err().to_string(), sentence);
}

#[tokio::test(start_paused = true)]
async fn a_denied_call_names_the_item_and_the_right() {
    let (local, table) = Local::with_table().await;
    local.fate(|_| denied());
    let error = table
        .get(&Key::new("spec#prod", "release#app"))
        .await
        .unwrap_err();
    assert!(error.is_access_denied());
    let text = error.to_string();
    assert!(
        text.contains("spec#prod / release#app in table evenkeel"),
        "{text}"
    );
    assert!(text.contains("dynamodb:GetItem"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_new_table_has_stream_and_expiry_and_a_second_look_changes_nothing() {
    let local = Local::empty();
    let table = local.table();
    assert_eq!(table.describe().await.unwrap(), None);
    assert!(table.create_table().await.unwrap());
    assert_eq!(table.repair().await.unwrap(), [Repair::TimeToLive]);
    let found = table.describe().await.unwrap().unwrap();
    assert!(found.keys_fit && found.active);
    assert_eq!(found.stream.as_deref(), Some("NEW_AND_OLD_IMAGES"));
    local.forget();
    assert_eq!(table.repair().await.unwrap(), []);
    assert_eq!(local.writes(), [""; 0]);
    // Somebody else was faster.
    assert!(!table.create_table().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_table_of_other_keys_is_left_alone() {
    let local = Local::empty();
    let table = local.table();
    local.fate(|call| match call.operation.as_str() {
        "DescribeTable" => Fate::Instead(json!({ "Table": {
            "TableStatus": "ACTIVE",
            "KeySchema": [{ "AttributeName": "id", "KeyType": "HASH" }],
        } })),
        other => panic!("{other} was called"),
    });
    let text = table.repair().await.unwrap_err().to_string();
    assert!(
        text.contains("not evenkeel's") && text.contains("--table"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_off_is_turned_on() {
    let (local, table) = Local::with_table().await;
    local.fate(|call| match (call.operation.as_str(), call.nth) {
        ("DescribeTable", 0) => Fate::Instead(json!({ "Table": {
            "TableStatus": "ACTIVE",
            "KeySchema": [
                { "AttributeName": "pk", "KeyType": "HASH" },
                { "AttributeName": "sk", "KeyType": "RANGE" },
            ],
        } })),
        ("UpdateTable", _) => Fate::Instead(json!({})),
        _ => Fate::Answered,
    });
    assert_eq!(
        table.repair().await.unwrap(),
        [Repair::Stream, Repair::TimeToLive]
    );
    assert_eq!(local.writes(), ["UpdateTable", "UpdateTimeToLive"]);
}
