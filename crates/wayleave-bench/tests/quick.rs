//! The benchmark itself still works: a quick run measures every part that needs no peers.

use std::path::Path;
use std::process::Command;

/// Every part that can be measured here is, and the others say why not.
#[test]
fn a_quick_run_measures_every_part() {
    let bench = Path::new(env!("CARGO_BIN_EXE_wayleave-bench"));
    let parts = ["validation", "memory", "http", "logins", "refreshes"];
    let only = parts.iter().flat_map(|part| ["--only", part]);
    let output = Command::new(bench).args(["--quick", "--no-build"]).args(only).output().unwrap();
    let (text, remarks) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{remarks}");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1)
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let of = |part: &str| rows.iter().filter(|row| row[0] == part).collect::<Vec<_>>();
    let has_server = bench.with_file_name("wayleave").is_file();
    let has_wrk = Command::new("wrk").arg("--version").output().is_ok();
    let cases = [
        ("validation", true, 8),
        ("memory", true, 4),
        ("http", has_server && has_wrk, 8),
        ("logins", has_server, 4),
        ("refreshes", true, 5),
    ];
    for (part, possible, count) in cases {
        let rows = of(part);
        assert_eq!(rows.iter().any(|row| row[1] == "not measured"), !possible, "{text}\n{remarks}");
        assert_eq!(rows.len(), if possible { count } else { 1 }, "{part}\n{text}");
        assert!(rows.iter().all(|row| row.len() == 7), "{part}\n{text}");
    }
}

#[test]
fn wrong_arguments_are_answered_with_the_right_ones() {
    let output = Command::new(env!("CARGO_BIN_EXE_wayleave-bench")).arg("--fast").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--quick"));
}
