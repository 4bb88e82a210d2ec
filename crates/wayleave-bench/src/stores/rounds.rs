//! One application over one store: started, checked, and put under every load in turn.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::backend::{Backend, Operations, Store};
use super::contenders::{Contender, Programs};
use super::load::{self, CONNECTIONS, Cookies, Done, Target, merged};
use crate::http::client::Request;
use crate::http::{self, Header, Load, Pair, Server};
use crate::plan::Plan;
use crate::problem::Problem;

/// Sessions that are asked for cold, and ended, in one round.
const MANY: usize = 20_000;

/// What is done with sessions, each time with another one.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verb {
    /// A session is opened.
    Create,
    /// A process that has just been started is asked for a session for the first time.
    Cold,
    /// A session gets another id.
    Refresh,
    /// A session is ended.
    Revoke,
}

impl Verb {
    pub(super) const ALL: [Self; 4] = [Self::Create, Self::Cold, Self::Refresh, Self::Revoke];

    /// In the table.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Cold => "who is it, cold",
            Self::Refresh => "refresh",
            Self::Revoke => "revoke",
        }
    }

    const fn target(self) -> Target {
        match self {
            Self::Create => Target { method: "POST", path: "/sign-in" },
            Self::Cold => Target { method: "GET", path: "/me" },
            Self::Refresh => Target { method: "POST", path: "/renew" },
            Self::Revoke => Target { method: "POST", path: "/sign-out" },
        }
    }
}

/// One load of one verb.
pub(super) struct Round {
    pub(super) per_second: f64,
    pub(super) p99_micros: f64,
    pub(super) operations: Operations,
}

/// All figures of one application.
#[derive(Default)]
pub(super) struct Figures {
    /// The same session again and again, against the plain route.
    pub(super) warm: Vec<Pair>,
    /// What the last of these rounds asked of the backend.
    pub(super) warm_operations: Operations,
    pub(super) verbs: BTreeMap<Verb, Vec<Round>>,
}

/// A running application.
pub(super) struct Running<'a> {
    pub(super) contender: Contender,
    store: Store,
    backend: &'a Backend,
    programs: &'a Programs,
    place: String,
    server: Server,
    cookie: Header,
    pub(super) figures: Figures,
}

impl<'a> Running<'a> {
    /// Starts an application, and makes sure that it does what is measured.
    pub(super) fn start(
        contender: Contender,
        store: Store,
        backend: &'a Backend,
        programs: &'a Programs,
    ) -> Result<Self, Problem> {
        let place = backend.place()?;
        let server = programs.start(&contender, &place, true)?;
        let cookie = checked(&server)?;
        let running = Self { contender, store, backend, programs, place, server, cookie, figures: Figures::default() };
        // Nobody counts the first second.
        http::round(running.load("/plain"), 1)?;
        http::round(running.load("/me"), 1)?;
        Ok(running)
    }

    fn load(&self, path: &'static str) -> Load<'_> {
        let header = if path == "/me" { Some(&self.cookie) } else { None };
        Load { server: &self.server, path, header }
    }

    /// Every load once.
    pub(super) fn round(&mut self, plan: Plan) -> Result<(), Problem> {
        let plain = http::round(self.load("/plain"), plan.http_seconds)?;
        let before = self.backend.asked()?;
        let other = http::round(self.load("/me"), plan.http_seconds)?;
        self.figures.warm_operations = self.backend.asked()?.since(&before, other.requests);
        self.figures.warm.push(Pair { plain, other });

        let this = self.server.address();
        let mut sessions = self.measure(plan, Verb::Create, this, Cookies::None)?.cookies;
        sessions.truncate(MANY);
        if let Some((server, sessions)) = self.cold(plan, &sessions)? {
            // It takes its connections to the store in its own time.
            let (first, rest) = sessions.split_at(sessions.len() / 10);
            load::run(server.address(), Verb::Cold.target(), Cookies::Once(first.to_vec()), plan.store_load)?;
            self.measure(plan, Verb::Cold, server.address(), Cookies::Once(rest.to_vec()))?;
        }
        let refreshed = sessions.split_off(sessions.len() - CONNECTIONS.min(sessions.len() / 2));
        self.measure(plan, Verb::Refresh, this, Cookies::Kept(refreshed))?;
        self.measure(plan, Verb::Revoke, this, Cookies::Once(sessions))?;
        Ok(())
    }

    /// Another process over the same store, and sessions that it does not know yet.
    fn cold(&self, plan: Plan, sessions: &[String]) -> Result<Option<(Server, Vec<String>)>, Problem> {
        match self.store {
            // There is nothing behind the memory. Ours can be told not to keep sessions warm in front of its store.
            Store::Memory if self.contender.is_ours => {
                let server = self.programs.start(&self.contender, &self.place, false)?;
                let made = load::run(server.address(), Verb::Create.target(), Cookies::None, plan.store_load)?;
                Ok(Some((server, made.cookies.into_iter().take(MANY).collect())))
            }
            Store::Memory => Ok(None),
            Store::Sqlite | Store::Postgres | Store::Redis => {
                Ok(Some((self.programs.start(&self.contender, &self.place, true)?, sessions.to_vec())))
            }
        }
    }

    /// A load of one verb on this process or on another one over the same store.
    fn measure(&mut self, plan: Plan, verb: Verb, on: SocketAddr, cookies: Cookies) -> Result<Done, Problem> {
        let before = self.backend.asked()?;
        let done = load::run(on, verb.target(), cookies, plan.store_load)?;
        let operations = self.backend.asked()?.since(&before, done.requests);
        let Done { per_second, p99_micros, .. } = done;
        self.figures.verbs.entry(verb).or_default().push(Round { per_second, p99_micros, operations });
        Ok(done)
    }
}

/// Opens a session, gives it another id and ends it, and sees that each of these did what it should; then the cookie of
/// a session that stays.
fn checked(server: &Server) -> Result<Header, Problem> {
    let mut client = server.connect()?;
    let mut ask = |target: Target, cookie: &str| {
        let Target { method, path } = target;
        let mut headers = vec![("sec-fetch-site", "same-origin".to_owned())];
        if !cookie.is_empty() {
            headers.push(("cookie", cookie.to_owned()));
        }
        if method == "POST" {
            headers.push(("content-length", "0".to_owned()));
        }
        let answer = client.ask(&Request { method, path, headers: &headers, body: None })?;
        let user = if method == "GET" { Some(answer.text_at("/user_id")?) } else { None };
        Ok::<_, Problem>((merged(cookie, answer.set()), user))
    };
    let me = Verb::Cold.target();
    let (opened, _) = ask(Verb::Create.target(), "")?;
    let (opened, user) = ask(me, &opened)?;
    let (renewed, _) = ask(Verb::Refresh.target(), &opened)?;
    let (renewed, same) = ask(me, &renewed)?;
    if user != same {
        return Err(Problem::Defect("a session that got another id is somebody else's"));
    }
    ask(Verb::Revoke.target(), &renewed)?;
    for (cookie, defect) in [("", "nobody is somebody"), (&renewed, "a session that was ended goes on")] {
        if !matches!(ask(me, cookie), Err(Problem::Answer { status: 401, .. })) {
            return Err(Problem::Defect(defect));
        }
    }
    ask(Verb::Create.target(), "").map(|(cookie, _)| Header::cookie(&cookie))
}
