use super::*;
use crate::aws::dynamodb::local::{Fate, denied};

fn requiring(name: &str, others: &[&str]) -> Release {
    let mut spec = spec("1");
    let others: Vec<Value> = others
        .iter()
        .map(|name| json!({ "release": name }))
        .collect();
    spec["requires"] = json!(others);
    named(name, &spec)
}

async fn put(store: &Store, release: &Release) {
    store.apply_release(release, &by("ci")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_circle_through_the_table_is_refused_whole() {
    let (local, store) = store().await;
    put(&store, &requiring("api", &["db"])).await;
    put(&store, &requiring("db", &["web", "elsewhere/cache"])).await;
    local.forget();
    let web = requiring("web", &["api"]);
    let told = refused(store.refuse_circles(&[&web]).await);
    assert!(
        told.contains("production/web -> production/api -> production/db -> production/web"),
        "{told}"
    );
    // Files that undo it themselves are taken together.
    let db = requiring("db", &[]);
    store.refuse_circles(&[&web, &db]).await.unwrap();
    let other = requiring("admin", &["db"]);
    store.refuse_circles(&[&other]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_read_closes_no_circle() {
    let (local, store) = store().await;
    put(&store, &requiring("api", &["web"])).await;
    local.fate(|call| match call.operation.as_str() {
        "GetItem" => denied(),
        _ => Fate::Answered,
    });
    store
        .refuse_circles(&[&requiring("web", &["api"])])
        .await
        .unwrap();
}
