use super::*;

#[tokio::test(start_paused = true)]
async fn a_fact_is_forgotten_after_its_time() {
    let recent = Recent::new(Duration::from_secs(3), 8);
    recent.insert("tag", 1);
    assert_eq!(recent.get(&"tag"), Some(1));
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(recent.get(&"tag"), None);
    assert_eq!(recent.take(&"tag"), None);
}

#[tokio::test(start_paused = true)]
async fn the_oldest_fact_makes_room() {
    let recent = Recent::new(Duration::from_secs(60), 2);
    for key in [1, 2, 3] {
        recent.insert(key, key);
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    assert_eq!((recent.get(&1), recent.get(&2), recent.get(&3)), (None, Some(2), Some(3)));
}

#[tokio::test(start_paused = true)]
async fn a_fact_written_again_is_as_young_as_its_last_writing() {
    let recent = Recent::new(Duration::from_secs(3), 8);
    recent.insert("tag", 1);
    tokio::time::advance(Duration::from_secs(2)).await;
    recent.insert("tag", 2);
    tokio::time::advance(Duration::from_secs(2)).await;
    recent.insert("other", 3);
    assert_eq!(recent.get(&"tag"), Some(2));
    assert_eq!(recent.take(&"tag"), Some(2));
    assert_eq!(recent.get(&"tag"), None);
}

#[tokio::test(start_paused = true)]
async fn rewriting_one_key_does_not_grow_the_memory() {
    let recent = Recent::new(Duration::from_secs(60), 4);
    for round in 0..1_000 {
        recent.insert("tag", round);
    }
    assert!(recent.facts.lock().order.len() <= 9);
    assert_eq!(recent.get(&"tag"), Some(999));
}

#[tokio::test(start_paused = true)]
async fn rewriting_one_key_takes_no_room_from_the_others() {
    let recent = Recent::new(Duration::from_secs(60), 4);
    recent.insert("quiet", 0);
    for round in 0..1_000 {
        recent.insert("loud", round);
    }
    assert_eq!(recent.get(&"quiet"), Some(0));
}
