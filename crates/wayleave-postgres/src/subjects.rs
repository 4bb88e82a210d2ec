//! How subjects stand, by the accounts and service keys of the database.

use async_trait::async_trait;
use wayleave_core::decide::Standing;
use wayleave_core::ports::{AccountId, StoreError, Subjects};
use wayleave_core::stored;
use wayleave_core::subject::{Namespace, Subject};

use crate::columns::Columns;
use crate::statement::Statement;
use crate::store::PostgresStore;

pub(crate) const ACCOUNT: &str = "SELECT disabled, epoch, permissions FROM accounts WHERE id = $1";
pub(crate) const SERVICE: &str = "SELECT permissions, expires_at, revoked_at FROM service_keys WHERE name = $1";

#[async_trait]
impl Subjects for PostgresStore {
    async fn standing(&self, subject: &Subject) -> Result<Standing, StoreError> {
        let standing = match subject.namespace() {
            Namespace::User => match AccountId::of_subject(subject) {
                Some(id) => {
                    let row = self.read_one(&Statement::new(ACCOUNT).bind(id.as_str())).await?;
                    row.map(|row| stored::account_standing(Columns(&row))).transpose()?
                }
                None => None,
            },
            Namespace::External => match subject.service() {
                Some(service) => {
                    let row = self.read_one(&Statement::new(SERVICE).bind(service)).await?;
                    row.map(|row| stored::service_standing(Columns(&row), self.clock.now())).transpose()?
                }
                None => None,
            },
            // Wallets and pseudonyms need no entry here: who proves one may sign in.
            Namespace::Ethereum | Namespace::InternetComputer | Namespace::ZeroKnowledge => {
                Some(Standing::UNRESTRICTED)
            }
        };
        Ok(standing.unwrap_or_else(stored::nobody))
    }
}
