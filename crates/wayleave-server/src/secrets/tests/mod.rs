//! Tests of the data folder, the key file, rotation and derivation, on a real file system.

mod derivation;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Barrier};

use wayleave_core::ports::{Entropy, EntropyFailure};
use wayleave_core::seal::KeyId;

use super::{KeyProblem, MAX_KEYS, SecretsError, Weakness, open, read, rotate};
use crate::config::{Config, StoreUrl};

/// Different bytes at every call, and the same in every run.
#[derive(Default)]
struct Counting(AtomicU8);

impl Entropy for Counting {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyFailure> {
        use sha2::Digest as _;
        for chunk in buffer.chunks_mut(32) {
            let seed = self.0.fetch_add(1, Ordering::Relaxed);
            let drawn = sha2::Sha256::digest([seed, 0xA5]);
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
        Ok(())
    }
}

struct Failing;

impl Entropy for Failing {
    fn fill(&self, _: &mut [u8]) -> Result<(), EntropyFailure> {
        Err(EntropyFailure)
    }
}

struct Stuck;

impl Entropy for Stuck {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyFailure> {
        buffer.fill(0x42);
        Ok(())
    }
}

struct Deployment {
    _folder: tempfile::TempDir,
    config: Config,
}

impl Deployment {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::with_defaults(folder.path().join("data"));
        Self { _folder: folder, config }
    }

    fn key(&self) -> PathBuf {
        self.config.data.join("keys/master.key")
    }

    /// A deployment with this text as its key file, mode 0600.
    fn with_key(text: &str) -> Self {
        let deployment = Self::new();
        fs::create_dir_all(deployment.config.data.join("keys")).unwrap();
        set_mode(&deployment.config.data, 0o700);
        fs::write(deployment.key(), text).unwrap();
        set_mode(&deployment.key(), 0o600);
        deployment
    }

    fn error(&self) -> SecretsError {
        match open(&self.config, &Counting::default()) {
            Ok(_) => panic!("it opened"),
            Err(error) => error,
        }
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

const GOOD: &str = "d1e8a70b5ccab1dc2f56bbf7e99f064a660c08e361a35751b9c483c88943d082";

/// R170: the first start draws a key that only the owner can read, and the next one reads it back.
#[test]
fn the_first_start_makes_a_private_key() {
    let deployment = Deployment::new();
    let first = open(&deployment.config, &Counting::default()).unwrap();
    assert!(first.generated);
    assert_eq!(mode(&deployment.config.data), 0o700);
    assert_eq!(mode(&deployment.config.data.join("keys")), 0o700);
    assert_eq!(mode(&deployment.key()), 0o600);
    let second = open(&deployment.config, &Failing).unwrap();
    assert!(!second.generated);
    assert_eq!(*first.keys.text(), *second.keys.text());
    let text = fs::read_to_string(deployment.key()).unwrap();
    let key_lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(key_lines.len(), 1);
    assert!(key_lines[0].starts_with("1 wlk1_"), "{text}");
    let left: Vec<_> = fs::read_dir(deployment.config.data.join("keys")).unwrap().collect();
    assert_eq!(left.len(), 1, "temporary files are gone");
}

/// R001: without randomness, or with a generator that is stuck, there is no key at all.
#[test]
fn no_entropy_no_key() {
    for entropy in [&Failing as &dyn Entropy, &Stuck] {
        let deployment = Deployment::new();
        assert!(matches!(open(&deployment.config, entropy), Err(SecretsError::Entropy(EntropyFailure))));
        assert!(!deployment.key().exists());
    }
}

/// Many processes that start at once agree on one key.
#[test]
fn starts_at_once_agree() {
    let deployment = Deployment::new();
    let entropy = Arc::new(Counting::default());
    let barrier = Barrier::new(8);
    let (texts, makers) = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    let opened = open(&deployment.config, entropy.as_ref()).unwrap();
                    (opened.keys.text().to_string(), opened.generated)
                })
            })
            .collect();
        let outcomes: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        let makers = outcomes.iter().filter(|(_, generated)| *generated).count();
        (outcomes.into_iter().map(|(text, _)| text).collect::<Vec<_>>(), makers)
    });
    assert!(texts.iter().all(|text| *text == texts[0]));
    assert_eq!(makers, 1);
}

