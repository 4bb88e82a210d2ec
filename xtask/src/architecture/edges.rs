//! Which crate may depend on which. A dependency that is not in the table is a decision to take here first.

use serde_json::Value;

use super::Violation;
use crate::cargo;
use crate::problem::Problem;

/// What one crate may depend on among the crates of the workspace.
struct Row {
    name: &'static str,
    /// In its product code.
    uses: Uses,
    /// In its tests besides: everybody may use the conformance suites and the test kit.
    tests_use: &'static [&'static str],
}

enum Uses {
    Only(&'static [&'static str]),
    /// Everything but the private crates: the place where concrete parts meet.
    Products,
    /// Everything: a private crate that measures or drives whole products.
    Everything,
}

const CORE: &str = "wayleave-core";

/// Crates that no product code depends on.
const PRIVATE: &[&str] = &["wayleave-conformance", "wayleave-testkit", "wayleave-sim", "wayleave-bench", "xtask"];

const fn part_of_the_core(name: &'static str) -> Row {
    Row { name, uses: Uses::Only(&[CORE]), tests_use: &[] }
}

/// The direction of the whole project.
const ROWS: &[Row] = &[
    Row { name: CORE, uses: Uses::Only(&[]), tests_use: &[] },
    Row { name: "wayleave", uses: Uses::Only(&[CORE]), tests_use: &[] },
    Row { name: "wayleave-web", uses: Uses::Only(&[CORE, "wayleave"]), tests_use: &["wayleave-sqlite"] },
    Row {
        name: "wayleave-tideway",
        uses: Uses::Only(&[CORE, "wayleave"]),
        tests_use: &["wayleave-sqlite", "wayleave-tower-sessions", "wayleave-web"],
    },
    Row { name: "wayleave-tower-sessions", uses: Uses::Only(&[CORE, "wayleave"]), tests_use: &["wayleave-sqlite"] },
    part_of_the_core("wayleave-sqlite"),
    // Its tests run the suite of key-value sessions, which lie over any store.
    Row { name: "wayleave-postgres", uses: Uses::Only(&[CORE]), tests_use: &["wayleave"] },
    part_of_the_core("wayleave-redis"),
    part_of_the_core("wayleave-password"),
    part_of_the_core("wayleave-opaque"),
    part_of_the_core("wayleave-wallet"),
    part_of_the_core("wayleave-zk"),
    part_of_the_core("wayleave-vault"),
    Row { name: "wayleave-server", uses: Uses::Products, tests_use: &[] },
    Row { name: "wayleave-conformance", uses: Uses::Only(&[CORE, "wayleave"]), tests_use: &[] },
    Row { name: "wayleave-testkit", uses: Uses::Only(&[CORE, "wayleave", "wayleave-conformance"]), tests_use: &[] },
    Row { name: "wayleave-sim", uses: Uses::Only(&[CORE, "wayleave", "wayleave-testkit"]), tests_use: &[] },
    Row { name: "wayleave-bench", uses: Uses::Everything, tests_use: &[] },
    Row { name: "xtask", uses: Uses::Only(&[]), tests_use: &[] },
];

/// What every example may depend on: the products, as their users do.
const EXAMPLE: &Row = &Row { name: "example", uses: Uses::Products, tests_use: &[] };

fn is_example(name: &str) -> bool {
    name.starts_with("example-")
}

/// Everything outside the workspace that the core's product code may name: values, cryptography, locks.
const CORE_MAY_USE: &[&str] = &[
    "aes-gcm",
    "async-trait",
    "base64",
    "crc32fast",
    "hashbrown",
    "hkdf",
    "hmac",
    "parking_lot",
    "sha2",
    "siphasher",
    "smallvec",
    "subtle",
    "thiserror",
    "zeroize",
];

/// What must not even be reachable from the core: runtimes, databases, HTTP, randomness, serialisation.
const CORE_NEVER_REACHES: &[&str] =
    &["tokio", "async-std", "sqlx", "rusqlite", "redis", "axum", "hyper", "http", "getrandom", "rand", "serde"];

/// One dependency that a manifest states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) part: Part,
}

