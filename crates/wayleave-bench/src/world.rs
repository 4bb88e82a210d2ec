//! Deployments in this process: a store full of sessions as people have them, and managers in front of it.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::JoinSet;
use wayleave::jwt::Audience;
use wayleave::{Open, Opened, Options, Origin, Parts, Rules, SessionManager, SystemClock, SystemEntropy};
use wayleave_core::authentication::{Authority, Level, Method};
use wayleave_core::decide::Standing;
use wayleave_core::entries::Entries;
use wayleave_core::memory::{DirectoryLimits, MemoryDirectory, MemoryOptions, MemoryStore};
use wayleave_core::permission::{Ceiling, Permissions};
use wayleave_core::ports::{
    Account, AccountId, Accounts, Clock as _, InsertAccount, SessionStore, StoreError, Subjects,
};
use wayleave_core::record::{Client, Fingerprint, Revision};
use wayleave_core::routing::RoutingKey;
use wayleave_core::seal::{KeyId, KeyRing, SealingKey};
use wayleave_core::subject::{Namespace, Subject};
use wayleave_core::token::TOKEN_LENGTH;
use wayleave_sqlite::{Durability, SqliteStore};

use crate::measure::Picks;
use crate::problem::Problem;

const AUTHORITY: [u8; 16] = [1; 16];
const ROUTING: [u8; 16] = [2; 16];
const PERMISSIONS: [&str; 6] =
    ["read:profile", "write:profile", "read:messages", "write:messages", "join:groups", "book:sessions"];
const BROWSERS: [&str; 8] = [
    "Firefox on Linux",
    "Firefox on Windows",
    "Chrome on Windows",
    "Chrome on Android",
    "Chrome on macOS",
    "Safari on iOS",
    "Safari on macOS",
    "Edge on Windows",
];

/// How a session's client holds it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// In a cookie: kind `web`, no refresh token.
    Cookie,
    /// As tokens: kind `standard`, with a refresh token.
    Bearer,
}

/// Which tokens are kept when a store is filled.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    Nothing,
    Access,
    Refresh,
}

/// A store, with the people that sign in to it.
pub(crate) struct World {
    pub(crate) memory: Option<Arc<MemoryStore>>,
    store: Arc<dyn SessionStore>,
    subjects: Arc<dyn Subjects>,
    /// None where everybody is welcome.
    accounts: Option<Arc<dyn Accounts>>,
    permissions: Permissions,
    /// How many sign in at once while the store is filled.
    at_once: usize,
}

impl World {
    /// Sessions and accounts in memory, as a server with a `memory:` store has them.
    pub(crate) fn memory(sessions: usize) -> Result<Arc<Self>, Problem> {
        let limits = DirectoryLimits { accounts: sessions, ..DirectoryLimits::default() };
        let directory = Arc::new(MemoryDirectory::new(limits, Arc::new(SystemClock)));
        Self::in_memory(sessions, Arc::clone(&directory) as Arc<dyn Subjects>, Some(directory))
    }

    /// Sessions in memory, and nothing else.
    pub(crate) fn sessions_alone(sessions: usize) -> Result<Arc<Self>, Problem> {
        Self::in_memory(sessions, Arc::new(Everybody(permissions()?)), None)
    }

    fn in_memory(
        sessions: usize,
        subjects: Arc<dyn Subjects>,
        accounts: Option<Arc<dyn Accounts>>,
    ) -> Result<Arc<Self>, Problem> {
        let options = MemoryOptions { most_records: sessions.max(1), ..MemoryOptions::default() };
        let memory = Arc::new(MemoryStore::new(options));
        let store = Arc::clone(&memory) as Arc<dyn SessionStore>;
        Ok(Arc::new(Self { memory: Some(memory), store, subjects, accounts, permissions: permissions()?, at_once: 1 }))
    }

    /// Sessions and accounts in a SQLite file, in a temporary folder that goes with the world.
    pub(crate) async fn sqlite(durability: Durability) -> Result<Arc<Self>, Problem> {
        let ring = KeyRing::new(SealingKey::new(KeyId(1), [3; 32]), []);
        let ring = ring.map_err(|_| Problem::Defect("one key is a duplicate"))?;
        let mut options = wayleave_sqlite::Options::new(Arc::new(ring), Arc::new(SystemEntropy), Arc::new(SystemClock));
        options.durability = durability;
        let sqlite = Arc::new(SqliteStore::open_temporary(options).await?);
        Ok(Arc::new(Self {
            memory: None,
            store: Arc::clone(&sqlite) as Arc<dyn SessionStore>,
            subjects: Arc::clone(&sqlite) as Arc<dyn Subjects>,
            accounts: Some(sqlite),
            permissions: permissions()?,
            at_once: 64,
        }))
    }

    /// A manager in front of the store. All managers of a world honour the same tokens.
    pub(crate) fn manager(&self, options: Options) -> Arc<SessionManager> {
        Arc::new(SessionManager::new(Parts {
            store: Arc::clone(&self.store),
            subjects: Arc::clone(&self.subjects),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            authority: Authority::new(AUTHORITY),
            routing: RoutingKey::new(ROUTING),
            cluster: None,
            rules: Rules { refresh_window: Rules::REFRESH_WINDOW, ..Rules::default() },
            audience: Audience { issuer: "https://bench.invalid".into(), audience: "https://bench.invalid".into() },
            options,
        }))
    }

    /// A manager that keeps nothing in memory.
    pub(crate) fn cold_manager(&self) -> Arc<SessionManager> {
        self.manager(Options { warm_sessions: 0, unknown_tokens: 0, ..Options::default() })
    }

