//! How subjects stand, by the accounts and service keys in memory.

use async_trait::async_trait;

use super::MemoryDirectory;
use crate::decide::Standing;
use crate::permission::{Ceiling, Permissions};
use crate::ports::{AccountId, StoreError, Subjects};
use crate::subject::{Namespace, Subject};

#[async_trait]
impl Subjects for MemoryDirectory {
    async fn standing(&self, subject: &Subject) -> Result<Standing, StoreError> {
        Ok(match subject.namespace() {
            Namespace::User => self.account_standing(subject),
            Namespace::External => self.service_standing(subject),
            // Wallets and pseudonyms need no entry here: who proves one may sign in.
            Namespace::Ethereum | Namespace::InternetComputer | Namespace::ZeroKnowledge => Standing::UNRESTRICTED,
        })
    }
}

impl MemoryDirectory {
    fn account_standing(&self, subject: &Subject) -> Standing {
        let state = self.state();
        let account = AccountId::of_subject(subject).and_then(|id| state.accounts.get(&id));
        account.map_or_else(nobody, |account| Standing {
            active: !account.disabled,
            until: None,
            epoch: account.epoch,
            ceiling: Ceiling::Only(account.permissions.clone()),
            licensed: false,
        })
    }

    fn service_standing(&self, subject: &Subject) -> Standing {
        let now = self.clock.now();
        let state = self.state();
        let key = subject.service().and_then(|service| state.service_keys.get(service));
        key.map_or_else(nobody, |key| Standing {
            active: key.is_live(now),
            until: Some(key.expires_at),
            epoch: 0,
            ceiling: Ceiling::Only(key.permissions.clone()),
            licensed: false,
        })
    }
}

/// The standing of a subject that does not exist.
fn nobody() -> Standing {
    Standing { active: false, until: None, epoch: 0, ceiling: Ceiling::Only(Permissions::none()), licensed: false }
}
