//! `castoff run`, and following a run to its end.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::outcome::{BAD_INPUT, STOPPED, exit_code};
use super::paint::Paint;
use super::prompt::{Next, changes_question, next_step, open_question, plan_question};
use super::view;
use crate::control::client::{Client, Lines, Refused};
use crate::control::wire::{Line, RunRequest};
use crate::domain::ids::RunId;
use crate::domain::record::{Outcome, RunRecord, RunState};
use crate::domain::run::{Ending, StopCause, Stream};

/// Most of standard input that is read; the policy's limit is usually lower.
const STDIN_BYTES_MAX: u64 = 16 << 20;

/// How a run is followed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// One JSON object at the end instead of text.
    pub(super) json: bool,
    /// Questions are answered beforehand: do not prompt.
    pub(super) yes: bool,
    /// The caller only watches: no prompt, no end at a question.
    pub(super) watch: bool,
}

/// Runs a script and follows it. Returns the exit code.
///
/// # Errors
/// What broke, or [`Refused`].
pub(super) async fn run(home: &Path, request: RunRequest, manner: Manner) -> anyhow::Result<u8> {
    let lines = Client::connect(home).await?.lines("/runs", Some(&request)).await?;
    follow(home, lines, manner).await
}

/// The script of the words on the command line: one is the text, several are words.
///
/// # Errors
/// A word with a NUL.
pub(super) fn script(words: &[String]) -> anyhow::Result<String> {
    match words {
        [text] => Ok(text.clone()),
        words => Ok(shlex::try_join(words.iter().map(String::as_str))?),
    }
}

/// Standard input, when it is not a terminal and not empty; base64.
///
/// # Errors
/// [`Refused`] with 65 when it is too long.
pub(super) fn stdin() -> anyhow::Result<Option<String>> {
    let input = std::io::stdin();
    if input.is_terminal() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    if let Err(error) = input.lock().take(STDIN_BYTES_MAX + 1).read_to_end(&mut bytes) {
        tracing::debug!("standard input cannot be read, so there is none: {error}");
    }
    if bytes.len() as u64 > STDIN_BYTES_MAX {
        let why =
            format!("standard input has more than {STDIN_BYTES_MAX} bytes\nhint: put it into a file of a workspace");
        return Err(Refused { code: BAD_INPUT, why }.into());
    }
    Ok((!bytes.is_empty()).then(|| BASE64_STANDARD.encode(bytes)))
}

/// What was seen of a run so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) record: Option<Box<RunRecord>>,
    home: String,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// Questions that were put already, or are not the caller's to answer.
    pub(super) asked: Vec<String>,
    declined: Option<String>,
}

/// Shows the lines of a run until it is over, or its next step is somebody else's. Returns the run's
/// exit code.
///
/// # Errors
/// What broke.
pub(super) async fn follow(home: &Path, lines: Lines, manner: Manner) -> anyhow::Result<u8> {
    finish(&watch(home, lines, manner).await?, manner)
}

/// As [`follow`], for a decision about a run: returns whether that went as wanted.
///
/// # Errors
/// What broke.
pub(super) async fn follow_decision(home: &Path, lines: Lines, manner: Manner) -> anyhow::Result<u8> {
    let seen = watch(home, lines, manner).await?;
    let code = finish(&seen, manner)?;
    Ok(match &seen.record {
        Some(record) if seen.declined.is_none() => super::manage::decided(record),
        Some(_) | None => code,
    })
}

async fn watch(home: &Path, mut lines: Lines, manner: Manner) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let mut stops = 0;
    loop {
        let line = tokio::select! {
            line = lines.next::<Line>() => line?,
            stop = tokio::signal::ctrl_c() => {
                stop.context("failed to listen for Ctrl-C")?;
                stops += 1;
                let Some(run) = seen.record.as_ref().map(|record| record.run.clone()) else { return Err(stopped()) };
                if manner.watch || stops > 1 {
                    return Err(stopped());
                }
                say(manner, "stopping …")?;
                stop_run(home, &run).await?;
                continue;
            }
        };
        let Some(line) = line else { break };
        if take(&mut seen, line, manner)? && next_step(home, &mut seen, manner).await? != Next::Follow {
            break;
        }
    }
    Ok(seen)
}

fn stopped() -> anyhow::Error {
    Refused { code: STOPPED, why: "stopped waiting; `castoff runs` shows what becomes of it".to_owned() }.into()
}

