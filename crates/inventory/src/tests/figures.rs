use super::*;

#[tokio::test(start_paused = true)]
async fn the_metrics_count_images_and_their_ages_as_a_list_does() {
    let hub = Metrics::new(&["test".to_owned()]);
    let wall = Wall::new();
    let (clock, store) = (Arc::clone(&wall), MemoryStore::new());
    store.set_time(start());
    let store: Arc<dyn Store> = Arc::new(store);
    let time = Box::new(move || clock.now());
    let inventory = Inventory::new("test", Arc::clone(&store), hub.registry("test"), time);
    let keeper = Keeper::new(Arc::clone(&inventory), Limits::default());
    keeper.walk().await.unwrap();
    let server = Server {
        at_rest: AtRest(Arc::clone(&store)),
        filling: Mutex::default(),
        removing_tag: Notify::new(),
    };
    let place = Place { wall, store, inventory, keeper, server: Arc::new(server) };
    assert_eq!(place.inventory.image_figures(), ImageFigures::default());

    // Two platforms of one image, which were pulled long ago, and an image for one platform.
    let platforms = [place.image("app", &[("amd64", 10)]).await, place.image("app", &[("arm64", 10)]).await];
    let index = place.index("app", &[&platforms[0], &platforms[1]]).await;
    place.tag("app", "1-amd64", &platforms[0]).await;
    place.blob("an orphan", 10).await;
    pass(1000).await;
    place.image("tool", &[("tool", 10)]).await;
    pass(100).await;
    place.inventory.manifest_used(&repository("app"), &index);
    pass(50).await;

    let figures = place.inventory.image_figures();
    let listed: Vec<ImageEntry> = place.list().into_iter().filter(|image| !image.is_part).collect();
    assert_eq!((listed.len(), figures.count), (2, 2));
    assert_eq!(figures.oldest_use, listed.iter().map(|image| image.last_use).min());
    assert_eq!(figures.unused, Some(Duration::from_secs(150)), "the platforms have no age of their own");
    let text = hub.encode();
    assert!(text.contains("wharf_images{registry=\"test\"} 2\n"), "{text}");
    assert!(text.contains("wharf_oldest_use_seconds{registry=\"test\"} 150\n"), "{text}");
}
