//! The commands that ask a running core.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::args::{AuditCommand, Command};
use super::outcome::{UNAVAILABLE, exit_code};
use super::paint::{self, Paint};
use super::run::{self, Manner};
use super::view;
use crate::control::client::Client;
use crate::control::wire::{Answer, Apply, AuditLine, Question, RunRequest, Status, Verified};
use crate::domain::record::RunRecord;
use crate::domain::time::Timestamp;
use crate::engine::BudgetView;
use crate::protocol::runner::Readiness;

/// Does what a client command says. Returns the exit code.
///
/// # Errors
/// What broke, or why the core refused.
pub(super) async fn command(home: &Path, command: Command, json: bool) -> anyhow::Result<u8> {
    let manner = Manner { json, yes: true, watch: false };
    match command {
        Command::Chat { words } => super::chat::chat(home, &words, json).await,
        Command::Budget => budget(home, json).await,
        Command::Run { user, review, yes, script } => {
            let workdir = std::env::current_dir().ok().and_then(|path| path.to_str().map(str::to_owned));
            let (script, stdin) = (run::script(&script)?, run::stdin()?);
            let request = RunRequest { script, stdin, workdir, user, review: review.map(Into::into), yes };
            run::run(home, request, Manner { yes, ..manner }).await
        }
        Command::Runs { limit } => runs(home, limit, json).await,
        Command::Logs { run, follow } => {
            let what = if follow { "follow" } else { "output" };
            let lines = Client::connect(home).await?.lines(&format!("/runs/{run}/{what}"), None::<&()>).await?;
            run::follow(home, lines, Manner { watch: true, ..manner }).await
        }
        Command::Diff { run } => diff(home, &run, json).await,
        Command::Apply { run, paths } => {
            let paths = absolute(&paths)?;
            let body = Apply { paths: (!paths.is_empty()).then_some(paths) };
            decide(home, &format!("/runs/{run}/apply"), &body, manner).await
        }
        Command::Drop { run } => decide_to(home, &format!("/runs/{run}/drop"), manner).await,
        Command::Undo { run } => decide_to(home, &format!("/runs/{run}/undo"), manner).await,
        Command::Stop { run } => {
            Client::connect(home).await?.post::<()>(&format!("/runs/{run}/stop"), &json!({})).await?;
            Ok(0)
        }
        Command::Approvals => approvals(home, json).await,
        Command::Approve { id } => {
            decide(home, &format!("/approvals/{id}"), &Answer { yes: true, always: Vec::new() }, manner).await
        }
        Command::Refuse { id } => decide_to_refuse(home, &id, manner).await,
        Command::Status { health } => status(home, health, json).await,
        Command::Backup { file, force } => {
            super::backup::make(home, &file, super::backup::Replace::of(force), json).await
        }
        Command::Audit { command: AuditCommand::Verify } => verify(home, json).await,
        Command::Audit { command: AuditCommand::List { limit } } => audit(home, limit, json).await,
        Command::Policy { .. }
        | Command::Config { .. }
        | Command::Setup { .. }
        | Command::Doctor
        | Command::Restore { .. }
        | Command::Version
        | Command::Serve
        | Command::Prepare
        | Command::Runner { .. }
        | Command::Keeper
        | Command::Parse => {
            anyhow::bail!("this command needs no core")
        }
    }
}

/// Sends a decision about a run and follows what comes of it.
async fn decide(home: &Path, path: &str, body: &impl serde::Serialize, manner: Manner) -> anyhow::Result<u8> {
    let lines = Client::connect(home).await?.lines(path, Some(body)).await?;
    run::follow(home, lines, manner).await
}

/// As [`decide`], for what was wanted: a script that failed does not make dropping or undoing fail.
async fn decide_to(home: &Path, path: &str, manner: Manner) -> anyhow::Result<u8> {
    let lines = Client::connect(home).await?.lines(path, Some(&json!({}))).await?;
    run::follow_decision(home, lines, manner).await
}

async fn decide_to_refuse(home: &Path, id: &str, manner: Manner) -> anyhow::Result<u8> {
    let lines = Client::connect(home)
        .await?
        .lines(&format!("/approvals/{id}"), Some(&Answer { yes: false, always: Vec::new() }))
        .await?;
    run::follow_decision(home, lines, manner).await
}