/// Takes a line in; `true` when the run's state is new.
pub(super) fn take(seen: &mut Seen, line: Line, manner: Manner) -> anyhow::Result<bool> {
    match line {
        Line::Run { record, may_answer, home } => {
            seen.home = home;
            // Somebody who may not answer only learns that it waits.
            if !may_answer {
                seen.asked.extend(open_question(&record).map(|(id, _)| id));
            }
            seen.record = Some(record);
            return Ok(true);
        }
        Line::Output { stream, bytes } => {
            let bytes = BASE64_STANDARD.decode(bytes).context("the core sent output that is not base64")?;
            match (manner.json, stream) {
                (true, Stream::Stdout) => seen.stdout.extend(bytes),
                (true, Stream::Stderr) => seen.stderr.extend(bytes),
                (false, Stream::Stdout) => write_through(&mut std::io::stdout().lock(), &bytes)?,
                (false, Stream::Stderr) => write_through(&mut std::io::stderr().lock(), &bytes)?,
            }
        }
        Line::Progress(text) => say(manner, &format!("… {text}"))?,
        Line::Declined(why) => seen.declined = Some(why),
        Line::Turn(_) | Line::Text(_) | Line::Tool(_) => {}
    }
    Ok(false)
}

fn write_through(to: &mut impl std::io::Write, bytes: &[u8]) -> anyhow::Result<()> {
    to.write_all(bytes).and_then(|()| to.flush()).context("failed to pass output on")
}

/// Says something that is not the script's, on standard error.
fn say(manner: Manner, text: &str) -> anyhow::Result<()> {
    if manner.json {
        return Ok(());
    }
    let mut out = std::io::stderr().lock();
    Ok(writeln!(out, "{}", Paint::of(&out).said(&format!("castoff: {text}")))?)
}

/// Whether the run waits for a person.
pub(super) fn waits(seen: &Seen) -> bool {
    seen.record.as_deref().and_then(open_question).is_some()
}

/// The question that the run waits for.
pub(super) fn open_approval(seen: &Seen) -> Option<String> {
    seen.record.as_deref().and_then(open_question).map(|(approval, _)| approval)
}

/// What the run asks, as it stands at the prompt.
pub(super) fn question(seen: &Seen) -> Option<String> {
    let record = seen.record.as_deref()?;
    let (_, about_plan) = open_question(record)?;
    Some(if about_plan { plan_question(record) } else { changes_question(record) })
}

async fn stop_run(home: &Path, run: &RunId) -> anyhow::Result<()> {
    let mut client = Client::connect(home).await?;
    client.post::<()>(&format!("/runs/{run}/stop"), &json!({})).await
}

/// The last words, and the exit code.
fn finish(seen: &Seen, manner: Manner) -> anyhow::Result<u8> {
    let Some(record) = &seen.record else {
        let why = seen
            .declined
            .clone()
            .unwrap_or_else(|| "Castoff went away; `castoff runs` shows what became of it".to_owned());
        return Err(Refused { code: super::outcome::UNAVAILABLE, why }.into());
    };
    let code = if seen.declined.is_some() { super::outcome::REFUSED } else { exit_code(record) };
    if manner.json {
        let mut answer = view::run_json(record);
        if let Some(object) = answer.as_object_mut() {
            object.insert("stdout".to_owned(), String::from_utf8_lossy(&seen.stdout).into());
            object.insert("stderr".to_owned(), String::from_utf8_lossy(&seen.stderr).into());
            object.insert("exit_code".to_owned(), code.into());
            object.insert("declined".to_owned(), seen.declined.clone().into());
        }
        writeln!(std::io::stdout().lock(), "{answer}")?;
        return Ok(code);
    }
    if let Some(why) = &seen.declined {
        say(manner, why)?;
    }
    if !manner.watch {
        say_ending(record, manner)?;
        say_changes(seen, record, manner)?;
    }
    Ok(code)
}