    /// Lets so many people sign in, each once.
    pub(crate) async fn populate(
        self: &Arc<Self>,
        sessions: usize,
        style: Style,
        keep: Keep,
    ) -> Result<Population, Problem> {
        let manager = self.cold_manager();
        let mut tasks = JoinSet::new();
        for task in 0..self.at_once {
            let (world, manager) = (Arc::clone(self), Arc::clone(&manager));
            tasks.spawn(async move {
                let mut part = Population::default();
                for number in (task..sessions).step_by(world.at_once) {
                    part.keep(keep, &world.sign_in(&manager, number, style).await?);
                }
                Ok::<_, Problem>(part)
            });
        }
        let mut all = Population::default();
        while let Some(part) = tasks.join_next().await {
            let Population { access, refresh } = part.map_err(|_| Problem::Thread)??;
            all.access.0.push_str(&access.0);
            all.refresh.extend(refresh);
        }
        Ok(all)
    }

    async fn sign_in(&self, manager: &SessionManager, number: usize, style: Style) -> Result<Opened, Problem> {
        let mut picks = Picks::new(u64::try_from(number).unwrap_or(0));
        let id = AccountId::new(picks.bytes());
        let subject = Subject::new(Namespace::User, id.as_str()).map_err(|_| Problem::Defect("an id is no subject"))?;
        let now = SystemClock.now();
        if let Some(accounts) = &self.accounts {
            let account = self.account(id, number)?;
            if accounts.insert(&account).await? == InsertAccount::Exists {
                return Err(Problem::Defect("an account is there already"));
            }
        }
        let evidence = Authority::new(AUTHORITY)
            .prover(Method::Password, Level::ONE, Namespace::User)
            .testify(subject, 0, now)
            .map_err(|_| Problem::Defect("the prover speaks for somebody else"))?;
        let (kind, refreshable) = match style {
            Style::Cookie => ("web", false),
            Style::Bearer => ("standard", true),
        };
        let [a, b, ..] = number.to_be_bytes().into_iter().rev().collect::<Vec<u8>>()[..] else {
            return Err(Problem::Defect("a number has two bytes"));
        };
        let open = Open {
            kind: kind.parse().map_err(|_| Problem::Defect("a kind's name is malformed"))?,
            permissions: None,
            duration: None,
            remember: false,
            refreshable,
            client: Client {
                label: BROWSERS.get(picks.below(BROWSERS.len())).map(|label| Box::from(*label)),
                network: Some(format!("203.{a}.{b}.0/24").into()),
                fingerprint: Some(Fingerprint(picks.bytes())),
            },
            replaces: None,
            data: data(number)?,
            context: Entries::new(),
        };
        Ok(manager.open(evidence, open, &Origin::default()).await?)
    }

    fn account(&self, id: AccountId, number: usize) -> Result<Account, Problem> {
        let now = SystemClock.now();
        Ok(Account {
            id,
            email: format!("person{number}@example.org").parse().map_err(|_| Problem::Defect("no address"))?,
            name: format!("Person {number}").into(),
            role: "".into(),
            phone: None,
            labels: Vec::new(),
            avatar: None,
            permissions: self.permissions.clone(),
            disabled: false,
            must_change_password: false,
            epoch: 0,
            created_at: now,
            updated_at: now,
            last_sign_in_at: None,
            revision: Revision::default(),
        })
    }
}

fn permissions() -> Result<Permissions, Problem> {
    Permissions::new(PERMISSIONS).map_err(|_| Problem::Defect("a permission is malformed"))
}

fn data(number: usize) -> Result<Entries, Problem> {
    let mut data = Entries::new();
    for (key, value) in [("display_mode", "dark"), ("shopping_cart", "cart")] {
        let value = format!("{value}-{number:07}");
        data.set(key, value.as_bytes()).map_err(|_| Problem::Defect("two entries are too many"))?;
    }
    Ok(data)
}

/// A directory in which everybody is welcome.
struct Everybody(Permissions);

#[async_trait]
impl Subjects for Everybody {
    async fn standing(&self, _: &Subject) -> Result<Standing, StoreError> {
        Ok(Standing { active: true, until: None, epoch: 0, ceiling: Ceiling::Only(self.0.clone()), licensed: false })
    }
}

/// The tokens of everybody who signed in.
#[derive(Default)]
pub(crate) struct Population {
    pub(crate) access: Tokens,
    pub(crate) refresh: Vec<String>,
}

impl Population {
    fn keep(&mut self, keep: Keep, opened: &Opened) {
        match keep {
            Keep::Nothing => {}
            Keep::Access => self.access.0.push_str(&opened.issued.access),
            Keep::Refresh => self.refresh.extend(opened.issued.refresh.iter().map(|token| String::clone(token))),
        }
    }
}

/// Access tokens one after another, so that reading the next one costs nothing.
#[derive(Default)]
pub(crate) struct Tokens(String);

impl Tokens {
    /// So many, drawn at random.
    pub(crate) fn draw(&self, picks: &mut Picks, count: usize) -> Self {
        let mut drawn = String::with_capacity(count * TOKEN_LENGTH);
        for _ in 0..count {
            drawn.push_str(self.get(picks.below(self.len())));
        }
        Self(drawn)
    }

    /// The first one alone.
    pub(crate) fn first(&self) -> Self {
        Self(self.get(0).to_owned())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len() / TOKEN_LENGTH
    }

    pub(crate) fn bytes(&self) -> u64 {
        u64::try_from(self.0.len()).unwrap_or(u64::MAX)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|at| self.get(at))
    }

    fn get(&self, at: usize) -> &str {
        self.0.get(at * TOKEN_LENGTH..(at + 1) * TOKEN_LENGTH).unwrap_or_default()
    }
}
