//! The Lua scripts. Each is known to the servers by the hash of its text, so that nodes of several versions may run side
//! by side, and a server that has forgotten it (a restart, a failover) is told anew.

use std::sync::LazyLock;

use crate::options::Replication;

/// One script.
pub(crate) struct Script {
    plain: Text,
    /// For scripts that write: the same, and a write whatever came of it, for replicas to acknowledge.
    marking: Option<Text>,
}

/// What is sent of a script.
pub(crate) struct Text {
    text: String,
    hash: String,
}

impl Script {
    fn reading(shared: &str, body: &str) -> Self {
        Self { plain: Text::new(format!("{shared}{body}")), marking: None }
    }

    /// `base` says in Lua what the mark's key begins with: that of something that the script's server holds.
    fn writing(shared: &str, body: &str, base: &str) -> Self {
        let marking = format!("{shared}local function work()\n{body}end\nlocal base = {base}\n{MARK}");
        Self { marking: Some(Text::new(marking)), ..Self::reading(shared, body) }
    }

    /// As servers with such replication are to run it.
    pub(crate) fn text(&self, replication: Replication) -> &Text {
        match (replication, &self.marking) {
            (Replication::OneReplica { .. }, Some(marking)) => marking,
            (Replication::OneReplica { .. } | Replication::Unacknowledged, _) => &self.plain,
        }
    }

    /// Whether it may change something.
    pub(crate) const fn writes(&self) -> bool {
        self.marking.is_some()
    }
}

impl Text {
    fn new(text: String) -> Self {
        let hash = redis::Script::new(&text).get_hash().to_owned();
        Self { text, hash }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// SHA-1 in hexadecimal digits, as `EVALSHA` wants it.
    pub(crate) fn hash(&self) -> &str {
        &self.hash
    }
}

const COMMON: &str = include_str!("scripts/common.lua");
const LISTS: &str = concat!(include_str!("scripts/common.lua"), include_str!("scripts/page.lua"));
const MARK: &str = include_str!("scripts/mark.lua");

/// Where the mark is of a script that names its key.
const KEY: &str = "KEYS[1]";
/// And of one that goes over cells, of which there may be none, and tickets.
const CELLS: &str = "ARGV[2] == '' and ARGV[6] or base_of(ARGV[1], string.byte(ARGV[2]))";

macro_rules! scripts {
    ($($name:ident = $kind:ident($shared:expr, $body:literal $(, $base:expr)?);)+) => {
        $(pub(crate) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::$kind($shared, include_str!($body) $(, $base)?));)+
    };
}

scripts! {
    FIND = reading(COMMON, "sessions/find.lua");
    INSERT = writing(COMMON, "sessions/insert.lua", KEY);
    UPDATE = writing(COMMON, "sessions/update.lua", KEY);
    ROTATE = writing(COMMON, "sessions/rotate.lua", KEY);
    ERASE_PAIRS = writing(COMMON, "sessions/erase_pairs.lua", CELLS);
    REVOKE = writing(COMMON, "sessions/revoke.lua", KEY);
    TOUCH = writing(COMMON, "sessions/touch.lua", KEY);
    LIST = reading(LISTS, "sessions/list.lua");
    LIST_ALL = reading(LISTS, "sessions/list_all.lua");
    CENSUS = reading(COMMON, "sessions/census.lua");
    SWEEP = writing(COMMON, "sessions/sweep.lua", CELLS);
    DEPOSIT = writing("", "tickets/deposit.lua", KEY);
    TAKE = writing("", "tickets/take.lua", KEY);
}
