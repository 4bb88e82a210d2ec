//! The local address that a tour serves on, and another port for it when that one is taken.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::blocks::{Block, Mode};

const HOSTS: [&str; 2] = ["127.0.0.1:", "localhost:"];
/// How long a connection to this machine may take.
const SOON: Duration = Duration::from_secs(5);

/// The first local address that a block names.
pub(crate) fn address(block: &Block) -> Option<SocketAddr> {
    let lines = block.commands.iter().flat_map(|command| std::iter::once(&command.text).chain(&command.expected));
    let named = lines.flat_map(|line| HOSTS.map(|host| line.split_once(host))).flatten();
    let port = |(_, rest): (&str, &str)| rest.split(|next: char| !next.is_ascii_digit()).next()?.parse().ok();
    named.filter_map(port).next().map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

/// Whether anything listens there.
pub(crate) fn in_use(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, SOON).is_ok()
}

/// Whether `GET /healthz` answers 200.
pub(crate) fn healthy(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<[u8; 12]> {
        let mut stream = TcpStream::connect_timeout(&address, SOON)?;
        stream.set_read_timeout(Some(SOON))?;
        write!(stream, "GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut start = [0; 12];
        stream.read_exact(&mut start)?;
        Ok(start)
    };
    ask().is_ok_and(|start| start.ends_with(b" 200"))
}

/// Rewrites the blocks to a free port when the one that they serve on is taken on this machine. The new address, then.
pub(crate) fn avoid_taken(blocks: &mut [Block]) -> Option<SocketAddr> {
    let serves = |block: &&Block| block.commands.iter().any(|command| command.mode == Mode::Background);
    let taken = blocks.iter().filter(serves).find_map(address).filter(|address| in_use(*address))?;
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()).ok()?;
    let rewrite = |line: &mut String| {
        for host in HOSTS {
            *line = line.replace(&format!("{host}{}", taken.port()), &format!("{host}{}", free.port()));
        }
    };
    for command in blocks.iter_mut().flat_map(|block| &mut block.commands) {
        rewrite(&mut command.text);
        command.expected.iter_mut().for_each(rewrite);
    }
    Some(free)
}
