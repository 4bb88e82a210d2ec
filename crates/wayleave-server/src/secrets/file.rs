//! The master key file on disk: read only when it is private, written so that a crash leaves the old or the new one.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::fs::OFlags;
use wayleave_core::ports::{Entropy, EntropyFailure};
use zeroize::Zeroizing;

use super::master::{MAX_KEYS, MasterKeys};
use super::{Origin, SecretsError};

/// Largest key file: 16 keys, each with a generous comment.
const MAX_FILE: u64 = 8 * 1024;
/// Ends the names of files that are being written.
const TEMPORARY: &str = ".new";

/// Reads the keys, if the file is one that only we and root can have written and read.
pub(super) fn read(origin: &Origin) -> Result<MasterKeys, SecretsError> {
    let path = origin.path();
    let text = read_private(origin)?;
    MasterKeys::parse(&text).map_err(|(line, problem)| match line {
        Some(line) => SecretsError::Key { path: path.into(), line, problem },
        None => SecretsError::Empty { path: path.into() },
    })
}

fn read_private(origin: &Origin) -> Result<Zeroizing<String>, SecretsError> {
    let path = origin.path();
    // Not blocking: a FIFO in the key's place must not hang the start before it is refused below.
    let flags = i32::from_ne_bytes((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().to_ne_bytes());
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|source| {
        let is_link = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
        match source.kind() {
            _ if is_link => SecretsError::SymbolicLink { path: path.into() },
            io::ErrorKind::NotFound => SecretsError::Missing { path: path.into() },
            _ => SecretsError::Io { path: path.into(), source },
        }
    })?;
    // Of the open file, not of its name: nobody can swap it between the check and the reading.
    let metadata = file.metadata().map_err(SecretsError::io(path))?;
    if !metadata.is_file() {
        return Err(SecretsError::NotAFile { path: path.into() });
    }
    let us = rustix::process::geteuid().as_raw();
    let owner = metadata.uid();
    let mode = metadata.mode() & 0o7777;
    let (owned, exposed) = match origin {
        Origin::File(_) => (owner == us, mode & 0o077 != 0),
        // systemd keeps credentials as root's and lets the service in by an ACL, whose mask shows as group bits.
        Origin::Credential(_) => (owner == us || owner == 0, mode & 0o027 != 0),
    };
    if !owned {
        return Err(SecretsError::ForeignOwner { path: path.into(), owner, us });
    }
    if exposed {
        return Err(SecretsError::Exposed { path: path.into(), mode });
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(8 * 1024 + 1));
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(SecretsError::io(path))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(SecretsError::TooLarge { path: path.into() });
    }
    // What is not UTF-8 is no key either, and is refused as a line without one.
    Ok(Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Writes a first key. Never replaces one: of two processes that start at once, one is first and the other reads its
/// key. Says whether it was us.
pub(super) fn create(path: &Path, keys: &MasterKeys, entropy: &dyn Entropy) -> Result<bool, SecretsError> {
    let folder = parent(path);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(SecretsError::io(&folder))?;
    // A name of its own, so that two processes at once do not write into each other's file.
    let temporary = temporary(path, entropy)?;
    write_private(&temporary, keys)?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary).map_err(SecretsError::io(&temporary))?;
    match linked {
        Ok(()) => sync(&folder).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(source) => Err(SecretsError::Io { path: path.into(), source }),
    }
}

/// Puts changed keys in the place of those in the file, in one step that survives a crash. The keys then.
pub(super) fn change(
    path: &Path,
    entropy: &dyn Entropy,
    change: impl FnOnce(MasterKeys) -> Result<MasterKeys, EntropyFailure>,
) -> Result<MasterKeys, SecretsError> {
    let folder = parent(path);
    let lock = File::open(&folder).map_err(SecretsError::io(&folder))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(SecretsError::Busy { path: path.into() }),
        Err(TryLockError::Error(source)) => return Err(SecretsError::Io { path: folder, source }),
    }
    let keys = read(&Origin::File(path.into()))?;
    let keys = change(keys)?;
    if keys.ids().count() > MAX_KEYS {
        return Err(SecretsError::TooManyKeys { path: path.into() });
    }
    let temporary = temporary(path, entropy)?;
    write_private(&temporary, &keys)?;
    if let Err(source) = fs::rename(&temporary, path) {
        // The answer that matters is why the rename failed.
        let _ = fs::remove_file(&temporary);
        return Err(SecretsError::Io { path: path.into(), source });
    }
    sync(&folder)?;
    Ok(keys)
}

/// Whether a path is that of a file that was being written.
pub(super) fn is_temporary(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(TEMPORARY))
}

fn write_private(path: &Path, keys: &MasterKeys) -> Result<(), SecretsError> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(keys.text().as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| {
        // The answer that matters is why the writing failed.
        let _ = fs::remove_file(path);
        SecretsError::Io { path: path.into(), source }
    })
}

fn temporary(path: &Path, entropy: &dyn Entropy) -> Result<PathBuf, EntropyFailure> {
    let mut mark = [0; 9];
    entropy.fill(&mut mark)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}{TEMPORARY}", URL_SAFE_NO_PAD.encode(mark)));
    Ok(path.with_file_name(name))
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.into(),
        Some(_) | None => ".".into(),
    }
}

fn sync(folder: &Path) -> Result<(), SecretsError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(SecretsError::io(folder))
}
