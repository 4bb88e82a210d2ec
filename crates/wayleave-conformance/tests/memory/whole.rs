//! The suites for whole records can fail: an interface that is a plain map is found out, case by case.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use wayleave::SystemClock;
use wayleave_conformance::kv::{Failed, Whole, WholeRecord, creating_cases, whole_record_cases};
use wayleave_conformance::{Bench, Case, Races};
use wayleave_core::ports::Clock as _;

/// What many session stores are: the last write wins, also over a deletion, and nothing has a limit.
#[derive(Default)]
struct PlainMap(Mutex<HashMap<String, Whole>>);

#[async_trait]
impl WholeRecord for PlainMap {
    async fn create(&self, id: &str, whole: &Whole) -> Result<String, Failed> {
        self.save(id, whole).await?;
        Ok(id.to_owned())
    }

    async fn save(&self, id: &str, whole: &Whole) -> Result<(), Failed> {
        self.0.lock().unwrap().insert(id.to_owned(), whole.clone());
        Ok(())
    }

    async fn load(&self, id: &str) -> Result<Option<Whole>, Failed> {
        Ok(self.0.lock().unwrap().get(id).filter(|whole| SystemClock.now() < whole.expires_at).cloned())
    }

    async fn delete(&self, id: &str) -> Result<(), Failed> {
        self.0.lock().unwrap().remove(id);
        Ok(())
    }
}

async fn failing(cases: &'static [Case<Arc<dyn WholeRecord>>]) -> Vec<&'static str> {
    let bench = Bench::new(|| async { Arc::new(PlainMap::default()) as Arc<dyn WholeRecord> }, Races::QUICK);
    let mut failing = Vec::new();
    for case in cases {
        if tokio::spawn((case.run)(bench.clone())).await.is_err() {
            failing.push(case.name);
        }
    }
    failing
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_plain_map_is_found_out() {
    assert_eq!(
        failing(whole_record_cases()).await,
        [
            "refuses_data_that_is_too_large",
            "a_save_after_a_delete_brings_nothing_back",
            "a_save_after_the_end_brings_nothing_back",
            "no_life_is_longer_than_the_longest",
            "a_deletion_beats_every_writer",
        ]
    );
    assert_eq!(
        failing(creating_cases()).await,
        [
            "overwrites_nothing",
            "avoids_the_id_of_a_deleted_one",
            "parallel_ones_get_a_session_each",
            "what_has_expired_is_not_created",
            "a_save_creates_nothing",
        ]
    );
}
