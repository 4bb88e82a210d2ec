//! A clock of the day that a test sets while a server runs (libfaketime); what measures time goes on as ever.

use std::path::PathBuf;

/// The clock of one process.
pub(crate) struct FalseClock {
    preload: PathBuf,
    file: PathBuf,
}

impl FalseClock {
    /// Right at first. The file says how far it is off.
    pub(crate) fn new(file: PathBuf) -> Self {
        let clock = Self { preload: library().expect("faketime is needed: apt-get install faketime"), file };
        clock.set(0);
        clock
    }

    /// What a process must be started with.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("LD_PRELOAD", self.preload.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }

    /// From now on it is off by so many seconds.
    pub(crate) fn set(&self, seconds: i64) {
        // In one step: it is read at any moment.
        let next = self.file.with_extension("next");
        std::fs::write(&next, format!("{seconds:+}\n")).unwrap();
        std::fs::rename(next, &self.file).unwrap();
    }
}

/// Where Debian has it: in a folder of the machine's kind.
fn library() -> Option<PathBuf> {
    let kinds = std::fs::read_dir("/usr/lib").unwrap().flatten();
    kinds.map(|kind| kind.path().join("faketime/libfaketimeMT.so.1")).find(|library| library.exists())
}
