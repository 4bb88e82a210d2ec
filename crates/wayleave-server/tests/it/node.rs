//! Packages of Node.js, in the folder of build products.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

/// The checkout.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// What npm or a compiler made.
const PRODUCTS: [&str; 3] = ["node_modules", "dist", "build"];

/// Copies `sources` of the checkout into the folder `name`, and installs the packages of the lock file that came along. What
/// was there is removed.
pub(crate) async fn installed(name: &str, from: &str, sources: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    for source in sources {
        copy(&Path::new(ROOT).join(from).join(source), &folder.join(source));
    }
    npm(&folder, &["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).await;
    folder
}

/// Runs npm in `folder`.
pub(crate) async fn npm(folder: &Path, arguments: &[&str]) {
    let mut npm = Command::new("npm");
    npm.arg("--loglevel=error").args(arguments).current_dir(folder).stdin(Stdio::null());
    let output = npm.output().await.expect("npm is installed");
    assert!(output.status.success(), "npm {arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
}

fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(from, to).unwrap();
        return;
    }
    for entry in std::fs::read_dir(from).unwrap() {
        let name = entry.unwrap().file_name();
        if PRODUCTS.iter().all(|product| name != *product) {
            copy(&from.join(&name), &to.join(&name));
        }
    }
}
