use super::MemoryStore;
use crate::conformance::{self, Engine};

struct InMemory(MemoryStore);

impl Engine for InMemory {
    type Store = MemoryStore;

    fn open(&self) -> MemoryStore {
        self.0.clone()
    }
}

#[tokio::test]
async fn the_memory_engine_conforms() {
    conformance::run(|| InMemory(MemoryStore::new())).await;
}
