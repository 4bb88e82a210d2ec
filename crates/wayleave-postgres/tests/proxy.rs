//! What lies between client and server: counts the round trips, and can fall silent as a broken network does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A way to a server on this machine. The client must not ask for TLS: what it says could not be read.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    trips: Arc<AtomicU64>,
    silent: watch::Sender<bool>,
    server: Arc<AtomicU16>,
}

impl Proxy {
    pub(crate) async fn to(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let trips = Arc::new(AtomicU64::new(0));
        let (silent, hears) = watch::channel(false);
        let count = Arc::clone(&trips);
        let server = Arc::new(AtomicU16::new(server));
        let leads_to = Arc::clone(&server);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = leads_to.load(Ordering::SeqCst);
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { continue };
                tokio::spawn(connect(client, server, Arc::clone(&count), hears.clone()));
            }
        });
        Self { port, trips, silent, server }
    }

    /// Takes new connections to another server.
    pub(crate) fn lead_to(&self, server: u16) {
        self.server.store(server, Ordering::SeqCst);
    }

    /// How often the server has said that it waits for the next request.
    pub(crate) fn trips(&self) -> u64 {
        self.trips.load(Ordering::SeqCst)
    }

    /// Holds everything back, or lets it go.
    pub(crate) fn silence(&self, silent: bool) {
        self.silent.send(silent).unwrap();
    }
}

async fn connect(client: TcpStream, server: TcpStream, trips: Arc<AtomicU64>, mut silent: watch::Receiver<bool>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let requests = tokio::spawn({
        let mut silent = silent.clone();
        async move {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
                if silent.wait_for(|silent| !silent).await.is_err()
                    || to_server.write_all(&buffer[..length]).await.is_err()
                {
                    break;
                }
            }
        }
    });
    let mut messages = Messages::default();
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
        trips.fetch_add(messages.ready(&buffer[..length]), Ordering::SeqCst);
        if silent.wait_for(|silent| !silent).await.is_err() || to_client.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
    requests.abort();
}

/// Reads the server's messages: a letter, and a length that counts itself.
#[derive(Default)]
struct Messages {
    header: Vec<u8>,
    rest: usize,
}

impl Messages {
    /// How many of `ReadyForQuery` begin here.
    fn ready(&mut self, mut bytes: &[u8]) -> u64 {
        let mut ready = 0;
        while !bytes.is_empty() {
            let body = self.rest.min(bytes.len());
            self.rest -= body;
            bytes = &bytes[body..];
            let head = (5 - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes[..head]);
            bytes = &bytes[head..];
            if let [letter, length @ ..] = &self.header[..]
                && let Ok(length) = length.try_into()
            {
                ready += u64::from(*letter == b'Z');
                self.rest = usize::try_from(u32::from_be_bytes(length)).unwrap() - 4;
                self.header.clear();
            }
        }
        ready
    }
}
