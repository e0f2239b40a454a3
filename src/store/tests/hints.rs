use super::*;
use crate::aws::dynamodb::Key;

#[tokio::test(start_paused = true)]
async fn a_hint_is_seen_by_those_who_looked_before_it() {
    let (local, store) = store().await;
    let (shop, blog) = (key(), ReleaseKey::new("staging", "blog"));
    store.hint(&shop, at(10)).await.unwrap();
    store.hint(&blog, at(20)).await.unwrap();
    assert_eq!(
        store.hints(at(0)).await.unwrap(),
        [(shop.clone(), at(10)), (blog.clone(), at(20))]
    );
    assert_eq!(store.hints(at(10)).await.unwrap(), [(blog, at(20))]);
    assert_eq!(store.hints(at(20)).await.unwrap(), []);
    // Two replicas may hint at the same moment; neither is refused, and the newest is kept.
    let (one, two) = (Store::new(local.table()), Store::new(local.table()));
    let (one, two) = tokio::join!(one.hint(&shop, at(30)), two.hint(&shop, at(30)));
    one.unwrap();
    two.unwrap();
    assert_eq!(store.hints(at(20)).await.unwrap(), [(shop, at(30))]);
}

#[tokio::test(start_paused = true)]
async fn a_hint_goes_by_itself_after_an_hour() {
    let (local, store) = store().await;
    store.hint(&key(), at(0)).await.unwrap();
    let item = local
        .table()
        .get(&Key::new("hint", "production/shop"))
        .await;
    let item = item.unwrap().unwrap();
    assert_eq!(item["expiresAt"], at(3600).as_second());
    assert_eq!(item["at"], at(0).to_string());
}

#[tokio::test(start_paused = true)]
async fn a_hint_that_this_version_cannot_read_hides_no_other() {
    let (local, store) = store().await;
    store.hint(&key(), at(10)).await.unwrap();
    for sk in ["no key at all", "production/other"] {
        let item = json!({ "pk": "hint", "sk": sk, "at": { "new": "shape" } });
        let item = item.as_object().unwrap().clone();
        let put = crate::aws::dynamodb::Write::Put {
            item,
            condition: None,
        };
        local.table().write(vec![put]).await.unwrap();
    }
    assert_eq!(store.hints(at(0)).await.unwrap(), [(key(), at(10))]);
}