/// A lost key is never replaced by a new one that would open nothing.
#[test]
fn a_lost_key_is_not_made_anew() {
    let deployment = Deployment::new();
    open(&deployment.config, &Counting::default()).unwrap();
    fs::write(deployment.config.data.join("wayleave.db"), "x").unwrap();
    fs::remove_file(deployment.key()).unwrap();
    assert!(matches!(deployment.error(), SecretsError::Lost { .. }));
    assert!(!deployment.key().exists());

    // A database elsewhere tells the same.
    let mut deployment = Deployment::new();
    let database = tempfile::NamedTempFile::new().unwrap();
    deployment.config.store.url = StoreUrl::Sqlite(database.path().into());
    assert!(matches!(deployment.error(), SecretsError::Lost { .. }));

    // Its own configuration, and what a cut-off start left, do not.
    let deployment = Deployment::new();
    fs::create_dir_all(deployment.config.data.join("keys")).unwrap();
    set_mode(&deployment.config.data, 0o700);
    fs::write(deployment.config.data.join("wayleave.toml"), "").unwrap();
    fs::write(deployment.config.data.join("keys/master.key.abc.new"), "half").unwrap();
    assert!(open(&deployment.config, &Counting::default()).unwrap().generated);
}

/// R170, A80: whatever somebody could guess is refused, with the line.
#[test]
fn weak_keys_are_refused() {
    let repeat = |pair: &str| pair.repeat(32);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let ascending: Vec<u8> = (0..32).collect();
    let descending: Vec<u8> = (0..32).map(|step| 255 - step * 3).collect();
    let few: Vec<u8> = (0..32_u8).map(|n| u8::try_from((n * 5).count_ones()).unwrap() + 200).collect();
    for (text, expected) in [
        (repeat("00"), KeyProblem::Weak(Weakness::Repeats)),
        (repeat("a7"), KeyProblem::Weak(Weakness::Repeats)),
        (hex(&b"changeme".repeat(4)), KeyProblem::Weak(Weakness::Repeats)),
        (hex(&ascending), KeyProblem::Weak(Weakness::Ascends)),
        (hex(&descending), KeyProblem::Weak(Weakness::Ascends)),
        (hex(b"correct horse battery staple 123"), KeyProblem::Weak(Weakness::Text)),
        (hex(&few), KeyProblem::Weak(Weakness::Monotone)),
        // SHA-256 of the empty text, and of `changeme` with a line break.
        (
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".into(),
            KeyProblem::Weak(Weakness::KnownHash),
        ),
        ("changeme".into(), KeyProblem::Malformed),
        ("deadbeef".repeat(4), KeyProblem::Short),
        (format!("{GOOD}00"), KeyProblem::Malformed),
        ("wlk1_".into(), KeyProblem::Short),
        ("wlk1_%%%".into(), KeyProblem::Malformed),
        (format!("x {GOOD}"), KeyProblem::NoNumber),
        (format!("0 {GOOD}"), KeyProblem::NoNumber),
    ] {
        let deployment = Deployment::with_key(&format!("# a comment\n{text}\n"));
        match deployment.error() {
            SecretsError::Key { line: 2, problem, .. } => assert_eq!(problem, expected, "{text}"),
            other => panic!("{text}: {other}"),
        }
    }
    let known: [u8; 32] = {
        use sha2::Digest as _;
        sha2::Sha256::digest("changeme\n").into()
    };
    assert!(matches!(
        Deployment::with_key(&hex(&known)).error(),
        SecretsError::Key { problem: KeyProblem::Weak(Weakness::KnownHash), .. }
    ));
}

