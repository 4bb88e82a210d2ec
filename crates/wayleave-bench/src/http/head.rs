//! The head of an answer: as much of it as a benchmark asks for.

/// Longest body of an answer that is read.
const MOST_BYTES: usize = 1 << 20;

/// The head of an answer whose body has a known length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// `name=value` of every cookie that it sets, with an empty value where it takes one away.
    pub(crate) cookies: Vec<String>,
    /// Bytes of the body.
    pub(crate) length: usize,
}

impl Head {
    /// Reads status line and fields; `None` when they are malformed, or the body's length is not told or too much.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (status, fields) = text.split_once("\r\n")?;
        let status = status.split(' ').nth(1)?.parse().ok()?;
        let (mut cookies, mut length) = (Vec::new(), 0);
        for field in fields.lines().take_while(|field| !field.is_empty()) {
            let (name, value) = field.split_once(':')?;
            let (is, value) = (|other: &str| name.eq_ignore_ascii_case(other), value.trim());
            if is("content-length") {
                length = value.parse().ok().filter(|length| *length <= MOST_BYTES)?;
            } else if is("set-cookie") {
                cookies.extend(value.split(';').next().map(str::to_owned));
            } else if is("transfer-encoding") {
                return None;
            }
        }
        Some(Self { status, cookies, length })
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_cookies_and_length_are_read() {
        let text =
            "HTTP/1.1 200 OK\r\nSet-Cookie: id=abc; Path=/\r\ncontent-length: 9\r\nset-cookie: old=; Max-Age=0\r\n\r\n";
        let cookies = vec!["id=abc".to_owned(), "old=".to_owned()];
        assert_eq!(Head::read(text), Some(Head { status: 200, cookies, length: 9 }));
        assert!(Head::read(text).is_some_and(|head| head.is_success()));
        assert!(Head::read("HTTP/1.1 401 Unauthorized\r\n\r\n").is_some_and(|head| !head.is_success()));
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        let wrong = ["", "HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"];
        for text in wrong
            .into_iter()
            .chain(["HTTP/1.1 200 OK\r\ncontent-length: 2000000\r\n\r\n", "HTTP/1.1 200 OK\r\nx\r\n\r\n"])
        {
            assert_eq!(Head::read(text), None, "{text}");
        }
    }
}
