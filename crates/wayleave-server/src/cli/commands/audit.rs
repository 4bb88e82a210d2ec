//! `wayleave audit`: proving that the log is whole, and reading it.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use wayleave_core::ports::{AuditQuery, AuditRow};

use super::super::args::Audit;
use super::super::deployment::{Absent, Deployment};
use super::super::failure::{Argument, Failure};
use super::super::output::{Line, Output};
use super::json;
use crate::assembly;
use crate::audit::{ChainKey, Finding, Inspected, Verification, verify};
use crate::config::Config;
use crate::routes::admin::audit::AuditEntry;
use crate::secrets::Purpose;
use crate::wire::rfc3339;

/// Longest name of an event, in bytes.
const MOST_EVENT: usize = 64;

/// Runs one of them.
pub(in crate::cli) async fn run(command: &Audit, config: &Config, output: Output) -> Result<ExitCode, Failure> {
    match command {
        Audit::Verify => {
            let deployment = Deployment::open(config, Absent::Refuse).await?;
            let outcome = prove(&deployment, config, output).await;
            let proof = deployment.close(outcome).await?;
            output.result(|| proof.people(), || proof.scripts())?;
            Ok(if proof.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Audit::List { event, subject, since, limit } => {
            if event.as_ref().is_some_and(|event| event.len() > MOST_EVENT) {
                return Err(Argument::Event.into());
            }
            let deployment = Deployment::open(config, Absent::Refuse).await?;
            let since = since.map(|length: Duration| deployment.app.now().minus(length));
            let query = AuditQuery {
                event: event.as_deref().map(Into::into),
                subject: subject.as_deref().map(Into::into),
                since,
                most: *limit,
                ..AuditQuery::default()
            };
            let outcome = list(&deployment, &query, output).await;
            deployment.close(outcome).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What a verification came to.
struct Proof {
    verification: Verification,
    head_file: String,
    forged: Vec<usize>,
}

async fn prove(deployment: &Deployment, config: &Config, output: Output) -> Result<Proof, Failure> {
    let keys = &deployment.keys;
    let heads = assembly::heads(config, keys);
    // Before the rows: a head promises that its row is in the store, and a running server goes on writing both.
    let Inspected { heads: genuine, forged } = heads.inspect()?;
    let key = ChainKey::new(*keys.derive(Purpose::Audit));
    let progress = output.progress();
    let shown = |rows| progress.show(&format!("{rows} rows verified"));
    let verification = verify(&*deployment.app.directory.audit, &key, &genuine, shown).await?;
    Ok(Proof { verification, head_file: heads.path().display().to_string(), forged })
}

impl Proof {
    fn is_whole(&self) -> bool {
        self.verification.findings.is_empty() && self.forged.is_empty()
    }

    fn people(&self) -> String {
        let Verification { nodes, rows, heads, findings } = &self.verification;
        let forged = self
            .forged
            .iter()
            .map(|line| format!("line {line} of {} is not a signed head of this deployment", self.head_file));
        let problems: Vec<_> = findings.iter().map(Finding::to_string).chain(forged).collect();
        let seen = format!("rows: {rows}, chains: {nodes}, signed heads: {heads}");
        match problems.len() {
            0 => format!("{seen}\nNothing was removed, changed or cut off."),
            many => format!("{}\n{seen}, findings: {many}", problems.join("\n")),
        }
    }

    fn scripts(&self) -> Value {
        let Verification { nodes, rows, heads, findings } = &self.verification;
        let findings = findings.iter().map(|finding| {
            json!({
                "kind": finding.kind(),
                "node": finding.node(),
                "sequence": finding.sequence(),
                "message": finding.to_string(),
            })
        });
        let forged =
            self.forged.iter().map(|line| json!({ "kind": "forged_head", "file": self.head_file, "line": line }));
        json!({
            "valid": self.is_whole(),
            "rows": rows,
            "chains": nodes,
            "heads": heads,
            "findings": findings.chain(forged).collect::<Vec<_>>(),
        })
    }
}

async fn list(deployment: &Deployment, query: &AuditQuery, output: Output) -> Result<(), Failure> {
    let (rows, next) = deployment.app.directory.audit.query(query).await?;
    let mut listing = output.listing(["AT", "EVENT", "COUNT", "SUBJECT", "ACTOR", "SOURCE", "REASON", "DETAIL"]);
    listing.page(rows.into_iter().map(|row| Line { cells: cells(&row), json: json(AuditEntry::of(row)) }))?;
    if listing.end()? == 0 {
        output.remark("There are no such rows.");
    }
    if next.is_some() {
        output.remark(&format!("There are more rows; these are the newest {}. Ask for more with --limit.", query.most));
    }
    Ok(())
}

fn cells(row: &AuditRow) -> [String; 8] {
    let optional = |text: &Option<Box<str>>| text.as_deref().unwrap_or("-").to_owned();
    [
        rfc3339(row.at),
        row.event.to_string(),
        row.count.to_string(),
        optional(&row.subject),
        optional(&row.actor),
        optional(&row.source),
        optional(&row.reason),
        optional(&row.detail),
    ]
}