#[test]
fn a_good_key_of_other_tools_is_taken() {
    for text in [GOOD.to_owned(), format!("{}\n", GOOD.to_uppercase()), format!("\n  7\t{GOOD}  # from the vault\n\n")]
    {
        let deployment = Deployment::with_key(&text);
        assert!(open(&deployment.config, &Failing).is_ok(), "{text:?}");
    }
}

#[test]
fn hostile_files_are_refused() {
    let other = GOOD.replace("d1e8", "d1e9");
    for (text, expected) in [
        (String::new(), "holds no key"),
        ("# only a comment\n".into(), "holds no key"),
        (format!("1 {GOOD}\n1 {other}\n"), "line 2: another line has the same number"),
        (format!("2 {GOOD}\n{other}\n"), "line 2: a line is a number from 1"),
        (format!("4294967296 {GOOD}\n"), "line 1: a line is a number"),
        ("x".repeat(9000), "larger than a key file can be"),
        ("\u{0}\u{0}\u{0}".into(), "line 1: not a key"),
    ] {
        let error = Deployment::with_key(&text).error().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let many: String =
        (1..=17_u32).map(|id| format!("{id} {}\n", GOOD.replace("d1e8", &format!("d1{id:02}")))).collect();
    let error = Deployment::with_key(&many).error().to_string();
    assert!(error.contains("line 17: there are more than 16 keys"), "{error}");
}

/// One changed character is noticed before it seals anything.
#[test]
fn a_damaged_key_is_noticed() {
    let deployment = Deployment::new();
    open(&deployment.config, &Counting::default()).unwrap();
    let text = fs::read_to_string(deployment.key()).unwrap();
    let start = text.find("wlk1_").unwrap() + 5;
    for at in start..text.trim_end().len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        fs::write(deployment.key(), bytes).unwrap();
        assert!(matches!(
            deployment.error(),
            SecretsError::Key { problem: KeyProblem::Checksum | KeyProblem::Malformed, .. }
        ));
    }
}