/// Prints a text, with a newline at its end.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') && !text.is_empty() {
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn absolute(paths: &[std::path::PathBuf]) -> anyhow::Result<Vec<String>> {
    paths
        .iter()
        .map(|path| {
            let path = super::absolute(path)?;
            path.to_str().map(str::to_owned).with_context(|| format!("`{}` is not UTF-8", path.display()))
        })
        .collect()
}

async fn runs(home: &Path, limit: usize, json: bool) -> anyhow::Result<u8> {
    let records: Vec<RunRecord> = Client::connect(home).await?.get(&format!("/runs?limit={limit}")).await?;
    if json {
        print(&Value::from(records.iter().map(view::run_json).collect::<Vec<_>>()).to_string())?;
    } else if records.is_empty() {
        print("no runs yet; try `castoff run -- 'echo hello > a.txt && ls -la'`")?;
    } else {
        print(&view::runs(&records, paint::columns()))?;
    }
    Ok(0)
}

async fn diff(home: &Path, run: &str, json: bool) -> anyhow::Result<u8> {
    let text: String = Client::connect(home).await?.get(&format!("/runs/{run}/diff")).await?;
    let out = std::io::stdout();
    // In a pipe it is what `git apply` takes.
    let shown = if out.is_terminal() { Paint::of(&out).diff(&text) } else { text.clone() };
    print(&if json { json!({ "run": run, "diff": text }).to_string() } else { shown })?;
    Ok(0)
}

async fn approvals(home: &Path, json: bool) -> anyhow::Result<u8> {
    let questions: Vec<Question> = Client::connect(home).await?.get("/approvals").await?;
    if json {
        let object =
            |question: &Question| json!({ "approval": question.approval, "run": view::run_json(&question.run) });
        print(&Value::from(questions.iter().map(object).collect::<Vec<_>>()).to_string())?;
    } else if questions.is_empty() {
        print("no open questions")?;
    } else {
        print(&view::questions(&questions, paint::columns()))?;
    }
    Ok(0)
}

async fn status(home: &Path, health: bool, json: bool) -> anyhow::Result<u8> {
    let status: Status = Client::connect(home).await?.get("/status").await?;
    if health {
        let complete = status.runner.as_ref().is_some_and(Readiness::is_complete);
        return Ok(if complete && !status.stopping { 0 } else { UNAVAILABLE });
    }
    print(&if json { serde_json::to_string(&status)? } else { view::status(&status) })?;
    let ready =
        status.runner.as_ref().is_some_and(|runner| runner.obstacles().next().is_none() && !runner.images.is_empty());
    Ok(if ready && !status.stopping { 0 } else { UNAVAILABLE })
}

async fn budget(home: &Path, json: bool) -> anyhow::Result<u8> {
    let budget: BudgetView = Client::connect(home).await?.get("/budget").await?;
    print(&if json { serde_json::to_string(&budget)? } else { view::budget(&budget) })?;
    Ok(0)
}

async fn verify(home: &Path, json: bool) -> anyhow::Result<u8> {
    let verified: Verified = Client::connect(home).await?.get("/audit/verify").await?;
    let text = match (&verified.broken, &verified.head) {
        (Some(broken), _) => format!("the audit log was tampered with: {broken}"),
        (None, head) => format!("intact: {} entries, head {}", verified.entries, head.as_deref().unwrap_or("none")),
    };
    print(&if json { serde_json::to_string(&verified)? } else { text })?;
    Ok(u8::from(!verified.intact))
}

async fn audit(home: &Path, limit: usize, json: bool) -> anyhow::Result<u8> {
    let lines: Vec<AuditLine> = Client::connect(home).await?.get(&format!("/audit?limit={limit}")).await?;
    if json {
        print(&serde_json::to_string(&lines)?)?;
        return Ok(0);
    }
    for line in lines {
        let who = line.person.as_deref().unwrap_or("castoff");
        let run = line.run.as_deref().unwrap_or("");
        let at = Timestamp::from_ms(line.at_ms);
        print(&format!("{:>6}  {at}  {who:<10} {:<22} {run:<13} {}", line.seq, line.what, line.detail))?;
    }
    Ok(0)
}

/// The code of a run whose decision went as wanted, or of what stands in its way.
pub(super) fn decided(record: &RunRecord) -> u8 {
    let left = record.undone.iter().any(|landing| !landing.conflicts.is_empty());
    match record.state.is_over() {
        true if left => super::outcome::CONFLICT,
        true => 0,
        false => exit_code(record),
    }
}
