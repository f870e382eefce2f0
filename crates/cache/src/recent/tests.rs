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
    assert!(recent.lock().order.len() <= 9);
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

#[tokio::test(start_paused = true)]
async fn t16_facts_are_weighed_and_the_oldest_make_room_for_a_heavy_one() {
    let recent = Recent::weighing(Duration::from_secs(60), 10, |_, value: &Vec<u8>| value.len() as u64);
    for key in [1, 2, 3] {
        recent.insert(key, vec![0; 3]);
    }
    recent.insert(4, vec![0; 7]);
    let held = |key: i32| recent.get(&key).map(|value| value.len());
    assert_eq!([1, 2, 3, 4].map(held), [None, None, Some(3), Some(7)]);
    recent.insert(4, vec![0; 1]);
    recent.insert(5, vec![0; 6]);
    assert_eq!([3, 4, 5].map(held), [Some(3), Some(1), Some(6)], "what is written again weighs once");
    assert_eq!(recent.take(&3).map(|value| value.len()), Some(3));
    recent.insert(6, vec![0; 3]);
    assert_eq!([4, 5, 6].map(held), [Some(1), Some(6), Some(3)], "what was taken weighs nothing");
    recent.insert(7, vec![0; 11]);
    assert_eq!(held(7), None, "heavier than all together");
}

#[tokio::test(start_paused = true)]
async fn t16_what_expires_weighs_nothing() {
    let recent = Recent::weighing(Duration::from_secs(3), 10, |_, value: &Vec<u8>| value.len() as u64);
    recent.insert(1, vec![0; 9]);
    tokio::time::advance(Duration::from_secs(3)).await;
    recent.insert(2, vec![0; 9]);
    assert_eq!(recent.lock().weight, 9);
}
