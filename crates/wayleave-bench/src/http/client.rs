//! A client for single requests over one connection: enough to sign in with.

use std::io::{BufRead as _, BufReader, Error, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use super::head::Head;
use crate::problem::Problem;

const PATIENCE: Duration = Duration::from_secs(30);

/// A connection that is kept.
pub(crate) struct Client(BufReader<TcpStream>);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    head: Head,
    text: String,
}

/// A request.
pub(crate) struct Request<'a> {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) headers: &'a [(&'static str, String)],
    pub(crate) body: Option<Value>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Result<Self, Problem> {
        let connect = || {
            let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
            Ok(Self(BufReader::new(stream)))
        };
        connect().map_err(Problem::Connection)
    }

    /// Asks, and takes the answer when it is a success.
    pub(crate) fn ask(&mut self, request: &Request<'_>) -> Result<Answer, Problem> {
        let answer = self.exchange(request).map_err(Problem::Connection)?;
        if answer.head.is_success() {
            return Ok(answer);
        }
        let body = answer.text.chars().take(300).collect::<String>().into();
        Err(Problem::Answer { path: request.path, status: answer.head.status, body })
    }

    fn exchange(&mut self, request: &Request<'_>) -> std::io::Result<Answer> {
        let Request { method, path, headers, body } = request;
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n");
        for (name, value) in *headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let body = body.as_ref().map(Value::to_string);
        if let Some(body) = &body {
            text.push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        text.push_str(body.as_deref().unwrap_or_default());
        self.0.get_mut().write_all(text.as_bytes())?;
        self.read()
    }

    fn read(&mut self) -> std::io::Result<Answer> {
        let mut text = String::new();
        while !text.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut text)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        let head = Head::read(&text).ok_or_else(|| Error::from(ErrorKind::InvalidData))?;
        let mut body = vec![0; head.length];
        self.0.read_exact(&mut body)?;
        Ok(Answer { head, text: String::from_utf8_lossy(&body).into_owned() })
    }
}

impl Answer {
    /// The text at a JSON pointer of the body.
    pub(crate) fn text_at(&self, pointer: &str) -> Result<String, Problem> {
        let body: Option<Value> = serde_json::from_str(&self.text).ok();
        let text = body.as_ref().and_then(|body| body.pointer(pointer)).and_then(Value::as_str).map(str::to_owned);
        text.ok_or(Problem::Defect("an answer does not hold what it should"))
    }

    /// `name=value` of every cookie that the answer sets, with an empty value where it takes one away.
    pub(crate) fn set(&self) -> &[String] {
        &self.head.cookies
    }

    /// `name=value` of the cookies that the answer sets to something.
    pub(crate) fn cookies(&self) -> impl Iterator<Item = &str> {
        self.head.cookies.iter().map(String::as_str).filter(|cookie| !cookie.ends_with('='))
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn one_connection_carries_several_requests() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut stream = BufReader::new(stream);
            for answer in [
                "HTTP/1.1 200 OK\r\nSet-Cookie: id=abc; Path=/\r\nset-cookie: old=; Max-Age=0\r\nContent-Length: 9\r\n\r\n{\"a\":\"b\"}",
                "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 4\r\n\r\nwait",
            ] {
                let mut line = String::new();
                while line != "\r\n" {
                    line.clear();
                    stream.read_line(&mut line).unwrap();
                }
                stream.get_mut().write_all(answer.as_bytes()).unwrap();
            }
        });
        let mut client = Client::connect(address).unwrap();
        let request = Request { method: "GET", path: "/", headers: &[], body: None };
        let answer = client.ask(&request).unwrap();
        assert_eq!(answer.text_at("/a").unwrap(), "b");
        assert_eq!(answer.cookies().collect::<Vec<_>>(), ["id=abc"]);
        let refused = client.ask(&request).unwrap_err();
        assert!(matches!(&refused, Problem::Answer { status: 429, body, .. } if **body == *"wait"), "{refused}");
        server.join().unwrap();
    }
}