/// R170: a key that others can read or change is refused, and the message says what to do.
#[test]
fn exposed_keys_are_refused() {
    for wrong in [0o604, 0o640, 0o644, 0o660, 0o602, 0o601, 0o777] {
        let deployment = Deployment::with_key(GOOD);
        set_mode(&deployment.key(), wrong);
        let error = deployment.error();
        assert!(matches!(error, SecretsError::Exposed { mode, .. } if mode == wrong));
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    for right in [0o600, 0o400] {
        let deployment = Deployment::with_key(GOOD);
        set_mode(&deployment.key(), right);
        assert!(open(&deployment.config, &Failing).is_ok());
    }
}

#[test]
fn links_and_other_things_are_refused() {
    let deployment = Deployment::with_key(GOOD);
    let real = deployment.config.data.join("real");
    fs::rename(deployment.key(), &real).unwrap();
    symlink(&real, deployment.key()).unwrap();
    assert!(matches!(deployment.error(), SecretsError::SymbolicLink { .. }));
    assert!(matches!(rotate(&deployment.config, &Counting::default()), Err(SecretsError::SymbolicLink { .. })));

    fs::remove_file(deployment.key()).unwrap();
    symlink("/nowhere", deployment.key()).unwrap();
    assert!(matches!(deployment.error(), SecretsError::SymbolicLink { .. }));

    fs::remove_file(deployment.key()).unwrap();
    fs::create_dir(deployment.key()).unwrap();
    assert!(matches!(deployment.error(), SecretsError::NotAFile { .. }));

    // A FIFO without a writer would block a plain open for ever.
    fs::remove_dir(deployment.key()).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, deployment.key(), rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    assert!(matches!(deployment.error(), SecretsError::NotAFile { .. }));
}

/// Only root can give files away, so only root can run this; others have nothing to check.
#[test]
fn keys_and_folders_of_others_are_refused() {
    let deployment = Deployment::with_key(GOOD);
    if std::os::unix::fs::chown(deployment.key(), Some(65_534), None).is_err() {
        return;
    }
    let error = deployment.error();
    assert!(matches!(error, SecretsError::ForeignOwner { owner: 65_534, .. }), "{error}");

    let deployment = Deployment::with_key(GOOD);
    std::os::unix::fs::chown(&deployment.config.data, Some(65_534), None).unwrap();
    assert!(matches!(deployment.error(), SecretsError::Folder(super::FolderError::ForeignOwner { .. })));
}

#[test]
fn folders_that_others_can_write_to_are_refused() {
    let deployment = Deployment::with_key(GOOD);
    set_mode(&deployment.config.data, 0o770);
    assert!(matches!(deployment.error(), SecretsError::Folder(super::FolderError::Exposed { mode: 0o770, .. })));
    set_mode(&deployment.config.data, 0o750);
    assert!(open(&deployment.config, &Failing).unwrap().folder.is_exposed());
    // An empty one that `mkdir` made is made private.
    let deployment = Deployment::new();
    fs::create_dir_all(&deployment.config.data).unwrap();
    set_mode(&deployment.config.data, 0o755);
    assert!(!open(&deployment.config, &Counting::default()).unwrap().folder.is_exposed());
    assert_eq!(mode(&deployment.config.data), 0o700);
    // A file in its place.
    let deployment = Deployment::new();
    fs::write(&deployment.config.data, "").unwrap();
    assert!(matches!(deployment.error(), SecretsError::Folder(super::FolderError::NotAFolder { .. })));
}

/// Rotation puts a key in front, keeps the mode, and leaves no other file behind.
#[test]
fn rotation_keeps_old_keys() {
    let deployment = Deployment::new();
    let entropy = Counting::default();
    open(&deployment.config, &entropy).unwrap();
    assert_eq!(rotate(&deployment.config, &entropy).unwrap(), KeyId(2));
    assert_eq!(rotate(&deployment.config, &entropy).unwrap(), KeyId(3));
    assert_eq!(mode(&deployment.key()), 0o600);
    let keys = read(&deployment.config).unwrap();
    assert_eq!(keys.ids().collect::<Vec<_>>(), [KeyId(3), KeyId(2), KeyId(1)]);
    assert_eq!(format!("{keys:?}"), "[KeyId(3), KeyId(2), KeyId(1)]");
    assert_eq!(fs::read_dir(deployment.config.data.join("keys")).unwrap().count(), 1);
    for _ in 3..MAX_KEYS {
        rotate(&deployment.config, &entropy).unwrap();
    }
    assert!(matches!(rotate(&deployment.config, &entropy), Err(SecretsError::TooManyKeys { .. })));
    // Failing leaves what was there.
    let before = fs::read(deployment.key()).unwrap();
    assert!(rotate(&deployment.config, &Failing).is_err());
    assert_eq!(fs::read(deployment.key()).unwrap(), before);
}

/// Rotations at once are each whole or refused: as many keys are added as were answered.
#[test]
fn rotations_at_once_lose_nothing() {
    let deployment = Deployment::new();
    let entropy = Counting::default();
    open(&deployment.config, &entropy).unwrap();
    let barrier = Barrier::new(6);
    let made = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    rotate(&deployment.config, &entropy).is_ok()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|done| *done).count()
    });
    assert!(made >= 1);
    assert_eq!(read(&deployment.config).unwrap().ids().count(), 1 + made);
}

/// A systemd credential may be root's and group-readable by its ACL mask, is never made, and never rewritten.
#[test]
fn credentials_are_read_only() {
    let mut deployment = Deployment::with_key(GOOD);
    let credential = deployment.key();
    deployment.config.keys.credential = Some(credential.clone());
    set_mode(&credential, 0o440);
    assert!(open(&deployment.config, &Failing).is_ok());
    assert!(matches!(rotate(&deployment.config, &Counting::default()), Err(SecretsError::Credential { .. })));
    set_mode(&credential, 0o444);
    assert!(matches!(deployment.error(), SecretsError::Exposed { .. }));
    fs::remove_file(&credential).unwrap();
    assert!(matches!(deployment.error(), SecretsError::Missing { .. }));
    assert!(!credential.exists());
}
