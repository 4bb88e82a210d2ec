//! A wire that remembers every byte that went over it, in both directions.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A listener that nothing is behind yet.
pub(super) struct Wire {
    listener: TcpListener,
    /// Where it listens.
    pub(super) address: SocketAddr,
}

/// What came from one side of one connection, each in a piece of its own so that none cuts another in two.
type Streams = Arc<Mutex<Vec<Arc<Mutex<Vec<u8>>>>>>;

/// A wire that records.
pub(super) struct Recorded {
    pub(super) address: SocketAddr,
    streams: Streams,
    accepting: JoinHandle<()>,
}

impl Wire {
    pub(super) async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    /// Hands every connection on to `behind`.
    pub(super) fn record(self, behind: SocketAddr) -> Recorded {
        let streams = Streams::default();
        let (held, listener) = (Arc::clone(&streams), self.listener);
        let accepting = tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let Ok(far) = TcpStream::connect(behind).await else { continue };
                let ((from_page, to_page), (from_server, to_server)) = (near.into_split(), far.into_split());
                for (from, to) in [(from_page, to_server), (from_server, to_page)] {
                    let stream = Arc::default();
                    held.lock().push(Arc::clone(&stream));
                    tokio::spawn(carry(from, to, stream));
                }
            }
        });
        Recorded { address: self.address, streams, accepting }
    }
}

impl Recorded {
    /// Everything so far, stream after stream.
    pub(super) fn stop(self) -> Vec<u8> {
        self.accepting.abort();
        let streams = self.streams.lock();
        let ended = |stream: &Arc<Mutex<Vec<u8>>>| [stream.lock().as_slice(), b"\n"].concat();
        streams.iter().flat_map(ended).collect()
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, stream: Arc<Mutex<Vec<u8>>>) {
    let mut piece = vec![0; 65_536];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        stream.lock().extend_from_slice(&piece[..length]);
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}
