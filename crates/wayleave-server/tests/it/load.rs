//! People who sign in, look round, refresh and sign out at several servers while those break, and what they were told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use wayleave::SystemEntropy;
use wayleave_core::ports::Entropy as _;

use super::fleet::{PASSWORD, email};
use super::process::ask;

/// How many clients a person has. Most wait when a server does not answer.
const CLIENTS: usize = 6;

/// What a client was told of one of its sessions.
#[derive(Clone, Debug)]
struct Known {
    access: String,
    refresh: String,
    state: State,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum State {
    /// Everything that was asked was answered.
    Acknowledged,
    /// Something was asked for and not answered.
    Unanswered,
    /// The sign-out was answered.
    SignedOut,
}

/// What all clients share.
pub(crate) struct Load {
    servers: Vec<SocketAddr>,
    known: Mutex<Vec<Known>>,
    stop: AtomicBool,
    answered: AtomicU64,
    refused: AtomicU64,
}

/// A load that goes on.
pub(crate) struct Running {
    load: Arc<Load>,
    clients: Vec<JoinHandle<()>>,
}

impl Running {
    /// Begins, with [`CLIENTS`] for each of so many people.
    pub(crate) fn start(servers: Vec<SocketAddr>, people: usize) -> Self {
        let load = Arc::new(Load {
            servers,
            known: Mutex::default(),
            stop: AtomicBool::new(false),
            answered: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        });
        let clients =
            (0..people * CLIENTS).map(|client| tokio::spawn(Arc::clone(&load).work(client % people))).collect();
        Self { load, clients }
    }

    /// How many requests were not answered, or with the answer that they cannot be, so far.
    pub(crate) fn refused(&self) -> u64 {
        self.load.refused.load(Ordering::Relaxed)
    }

    /// How many requests were answered so far.
    pub(crate) fn answered(&self) -> u64 {
        self.load.answered.load(Ordering::Relaxed)
    }

    /// Ends it; fails when somebody was answered wrongly.
    pub(crate) async fn stop(self) -> Arc<Load> {
        self.load.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.unwrap();
        }
        self.load
    }
}

impl Load {
    /// Asks any server; nothing where no answer came, or one that says that it cannot be given now.
    async fn ask(&self, method: &str, path: &str, bearer: Option<&str>, body: Option<&Value>) -> Option<(u16, Value)> {
        self.ask_at(self.servers[below(self.servers.len())], method, path, bearer, body).await
    }

    async fn ask_at(
        &self,
        server: SocketAddr,
        method: &str,
        path: &str,
        bearer: Option<&str>,
        body: Option<&Value>,
    ) -> Option<(u16, Value)> {
        let bearer = bearer.map(|token| format!("Bearer {token}"));
        let fields: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
        let asked = tokio::time::timeout(Duration::from_secs(20), ask(server, method, path, &fields, body)).await;
        let answer = asked.ok().and_then(Result::ok).filter(|answer| answer.status.as_u16() < 500);
        match answer {
            Some(answer) => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                let value = serde_json::from_slice(&answer.body).unwrap_or_default();
                Some((answer.status.as_u16(), value))
            }
            None => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    async fn validate_at(&self, server: SocketAddr, access: &str) -> Option<bool> {
        let answer = self.ask_at(server, "GET", "/api/auth/sessions/validate", Some(access), None).await?;
        Some(answer.0 == 200)
    }

    /// Signs in, looks round, refreshes and signs out until told to stop.
    async fn work(self: Arc<Self>, person: usize) {
        let body = json!({ "email": email(person), "password": PASSWORD, "transport": "bearer" });
        while !self.stop.load(Ordering::Relaxed) {
            let Some((200, answer)) = self.ask("POST", "/api/auth/login", None, Some(&body)).await else {
                pass(Duration::from_millis(50)).await;
                continue;
            };
            let index = {
                let mut known = self.known.lock();
                known.push(pair(&answer, State::Acknowledged));
                known.len() - 1
            };
            for _ in 0..3 {
                let Known { access, refresh, .. } = self.known.lock()[index].clone();
                for server in &self.servers {
                    let valid = self.validate_at(*server, &access).await;
                    assert_ne!(valid, Some(false), "an acknowledged session is refused");
                }
                self.known.lock()[index].state = State::Unanswered;
                let body = json!({ "refresh_token": refresh });
                match self.ask("POST", "/api/auth/sessions/refresh", None, Some(&body)).await {
                    Some((200, answer)) => self.known.lock()[index] = pair(&answer, State::Acknowledged),
                    Some((status, answer)) => panic!("a good refresh token is refused: {status} {answer}"),
                    None => break,
                }
            }
            let Known { access, state, .. } = self.known.lock()[index].clone();
            if state != State::Acknowledged || below(2) == 0 {
                continue;
            }
            self.known.lock()[index].state = State::Unanswered;
            if let Some((status, _)) = self.ask("POST", "/api/auth/logout", Some(&access), None).await {
                assert_eq!(status, 200);
                self.known.lock()[index].state = State::SignedOut;
                for server in &self.servers {
                    let valid = self.validate_at(*server, &access).await;
                    assert_ne!(valid, Some(true), "an ended session is honoured after the answer");
                }
            }
        }
    }

    /// Every session is as its client was told, at every server.
    pub(crate) async fn check(&self) {
        let known = self.known.lock().clone();
        assert!(known.iter().any(|session| session.state == State::SignedOut));
        assert!(known.iter().any(|session| session.state == State::Acknowledged));
        for session in known {
            for server in &self.servers {
                let valid = self.validate_at(*server, &session.access).await;
                match session.state {
                    State::Acknowledged => {
                        assert_eq!(valid, Some(true), "an acknowledged session is lost: {session:?}")
                    }
                    State::SignedOut => assert_eq!(valid, Some(false), "an ended session is back: {session:?}"),
                    State::Unanswered => {}
                }
            }
        }
    }
}

fn pair(answer: &Value, state: State) -> Known {
    let text = |name: &str| answer["data"][name].as_str().unwrap().to_owned();
    Known { access: text("session_token"), refresh: text("refresh_token"), state }
}

/// A random number below `end`.
pub(crate) fn below(end: usize) -> usize {
    let mut random = [0; 8];
    SystemEntropy.fill(&mut random).unwrap();
    usize::try_from(u64::from_le_bytes(random) % end as u64).unwrap()
}

/// Lets time pass.
pub(crate) async fn pass(time: Duration) {
    tokio::time::timeout(time, std::future::pending::<()>()).await.unwrap_err();
}
