//! The way from a server to its store, on which the bus alone can be cut.
//!
//! A connection that subscribes to something is the bus; all others pass whatever happens to it.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How PostgreSQL and Redis are told to hand messages on.
const SUBSCRIPTIONS: [&[u8]; 2] = [b"LISTEN \"", b"SUBSCRIBE\r\n"];
/// So much of what was said before is kept that no subscription is cut in two.
const LONGEST: usize = 16;

/// What becomes of the bus.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It works.
    Whole,
    /// Nothing arrives, and nobody is told; what was on the way arrives late.
    Silent,
    /// Connections break, and cannot be made again.
    Broken,
}

/// A proxy in front of a store.
pub(crate) struct Way {
    pub(crate) port: u16,
    cut: watch::Sender<Cut>,
}

impl Way {
    /// To a server on this machine. The client must not ask for TLS: what it says could not be read.
    pub(crate) async fn to(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let cut = watch::Sender::new(Cut::Whole);
        let told = cut.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { continue };
                tokio::spawn(connect(client, server, told.clone()));
            }
        });
        Self { port, cut }
    }

    pub(crate) fn cut(&self, cut: Cut) {
        self.cut.send_replace(cut);
    }

    /// How many connections carry the bus.
    pub(crate) fn buses(&self) -> usize {
        self.cut.receiver_count()
    }
}

async fn connect(client: TcpStream, server: TcpStream, told: watch::Sender<Cut>) {
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // Whoever subscribes makes it a bus, for both directions.
    let (bus, is_bus) = watch::channel(None);
    tokio::select! {
        () = forward(from_client, to_server, is_bus.clone(), Some((bus, told))) => {}
        () = forward(from_server, to_client, is_bus, None) => {}
    }
}

type Bus = Option<watch::Receiver<Cut>>;

/// Passes one direction on until it ends or is broken. `subscribes` is told when the client makes this a bus.
async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut is_bus: watch::Receiver<Bus>,
    subscribes: Option<(watch::Sender<Bus>, watch::Sender<Cut>)>,
) {
    let mut said: Vec<u8> = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = tokio::select! {
            read = from.read(&mut buffer) => match read {
                Ok(length @ 1..) => length,
                _ => return,
            },
            () = broken(is_bus.clone()) => return,
        };
        if let Some((bus, told)) = &subscribes
            && bus.borrow().is_none()
        {
            said.extend_from_slice(&buffer[..length]);
            if SUBSCRIPTIONS.iter().any(|words| said.windows(words.len()).any(|window| window == *words)) {
                bus.send_replace(Some(told.subscribe()));
            }
            said.drain(..said.len().saturating_sub(LONGEST));
        }
        let bus = is_bus.borrow_and_update().clone();
        if let Some(mut cut) = bus {
            let now = cut.wait_for(|cut| *cut != Cut::Silent).await.map(|cut| *cut);
            if !matches!(now, Ok(Cut::Whole)) {
                return;
            }
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

/// Waits until this is a bus, and the bus is broken.
async fn broken(mut is_bus: watch::Receiver<Bus>) {
    let cut = is_bus.wait_for(Option::is_some).await.ok().and_then(|bus| bus.clone());
    match cut {
        Some(mut cut) => drop(cut.wait_for(|cut| *cut == Cut::Broken).await.map(|cut| *cut)),
        // The other direction ends.
        None => std::future::pending().await,
    }
}