fn say_ending(record: &RunRecord, manner: Manner) -> anyhow::Result<()> {
    if let RunState::Refused { why } = &record.state {
        say(manner, &format!("refused: {why}"))?;
    }
    let Some(end) = &record.end else { return Ok(()) };
    let limits = record.plan.as_ref().map(|plan| plan.limits.clone()).unwrap_or_default();
    for reached in end.reached(&limits) {
        say(manner, &reached)?;
    }
    match &end.ending {
        Ending::Stopped { cause: StopCause::Timeout } => {
            say(manner, &format!("stopped: it ran longer than {} s", limits.wall_time_ms / 1000))
        }
        Ending::Stopped { cause: StopCause::OutputCap } => {
            let most = limits.output_bytes >> 20;
            say(manner, &format!("stopped: it wrote more than {most} MiB of output\nhint: write it to a file instead"))
        }
        Ending::Stopped { cause: StopCause::DiskCap } => {
            say(manner, &format!("stopped: it wrote more than {} MiB to disk", limits.disk_bytes >> 20))
        }
        Ending::Stopped { cause: StopCause::FilesCap } => {
            say(manner, &format!("stopped: it made more than {} files on disk", limits.disk_files))
        }
        Ending::Stopped { cause: StopCause::MemoryCap } => {
            say(manner, &format!("stopped: it wanted more than {} MiB of memory", limits.memory_bytes >> 20))
        }
        Ending::Stopped { cause: cause @ (StopCause::DiskReserve | StopCause::Broken) } => {
            say(manner, &format!("stopped: {}", cause.because()))
        }
        Ending::Stopped { cause: StopCause::Asked } => say(manner, "stopped"),
        Ending::Stopped { cause: StopCause::Shutdown | StopCause::Lost } => {
            say(manner, "interrupted: the runner or Castoff itself was stopped while it ran")
        }
        Ending::Signalled { out_of_memory: true, .. } => {
            say(manner, &format!("killed: it wanted more than {} MiB of memory", limits.memory_bytes >> 20))
        }
        Ending::Signalled { signal, .. } => say(manner, &format!("killed by signal {signal}")),
        Ending::Failed { why } => say(manner, &format!("it could not start: {why}")),
        Ending::Exited { .. } => Ok(()),
    }
}

fn say_changes(seen: &Seen, record: &RunRecord, manner: Manner) -> anyhow::Result<()> {
    let run = &record.run;
    let is_held = matches!(record.state, RunState::Held { .. });
    let listed = if is_held { view::changes_to_judge(record) } else { view::changes(record) };
    match &record.state {
        RunState::Done { changes: Outcome::Applied } => {
            say(
                manner,
                &format!("applied in {}:\n{listed}\ncastoff: `castoff undo {run}` takes it back", place(seen, record)),
            )?;
        }
        RunState::Done { changes: Outcome::Dropped } => say(manner, "discarded: nothing of it landed")?,
        RunState::Done { changes: Outcome::Undone } => say(manner, "taken back")?,
        RunState::Done { changes: Outcome::None } if !listed.is_empty() => {
            say(manner, &format!("not applied:\n{listed}"))?
        }
        RunState::Held { approval, why } => {
            for landing in &record.landings {
                for conflict in &landing.conflicts {
                    let path = landing.workspace.join(&conflict.path);
                    say(manner, &format!("conflict: {}: {}", path.display(), conflict.why))?;
                }
            }
            let id = approval.as_ref().map_or_else(|| run.to_string(), ToString::to_string);
            say(
                manner,
                &format!(
                    "held ({why}), nothing of this landed:\n{listed}\ncastoff: {id} waits: `castoff diff {run}`, then `castoff apply {run}` or `castoff drop {run}`"
                ),
            )?;
        }
        RunState::Asking { approval } => {
            if let Some(plan) = &record.plan {
                say(manner, &format!("this needs a yes:\n{}", view::plan(record, plan)))?;
            }
            say(
                manner,
                &format!(
                    "{approval} waits: the owner answers with `castoff approve {approval}` or `castoff refuse {approval}`"
                ),
            )?;
        }
        RunState::Planning
        | RunState::Queued
        | RunState::Running
        | RunState::Applying
        | RunState::Dropping
        | RunState::Undoing
        | RunState::Refused { .. }
        | RunState::Done { .. } => {}
    }
    for landing in &record.undone {
        for conflict in &landing.conflicts {
            say(
                manner,
                &format!("not taken back: {}: {}", landing.workspace.join(&conflict.path).display(), conflict.why),
            )?;
        }
    }
    Ok(())
}

/// The directories of the host that changed.
fn place(seen: &Seen, record: &RunRecord) -> String {
    let sets = record.end.iter().flat_map(|end| &end.changes);
    let places: Vec<String> =
        sets.filter(|set| !set.changes.is_empty()).map(|set| set.workspace.display().to_string()).collect();
    if places.is_empty() { seen.home.clone() } else { places.join(", ") }
}
