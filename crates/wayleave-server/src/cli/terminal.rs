//! Asking for a password: on the terminal without showing it, or from standard input.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read, Write as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use wayleave_password::{Password, PasswordTooLong};
use zeroize::Zeroizing;

/// Longest line that is read: the longest password and its line break.
const LONGEST: u64 = Password::MAX as u64 + 2;

/// No password came.
#[derive(Debug, thiserror::Error)]
pub(super) enum PasswordInputError {
    /// Nobody to ask.
    #[error("there is no terminal to ask for the password on; pipe it in and add --password-stdin")]
    NoTerminal(#[source] io::Error),
    /// It cannot be read.
    #[error("the password cannot be read")]
    Io(#[source] io::Error),
    /// Nothing came.
    #[error("no password came: standard input was empty")]
    Empty,
    /// It is not text.
    #[error("the password is not UTF-8 text")]
    NotText,
    /// It is too long.
    #[error("a password has at most 1024 bytes")]
    TooLong(#[from] PasswordTooLong),
    /// The two differ.
    #[error("the two passwords differ; nothing was done")]
    Differ,
}

/// Reads a password from `input`, up to the first line break.
pub(super) fn read_password(input: impl Read) -> Result<Password, PasswordInputError> {
    let line = read_line(input).map_err(PasswordInputError::Io)?;
    password(&line)
}

/// Asks for a new password on the terminal of the process, twice.
pub(super) fn ask_for_password() -> Result<Password, PasswordInputError> {
    let terminal =
        OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(PasswordInputError::NoTerminal)?;
    let first = ask(&terminal, "Password: ")?;
    let second = ask(&terminal, "Again: ")?;
    // Both were typed here just now, so there is nobody to learn anything from how long this takes.
    if *first == *second { password(&first) } else { Err(PasswordInputError::Differ) }
}

fn ask(mut terminal: &File, prompt: &str) -> Result<Zeroizing<Vec<u8>>, PasswordInputError> {
    let hidden = Hidden::new(terminal).map_err(PasswordInputError::Io)?;
    terminal.write_all(prompt.as_bytes()).map_err(PasswordInputError::Io)?;
    let line = read_line(terminal).map_err(PasswordInputError::Io);
    drop(hidden);
    line
}

/// The bytes up to the first line break or the end, and never more than a password can have and one.
fn read_line(input: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    // A buffer of one line, made large enough at once: what is left of a smaller one could not be wiped.
    let mut line = Zeroizing::new(Vec::with_capacity(Password::MAX + 2));
    BufReader::with_capacity(1, input.take(LONGEST)).read_until(b'\n', &mut line)?;
    Ok(line)
}

fn password(line: &[u8]) -> Result<Password, PasswordInputError> {
    let line = line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line));
    if line.is_empty() {
        return Err(PasswordInputError::Empty);
    }
    let text = std::str::from_utf8(line).map_err(|_| PasswordInputError::NotText)?;
    Ok(Password::new(text.to_owned())?)
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Hidden<'a> {
    fn new(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        // The line break is shown, so that the next line begins where it should.
        hidden.local_modes.insert(LocalModes::ICANON | LocalModes::ECHONL);
        tcsetattr(terminal, OptionalActions::Flush, &hidden)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        // There is nothing to be done about a terminal that went away.
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<String, PasswordInputError> {
        let line = read_line(bytes).unwrap();
        password(&line)?;
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        Ok(String::from_utf8(text.to_vec()).unwrap())
    }

    #[test]
    fn a_password_ends_at_the_first_line_break() {
        assert_eq!(read(b"secret").unwrap(), "secret");
        assert_eq!(read(b"secret\nmore\n").unwrap(), "secret");
        assert_eq!(read(b" with blanks \n").unwrap(), " with blanks ");
    }

    #[test]
    fn what_is_no_password_is_refused() {
        let longest = [b'a'; Password::MAX];
        assert!(read(&[&longest[..], b"\r\n"].concat()).is_ok());
        for (bytes, expected) in [
            (&b""[..], "no password came: standard input was empty"),
            (b"\n", "no password came: standard input was empty"),
            (b"\r\nsecret", "no password came: standard input was empty"),
            (b"\xff\n", "the password is not UTF-8 text"),
            (&[b'a'; 5000], "a password has at most 1024 bytes"),
            (&[&longest[..], b"a\n"].concat(), "a password has at most 1024 bytes"),
        ] {
            let error = read(bytes).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }
}
