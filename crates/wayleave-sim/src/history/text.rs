//! A history as people read it: a line for everything that happened, in order.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use wayleave::core::id::SessionId;
use wayleave::core::record::Record;
use wayleave::core::token::TokenHash;

use super::{Access, Act, Changed, History, Moment, Outcome};

impl History {
    /// Every line, in order.
    #[must_use]
    pub fn lines(&self) -> Vec<(Moment, String)> {
        let mut lines = Vec::new();
        for (number, operation) in self.operations.iter().enumerate() {
            let super::Operation { client, process, act, began, ended, outcome } = operation;
            let who = format!("c{client} {process} #{number}");
            lines.push((*began, format!("{who} -> {}", self.act(act))));
            lines.push((*ended, format!("{who} <- {} : {}", self.outcome(outcome), self.act(act))));
        }
        for change in &self.changes {
            let what = match &change.what {
                Changed::Created(record, others) => format!("{} came, beside {others}", self.record(record)),
                Changed::Gone(record) => format!("{} went", self.record(record)),
                Changed::Rotated { before: _, after } => format!("{} was rotated", self.record(after)),
                Changed::FoundExpired(record) => format!("{} was found expired", self.record(record)),
            };
            lines.push((change.moment, format!("store {} {:?}: {what}", change.process, change.verb)));
        }
        for stood in &self.standings {
            let (active, epoch) = (stood.standing.active, stood.standing.epoch);
            let what = format!("{} active {active}, epoch {epoch}", stood.subject);
            lines.push((stood.moment, format!("directory {}: {what}", stood.process)));
        }
        for disturbance in &self.disturbances {
            let what = format!("n{} {:?}", disturbance.place, disturbance.what);
            lines.push((disturbance.began, format!("trouble {what}")));
            lines.push((disturbance.ended, format!("over {what}")));
        }
        lines.sort();
        lines
    }

    /// All lines as one text.
    #[must_use]
    pub fn text(&self) -> String {
        render(&self.lines())
    }

    /// The lines about one of these sessions or subjects, and about what went wrong meanwhile.
    #[must_use]
    pub fn about(&self, sessions: &[SessionId], until: Moment) -> String {
        let mut words: BTreeSet<String> = sessions.iter().map(|session| self.session(*session)).collect();
        for (_, record) in sessions.iter().filter_map(|session| self.created(*session)) {
            words.extend(record.subject.iter().map(ToString::to_string));
        }
        let begin = sessions.iter().filter_map(|session| self.created(*session)).map(|(moment, _)| moment).min();
        let mut lines = self.lines();
        lines.retain(|(moment, line)| {
            let trouble = line.starts_with("trouble") || line.starts_with("over");
            let named = line.split([' ', ',', '(', ')']).any(|word| words.contains(word));
            *moment <= until
                && (named || trouble && begin.is_none_or(|begin| moment.at + crate::plan::TIMING.write >= begin.at))
        });
        render(&lines)
    }

    /// The short name of a session.
    #[must_use]
    pub fn session(&self, id: SessionId) -> String {
        self.names.sessions.get(&id).map_or_else(|| id.to_string(), |number| format!("s{number}"))
    }

    fn refresh(&self, token: TokenHash) -> String {
        self.names.refreshes.get(&token).map_or_else(|| "r?".into(), |number| format!("r{number}"))
    }

    fn access(&self, access: Access) -> String {
        format!("a{} of {}", access.number, self.session(access.session))
    }

    fn sessions(&self, ids: &[SessionId]) -> String {
        ids.iter().map(|id| self.session(*id)).collect::<Vec<_>>().join(" ")
    }

    fn record(&self, record: &Record) -> String {
        let refresh = record.refresh.as_ref().map(|refresh| self.refresh(refresh.current)).unwrap_or_default();
        let whose = record.subject.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("{} {refresh} ({} of {whose} , revision {})", self.session(record.id), record.kind, record.revision.0)
    }

    fn act(&self, act: &Act) -> String {
        match act {
            Act::Open { subject, kind, epoch } => format!("open {kind} for {subject} , epoch {epoch}"),
            Act::Validate { access, active: true } => format!("validate {}", self.access(*access)),
            Act::Validate { access, active: false } => format!("poll {}", self.access(*access)),
            Act::Refresh { token, session } => {
                format!("refresh {} of {}", self.refresh(*token), self.session(*session))
            }
            Act::Extend(access) => format!("extend {}", self.access(*access)),
            Act::Reauthenticate(access) => format!("reauthenticate {}", self.access(*access)),
            Act::EndOne(session) => format!("end {}", self.session(*session)),
            Act::EndOwn(session) => format!("end own {}", self.session(*session)),
            Act::SignOut(access) => format!("sign out {}", self.access(*access)),
            Act::RevokeRefresh { token, session } => {
                format!("revoke {} of {}", self.refresh(*token), self.session(*session))
            }
            Act::EndOthers { subject, keep } => format!("end others of {subject} but {}", self.session(*keep)),
            Act::EndAll(subject) => format!("end all of {subject}"),
            Act::Stand { subject, change } => format!("{change:?} {subject}"),
            Act::Deposit(ticket) => format!("deposit ticket {ticket}"),
            Act::Take(ticket) => format!("take ticket {ticket}"),
        }
    }

    fn outcome(&self, outcome: &Outcome) -> String {
        let refresh = |token: &TokenHash| self.refresh(*token);
        match outcome {
            Outcome::Opened { access, refresh: token, evicted } => {
                let token = token.as_ref().map(refresh).unwrap_or_default();
                format!("opened {} {token} instead of ( {} )", self.access(*access), self.sessions(evicted))
            }
            Outcome::Refreshed { repeated, access, refresh: token } => {
                let repeated = if *repeated { " again" } else { "" };
                format!("refreshed{repeated} {} {}", self.access(*access), refresh(token))
            }
            Outcome::Done(sessions) => format!("done ( {} )", self.sessions(sessions)),
            Outcome::Failed(why) => format!("failed ({why})"),
            Outcome::Expired(limit) => format!("expired ({limit:?})"),
            Outcome::Valid
            | Outcome::Invalid
            | Outcome::Reused
            | Outcome::NotFound
            | Outcome::Gone
            | Outcome::Refused
            | Outcome::Taken
            | Outcome::NotTaken
            | Outcome::Lost => format!("{outcome:?}").to_lowercase(),
        }
    }
}

fn render(lines: &[(Moment, String)]) -> String {
    let mut text = String::new();
    for (moment, line) in lines {
        // Writing into a string does not fail.
        let _ = writeln!(text, "{:>10.4} {line}", moment.at.as_secs_f64());
    }
    text
}
