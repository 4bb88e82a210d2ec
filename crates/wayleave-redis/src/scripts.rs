//! The Lua scripts. Each is known to the servers by the hash of its text, so that nodes of several versions may run side
//! by side, and a server that has forgotten it (a restart, a failover) is told anew.

use std::sync::LazyLock;

/// One script.
pub(crate) struct Script {
    text: String,
    hash: String,
    writes: bool,
}

impl Script {
    fn new(parts: &[&str], writes: bool) -> Self {
        let text = parts.concat();
        let hash = redis::Script::new(&text).get_hash().to_owned();
        Self { text, hash, writes }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// SHA-1 in hexadecimal digits, as `EVALSHA` wants it.
    pub(crate) fn hash(&self) -> &str {
        &self.hash
    }

    /// Whether it may change something.
    pub(crate) const fn writes(&self) -> bool {
        self.writes
    }
}

const COMMON: &str = include_str!("scripts/common.lua");
const PAGE: &str = include_str!("scripts/page.lua");

macro_rules! scripts {
    ($($name:ident = $writes:literal, [$($part:expr),+];)+) => {
        $(pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| Script::new(&[$($part),+], $writes));)+
    };
}

scripts! {
    FIND = false, [COMMON, include_str!("sessions/find.lua")];
    INSERT = true, [COMMON, include_str!("sessions/insert.lua")];
    UPDATE = true, [COMMON, include_str!("sessions/update.lua")];
    ROTATE = true, [COMMON, include_str!("sessions/rotate.lua")];
    ERASE_PAIRS = true, [COMMON, include_str!("sessions/erase_pairs.lua")];
    REVOKE = true, [COMMON, include_str!("sessions/revoke.lua")];
    TOUCH = true, [COMMON, include_str!("sessions/touch.lua")];
    LIST = false, [COMMON, PAGE, include_str!("sessions/list.lua")];
    LIST_ALL = false, [COMMON, PAGE, include_str!("sessions/list_all.lua")];
    CENSUS = false, [COMMON, include_str!("sessions/census.lua")];
    SWEEP = true, [COMMON, include_str!("sessions/sweep.lua")];
    DEPOSIT = true, [include_str!("tickets/deposit.lua")];
    TAKE = true, [include_str!("tickets/take.lua")];
}
