use super::*;
use crate::aws::dynamodb::Key;
use crate::aws::dynamodb::local::Fate;

#[tokio::test(start_paused = true)]
async fn init_makes_the_table_once_and_keeps_its_identity() {
    let local = Local::empty();
    let store = Store::new(local.table());
    let first = store.init().await.unwrap();
    assert!(first.created);
    assert_eq!(
        (first.table.as_str(), first.region.as_str()),
        ("evenkeel", "eu-central-1")
    );
    assert_eq!(first.repaired, []);
    assert_eq!(store.installation().await.unwrap(), first.installation);

    local.forget();
    let second = store.init().await.unwrap();
    assert!(!second.created);
    assert_eq!(second.repaired, []);
    assert_eq!(second.installation, first.installation);
    assert_eq!(local.writes(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn two_inits_at_once_agree_on_the_identity() {
    let (local, table) = Local::with_table().await;
    let (one, two) = (Store::new(table), Store::new(local.table()));
    let (one, two) = tokio::join!(one.init(), two.init());
    assert_eq!(one.unwrap().installation, two.unwrap().installation);
}

#[tokio::test(start_paused = true)]
async fn init_puts_right_what_is_missing() {
    let local = Local::empty();
    let table = local.table();
    table.create_table().await.unwrap();
    let report = Store::new(table).init().await.unwrap();
    assert!(!report.created);
    assert_eq!(report.repaired.len(), 1);
    assert!(report.repaired[0].to_string().contains("expiresAt"));
}

#[tokio::test(start_paused = true)]
async fn a_table_that_was_never_initialised_says_what_to_run() {
    let (local, table) = Local::with_table().await;
    assert!(refused(Store::new(table).installation().await).contains("run `evenkeel init`"));
    let missing = Store::new(Local::empty().table())
        .installation()
        .await
        .unwrap_err();
    assert!(
        missing
            .to_string()
            .contains("does not exist in eu-central-1: run `evenkeel init`")
    );
    drop(local);
}

#[tokio::test(start_paused = true)]
async fn the_keys_let_iam_tell_who_may_write_what() {
    let (local, store) = store().await;
    local.fate(|_| Fate::Answered);
    apply(&store, &spec("1"), "ci").await;
    store
        .request(
            &key(),
            crate::model::ledger::RequestKind::Retry,
            "ci",
            at(0),
        )
        .await
        .unwrap();
    let written: Vec<String> = local
        .calls()
        .into_iter()
        .filter(|call| call.operation == "TransactWriteItems")
        .flat_map(|call| call.body["TransactItems"].as_array().unwrap().clone())
        .flat_map(|write| {
            ["Put", "Update", "Delete", "ConditionCheck"].map(|kind| {
                let place = &write[kind];
                let pk = place
                    .pointer("/Item/pk/S")
                    .or_else(|| place.pointer("/Key/pk/S"));
                pk.and_then(Value::as_str).unwrap_or_default().to_owned()
            })
        })
        .filter(|pk| !pk.is_empty())
        .collect();
    let allowed = ["spec#production", "request#production"];
    assert!(written.len() >= 4);
    assert!(
        written.iter().all(|pk| allowed.contains(&pk.as_str())),
        "{written:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_item_that_cannot_be_read_is_named() {
    let (_, store) = store().await;
    let item = json!({ "pk": "spec#production", "sk": "release#shop", "uid": 7 });
    let Value::Object(item) = item else {
        unreachable!()
    };
    let write = crate::aws::dynamodb::Write::Put {
        item,
        condition: None,
    };
    store.table().write(vec![write]).await.unwrap();
    let error = store.release(&key()).await.unwrap_err();
    let place = Key::new("spec#production", "release#shop");
    assert!(
        matches!(&error, StoreError::Malformed { key, .. } if *key == place),
        "{error}"
    );
    assert!(
        error.to_string().contains("spec#production / release#shop"),
        "{error}"
    );
}
