use super::*;
use crate::aws::dynamodb::Key;

#[tokio::test(start_paused = true)]
async fn a_hint_is_kept_once_and_goes_by_itself_after_an_hour() {
    let (local, store) = store().await;
    let other = Store::new(local.table());
    // Two replicas may hint at the same moment; neither is refused.
    let (one, two) = tokio::join!(store.hint("this", at(0)), other.hint("this", at(0)));
    one.unwrap();
    two.unwrap();
    store.hint("that", at(5)).await.unwrap();
    assert_eq!(local.table().query("hint", "").await.unwrap().len(), 2);
    let item = local.table().get(&Key::new("hint", "this")).await;
    let item = item.unwrap().unwrap();
    assert_eq!(item["expiresAt"], at(3600).as_second());
    assert_eq!(item["at"], at(0).to_string());
}
