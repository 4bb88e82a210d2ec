//! Whether a server is fit, by what it says of itself. Asked at every new connection, so that also the server that a
//! failover brings is looked at.

use redis::{RedisResult, Value};

use crate::error::Unfit;
use crate::options::Replication;

/// As what a server is to be used.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The only one.
    Single,
    /// A node of a Cluster. Whether it is a master shows in its answers.
    ClusterNode,
}

/// Judges what the server answered to `INFO`.
pub(crate) fn judge(answer: Value, role: Role, replication: Replication) -> RedisResult<Result<(), Unfit>> {
    let text: String = redis::from_redis_value(answer)?;
    Ok(judge_text(&text, role, replication))
}

fn judge_text(text: &str, role: Role, replication: Replication) -> Result<(), Unfit> {
    let said = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim).unwrap_or_default()
    };
    let version = said("redis_version");
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < 7) {
        return Err(Unfit::Version { version: version.into() });
    }
    let policy = said("maxmemory_policy");
    if policy != "noeviction" {
        return Err(Unfit::Evicts { policy: policy.into() });
    }
    match (role, said("cluster_enabled") == "1") {
        (Role::Single, true) => return Err(Unfit::ClusterNode),
        (Role::ClusterNode, false) => return Err(Unfit::NoClusterNode),
        (Role::Single, false) | (Role::ClusterNode, true) => {}
    }
    if role == Role::Single && said("role") != "master" {
        return Err(Unfit::Replica);
    }
    match replication {
        // Shown only where min-replicas-to-write and min-replicas-max-lag are set.
        Replication::OneReplica { .. } if said("min_slaves_good_slaves").is_empty() => Err(Unfit::WritesAlone),
        Replication::OneReplica { .. } | Replication::Unacknowledged => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const FIT: &str = "# Server\r\nredis_version:7.0.15\r\nmaxmemory_policy:noeviction\r\nrole:master\r\n\
                       min_slaves_good_slaves:1\r\ncluster_enabled:0\r\n";

    fn check(from: &str, to: &str, role: Role, expected: Result<(), Unfit>) {
        let replication = Replication::OneReplica { within: Duration::from_secs(1) };
        assert_eq!(judge_text(&FIT.replace(from, to), role, replication), expected, "{to}");
    }

    #[test]
    fn a_server_has_to_be_fit() {
        check("", "", Role::Single, Ok(()));
        check("enabled:0", "enabled:1", Role::ClusterNode, Ok(()));
        check("7.0.15", "8.1.0", Role::Single, Ok(()));
        check("7.0.15", "6.2.1", Role::Single, Err(Unfit::Version { version: "6.2.1".into() }));
        check("redis_version", "other_version", Role::Single, Err(Unfit::Version { version: "".into() }));
        check("noeviction", "allkeys-lru", Role::Single, Err(Unfit::Evicts { policy: "allkeys-lru".into() }));
        check("maxmemory_policy", "x", Role::Single, Err(Unfit::Evicts { policy: "".into() }));
        check("enabled:0", "enabled:1", Role::Single, Err(Unfit::ClusterNode));
        check("", "", Role::ClusterNode, Err(Unfit::NoClusterNode));
        check("role:master", "role:slave", Role::Single, Err(Unfit::Replica));
        check("min_slaves_good_slaves:1\r\n", "", Role::Single, Err(Unfit::WritesAlone));
        let alone = FIT.replace("min_slaves_good_slaves:1\r\n", "");
        assert_eq!(judge_text(&alone, Role::Single, Replication::Unacknowledged), Ok(()));
    }
}
