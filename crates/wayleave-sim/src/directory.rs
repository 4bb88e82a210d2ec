//! The directory that all nodes share: how its few subjects stand.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use wayleave::core::decide::Standing;
use wayleave::core::ports::{StoreError, Subjects};
use wayleave::core::subject::{Namespace, Subject};

use crate::history::{Process, Recorder, StandingChange};
use crate::store::Post;

/// How everybody stands.
pub(crate) struct Directory {
    standings: Mutex<BTreeMap<Subject, Standing>>,
    recorder: Arc<Recorder>,
}

impl Directory {
    /// So many people, all of them active.
    pub(crate) fn new(people: u64, recorder: Arc<Recorder>) -> Self {
        let subjects = (1..=people).filter_map(|number| Subject::new(Namespace::User, &format!("p{number}")).ok());
        let standings = subjects.map(|subject| (subject, Standing::UNRESTRICTED)).collect();
        Self { standings: Mutex::new(standings), recorder }
    }

    pub(crate) fn people(&self) -> Vec<Subject> {
        self.standings.lock().keys().cloned().collect()
    }

    /// How somebody stands, without any way in between.
    pub(crate) fn of(&self, subject: &Subject) -> Standing {
        let unknown = Standing { active: false, ..Standing::UNRESTRICTED };
        self.standings.lock().get(subject).cloned().unwrap_or(unknown)
    }

    fn change(&self, process: Process, subject: &Subject, change: StandingChange) {
        let mut standings = self.standings.lock();
        let Some(standing) = standings.get_mut(subject) else { return };
        match change {
            StandingChange::Disable => standing.active = false,
            StandingChange::Enable => standing.active = true,
            StandingChange::Supersede => standing.epoch += 1,
        }
        self.recorder.stood(process, subject, standing);
    }
}

/// The directory as one process reaches it.
pub(crate) struct NodeDirectory {
    pub(crate) directory: Arc<Directory>,
    pub(crate) post: Post,
}

impl NodeDirectory {
    pub(crate) async fn change(&self, subject: &Subject, change: StandingChange) -> Result<(), StoreError> {
        let call = async {
            self.directory.change(self.post.process, subject, change);
            Ok(())
        };
        self.post.carry(call).await
    }
}

#[async_trait]
impl Subjects for NodeDirectory {
    async fn standing(&self, subject: &Subject) -> Result<Standing, StoreError> {
        self.post.carry(async { Ok(self.directory.of(subject)) }).await
    }
}