/// Which part of a crate depends.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The product, its build script included.
    Product,
    /// Tests, examples and benchmarks.
    Tests,
}

/// Checks the manifests of the checkout, and what the core reaches through others.
pub(crate) fn check() -> Result<Vec<Violation>, Problem> {
    const NAME: &str = "cargo metadata";
    let text = output(NAME, &["metadata", "--no-deps", "--format-version", "1"])?;
    let metadata: Value = serde_json::from_str(&text).map_err(|_| Problem::Output { name: NAME })?;
    let (members, edges) = read(&metadata).ok_or(Problem::Output { name: NAME })?;
    let mut violations = judge(&members, &edges);
    let tree = output("cargo tree", &["tree", "--package", CORE, "--edges", "normal,build", "--prefix", "none"])?;
    violations.extend(judge_tree(&tree));
    Ok(violations)
}

/// Names of the members and every stated dependency.
pub(crate) fn read(metadata: &Value) -> Option<(Vec<String>, Vec<Edge>)> {
    let mut members = Vec::new();
    let mut edges = Vec::new();
    for package in metadata.get("packages")?.as_array()? {
        let from = package.get("name")?.as_str()?;
        members.push(from.to_owned());
        for dependency in package.get("dependencies")?.as_array()? {
            let to = dependency.get("name")?.as_str()?.to_owned();
            let part = match dependency.get("kind")?.as_str() {
                Some("dev") => Part::Tests,
                Some(_) | None => Part::Product,
            };
            edges.push(Edge { from: from.to_owned(), to, part });
        }
    }
    Some((members, edges))
}

/// Judges edges by the table.
pub(crate) fn judge(members: &[String], edges: &[Edge]) -> Vec<Violation> {
    let unknown = members.iter().filter(|name| row(name).is_none());
    let mut violations: Vec<_> =
        unknown.map(|name| violation(name, "this crate has no row in the table of edges")).collect();
    for Edge { from, to, part } in edges {
        let Some(row) = row(from) else { continue };
        let what = if members.contains(to) {
            (!allowed(row, to, *part)).then(|| format!("it may not depend on {to}"))
        } else {
            let foreign = from == CORE && *part == Part::Product && !CORE_MAY_USE.contains(&to.as_str());
            foreign.then(|| format!("the core may not depend on {to}"))
        };
        violations.extend(what.map(|what| violation(from, &what)));
    }
    violations
}

/// Judges the list of all crates that the core's product code pulls in.
pub(crate) fn judge_tree(tree: &str) -> Vec<Violation> {
    let names = tree.lines().filter_map(|line| line.split_whitespace().next());
    let mut reached: Vec<_> = names.filter(|name| CORE_NEVER_REACHES.contains(name)).collect();
    reached.sort_unstable();
    reached.dedup();
    reached.into_iter().map(|name| violation(CORE, &format!("it reaches {name}, if only through others"))).collect()
}

fn row(name: &str) -> Option<&'static Row> {
    if is_example(name) { Some(EXAMPLE) } else { ROWS.iter().find(|row| row.name == name) }
}

fn allowed(row: &Row, to: &str, part: Part) -> bool {
    let product = match row.uses {
        Uses::Only(names) => names.contains(&to),
        Uses::Products => !PRIVATE.contains(&to) && !is_example(to),
        Uses::Everything => true,
    };
    let test_support = matches!(to, "wayleave-conformance" | "wayleave-testkit");
    match part {
        Part::Product => product,
        Part::Tests => product || test_support || row.tests_use.contains(&to),
    }
}

fn violation(place: &str, what: &str) -> Violation {
    Violation { place: place.to_owned(), what: what.to_owned() }
}

fn output(name: &'static str, arguments: &[&str]) -> Result<String, Problem> {
    let mut command = cargo::command();
    command.args(arguments).stderr(std::process::Stdio::inherit());
    let done = command.output().map_err(|source| Problem::Program { name, source })?;
    if !done.status.success() {
        return Err(Problem::Failed { name, status: done.status });
    }
    String::from_utf8(done.stdout).map_err(|_| Problem::Output { name })
}
