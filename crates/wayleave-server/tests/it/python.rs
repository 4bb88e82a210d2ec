//! Python programs, each in an environment of its own in the folder of build products.

use std::path::{Path, PathBuf};

use tokio::process::Command;

/// A folder with the programs that `pip install` brings when told so; installed when they are not there yet in these
/// `versions`.
pub(crate) async fn installed(name: &str, told: &[&str], versions: &str) -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mark = home.join("installed");
    if std::fs::read_to_string(&mark).is_ok_and(|held| held == versions) {
        return home.join("bin");
    }
    let venv = Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home).status().await.unwrap();
    assert!(venv.success(), "python3 with venv is needed: apt-get install python3-venv");
    let mut pip = Command::new(home.join("bin/pip"));
    let pip = pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(told).status().await.unwrap();
    assert!(pip.success(), "{versions} cannot be installed");
    std::fs::write(mark, versions).unwrap();
    home.join("bin")
}
