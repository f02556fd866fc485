//! `castoff chat`: the caller's conversation, at the terminal.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rustyline::error::ReadlineError;
use serde_json::json;

use super::args::Command;
use super::outcome::{BAD_INPUT, STOPPED, WAITING};
use super::paint::Paint;
use super::prompt::{self, Next};
use super::run::{self, Manner, Seen};
use super::{config, manage, rules, view};
use crate::control::client::{Client, Refused};
use crate::control::wire::{ChatRequest, Line, ModelStatus, StopRequest};
use crate::domain::ids::TurnId;
use crate::domain::model::ToolCall;
use crate::domain::record::{RunRecord, RunState};
use crate::domain::run::Ending;
use crate::domain::text::visible;
use crate::domain::turn::{Body, Message, TurnOutcome, TurnRecord, TurnState};

/// Most of standard input that is taken for a question.
const INPUT_BYTES_MAX: u64 = 128 * 1024;
/// Earlier messages that can be called up with the arrow keys.
const HISTORY: usize = 200;
/// How long a turn stands in the queue before that is said: each does for a moment.
const QUEUED_AFTER: Duration = Duration::from_millis(500);
/// Characters of a tool call that are shown.
const CALL_SHOWN: usize = 300;
const HELP: &str = "\
/run COMMAND     run a command without the model
/runs            list runs             /log RUN      its output
/diff RUN        what it changed       /undo RUN     take it back
/apply RUN       land held changes     /drop RUN     forget them
/approvals       open questions        /approve ID   /refuse ID
/budget          what was spent        /model [NAME] which model, or another
/status          how Castoff is doing  /rights [NAME] what you may do
/help            this
Ctrl-C stops the turn, Ctrl-D (or /quit) leaves.";

/// Talks. With `words`, or with standard input that is no terminal: one turn. Returns the exit code.
///
/// # Errors
/// What broke, or why the core refused.
pub(super) async fn chat(home: &Path, words: &[String], json: bool) -> anyhow::Result<u8> {
    if !words.is_empty() || !std::io::stdin().is_terminal() {
        let text = if words.is_empty() { input()? } else { words.join(" ") };
        return turn(home, &text, json).await;
    }
    let model: ModelStatus = Client::connect(home).await?.get("/model").await?;
    let with = model.model.unwrap_or_else(|| "no model: `/run COMMAND` works, and `castoff setup` sets one".to_owned());
    say(&format!("Castoff ({with}). /help lists commands, Ctrl-D leaves."))?;
    let mut editor = rustyline::DefaultEditor::new()?;
    let messages: Vec<Message> = Client::connect(home).await?.get(&format!("/chat?limit={HISTORY}")).await?;
    show_last(&messages)?;
    for line in said(messages) {
        editor.add_history_entry(line)?;
    }
    loop {
        let read = tokio::task::spawn_blocking(move || {
            let line = editor.readline("you> ");
            (editor, line)
        });
        let (back, line) = read.await?;
        editor = back;
        let line = match line {
            Ok(line) => line.trim().to_owned(),
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        if line.is_empty() {
            continue;
        }
        editor.add_history_entry(&line)?;
        if line == "/quit" {
            return Ok(0);
        }
        let done = match line.strip_prefix('/') {
            Some(command) => slash(home, command).await,
            None => turn(home, &line, false).await,
        };
        // A refusal ends a command, not the conversation.
        if let Err(error) = done {
            say(&format!("castoff: {error:#}"))?;
        }
    }
}

fn input() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(INPUT_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .context("failed to read the question")?;
    if text.len() as u64 > INPUT_BYTES_MAX {
        let why = format!("the question has more than {INPUT_BYTES_MAX} bytes\nhint: put it into a file of your home");
        return Err(Refused { code: BAD_INPUT, why }.into());
    }
    Ok(text)
}

/// Where the conversation stood: the caller's last words and what came after them, perhaps in Telegram.
fn show_last(messages: &[Message]) -> anyhow::Result<()> {
    let from = messages.iter().rposition(|message| matches!(message.body, Body::Person { .. })).unwrap_or_default();
    let mut turn = Turn::default();
    let manner = Manner { json: false, yes: false, watch: true };
    for message in messages.iter().skip(from) {
        match &message.body {
            Body::Person { text } => note(&mut turn, manner, &format!("you> {}", printable(text)))?,
            Body::Model { text, .. } if !text.trim().is_empty() => note(&mut turn, manner, &printable(text))?,
            Body::Note { text } => note(&mut turn, manner, &format!("castoff: {text}"))?,
            Body::Model { .. } | Body::Tool { .. } | Body::Summary { .. } => {}
        }
    }
    Ok(())
}

/// What the caller said before, for the arrow keys.
fn said(messages: Vec<Message>) -> Vec<String> {
    let said = messages.into_iter().filter_map(|message| match message.body {
        Body::Person { text } => Some(text),
        Body::Model { .. } | Body::Tool { .. } | Body::Summary { .. } | Body::Note { .. } => None,
    });
    said.filter(|text| !text.contains('\n')).collect()
}

async fn slash(home: &Path, line: &str) -> anyhow::Result<u8> {
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim().to_owned();
    let needed = |what: &str| {
        if rest.is_empty() {
            anyhow::bail!("/{name} needs {what}")
        }
        Ok(rest.clone())
    };
    let command = match name {
        "help" => {
            say(HELP)?;
            return Ok(0);
        }
        "rights" => {
            let name = (!rest.is_empty()).then_some(rest);
            return rules::rights(Client::connect(home).await?, name, false).await;
        }
        "model" if rest.is_empty() => return config::show(home, false).await,
        "model" => return config::set_model(home, rest).await,
        "stop" => {
            stop(home, None).await?;
            return Ok(0);
        }
        "run" => {
            let script = vec![needed("a command")?];
            Command::Run { user: None, review: None, yes: false, script }
        }
        "runs" => Command::Runs { limit: 10 },
        "log" | "logs" => Command::Logs { run: needed("a run")?, follow: false },
        "diff" => Command::Diff { run: needed("a run")? },
        "undo" => Command::Undo { run: needed("a run")? },
        "apply" => Command::Apply { run: needed("a run")?, paths: Vec::new() },
        "drop" => Command::Drop { run: needed("a run")? },
        "approvals" => Command::Approvals,
        "approve" => Command::Approve { id: needed("a question")? },
        "refuse" => Command::Refuse { id: needed("a question")? },
        "budget" => Command::Budget,
        "status" => Command::Status { health: false },
        other => anyhow::bail!("there is no /{other}; /help lists what there is"),
    };
    Box::pin(manage::command(home, command, false)).await
}

/// What was seen of a turn.
#[derive(Debug, Default)]
struct Turn {
    record: Option<Box<TurnRecord>>,
    /// Text of the present call of the model that was printed.
    streamed: String,
    /// Whether the cursor stands within a line.
    open: bool,
    runs: Vec<String>,
}

impl Turn {
    fn id(&self) -> Option<TurnId> {
        self.record.as_ref().map(|record| record.turn.clone())
    }

    fn is_queued(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.state == TurnState::Queued)
    }
}

/// One turn. Returns the exit code: 0 replied, 1 failed, 75 it waits for an approval, 130 stopped.
async fn turn(home: &Path, text: &str, json: bool) -> anyhow::Result<u8> {
    let request = ChatRequest { text: text.to_owned() };
    let mut lines = Client::connect(home).await?.lines("/chat", Some(&request)).await?;
    let manner = Manner { json, yes: false, watch: false };
    let (mut turn, mut seen, mut stops, mut told) = (Turn::default(), Seen::default(), 0, false);
    loop {
        let line = tokio::select! {
            line = lines.next::<Line>() => line?,
            () = tokio::time::sleep(QUEUED_AFTER), if turn.is_queued() && !told => {
                told = true;
                note(&mut turn, manner, "queued: another turn of yours is under way …")?;
                continue;
            }
            pressed = tokio::signal::ctrl_c() => {
                pressed.context("failed to listen for Ctrl-C")?;
                stops += 1;
                if stops > 1 || turn.id().is_none() {
                    return Ok(STOPPED);
                }
                stop(home, turn.id()).await?;
                continue;
            }
        };
        let Some(line) = line else { break };
        let is_run = if let Line::Run { record, .. } = &line { Some(record.clone()) } else { None };
        if let Some(record) = is_run {
            show_run(&mut turn, &record, manner)?;
            if !run::take(&mut seen, line, manner)? {
                continue;
            }
            match prompt::next_step(home, &mut seen, manner).await? {
                Next::Leave if run::waits(&seen) => return waiting(&turn, &seen, manner),
                Next::Stop => stop(home, turn.id()).await?,
                Next::Leave | Next::Follow => {}
            }
        } else {
            show(&mut turn, line, manner)?;
        }
    }
    let left = seen.record.as_ref().filter(|record| record.state == RunState::Running).map(|record| record.run.clone());
    let code = finish(&turn, manner)?;
    if let Some(run) = left.filter(|_| !manner.json) {
        say(&format!("castoff: its command {run} is being ended; /runs tells what became of it and its changes"))?;
    }
    Ok(code)
}

/// Ends this turn of the caller's, or the one that is under way.
async fn stop(home: &Path, turn: Option<TurnId>) -> anyhow::Result<()> {
    Client::connect(home).await?.post("/chat/stop", &StopRequest { turn }).await
}

/// The turn waits for somebody else, or nobody is at the terminal.
fn waiting(turn: &Turn, seen: &Seen, manner: Manner) -> anyhow::Result<u8> {
    let id = run::open_approval(seen).unwrap_or_default();
    if manner.json {
        let answer = json!({ "turn": turn.record.as_ref().map(|record| &record.turn), "runs": turn.runs, "approval": id, "exit_code": WAITING });
        writeln!(std::io::stdout().lock(), "{answer}")?;
    } else {
        if let Some(question) = run::question(seen) {
            say(&Paint::of(&std::io::stderr()).said(question.trim_end()))?;
        }
        say(&format!(
            "castoff: {id} waits for a yes: `castoff approve {id}` or `castoff refuse {id}`; the turn goes on then"
        ))?;
    }
    Ok(WAITING)
}

fn show(turn: &mut Turn, line: Line, manner: Manner) -> anyhow::Result<()> {
    match line {
        Line::Turn(record) => {
            match &record.state {
                TurnState::Queued => {}
                TurnState::Summarising { .. } => note(turn, manner, "summing up the conversation so far …")?,
                TurnState::Thinking { .. } => turn.streamed.clear(),
                TurnState::Working { call, .. } => note(turn, manner, &format!("▸ {}", call_line(call)))?,
                TurnState::Done { .. } => {}
            }
            turn.record = Some(record);
        }
        Line::Text(text) if !manner.json => {
            let text = printable(&text);
            let mut out = std::io::stdout().lock();
            out.write_all(text.as_bytes())?;
            out.flush()?;
            turn.open = !text.ends_with('\n');
            turn.streamed.push_str(&text);
        }
        Line::Progress(text) | Line::Declined(text) => note(turn, manner, &text)?,
        Line::Text(_) | Line::Tool(_) | Line::Output { .. } | Line::Run { .. } => {}
    }
    Ok(())
}

/// A run of the turn: its refusal, or what became of it.
fn show_run(turn: &mut Turn, record: &RunRecord, manner: Manner) -> anyhow::Result<()> {
    let run = record.run.to_string();
    if !turn.runs.contains(&run) {
        turn.runs.push(run);
    }
    match &record.state {
        RunState::Refused { why } => note(turn, manner, &format!("  refused: {}", visible(why))),
        RunState::Done { .. } | RunState::Held { approval: None, .. } => {
            let changes = view::changes(record);
            let changes = if changes.is_empty() { String::new() } else { format!("\n{changes}") };
            let why = match record.end.as_ref().map(|end| &end.ending) {
                Some(Ending::Failed { why }) => format!(": {}", visible(why)),
                Some(Ending::Exited { .. } | Ending::Signalled { .. } | Ending::Stopped { .. }) | None => String::new(),
            };
            let sent = view::sent(record).map(|sent| format!("\n  {sent}")).unwrap_or_default();
            note(turn, manner, &format!("  {} ({}){why}{changes}{sent}", view::state(record), record.run))
        }
        RunState::Planning
        | RunState::Asking { .. }
        | RunState::Queued
        | RunState::Running
        | RunState::Held { .. }
        | RunState::Applying
        | RunState::Dropping
        | RunState::Undoing => Ok(()),
    }
}

fn call_line(call: &ToolCall) -> String {
    let argument = |name: &str| call.arguments.get(name).and_then(|value| value.as_str());
    let text = match (argument("command"), argument("path")) {
        (Some(command), _) => command.to_owned(),
        (None, Some(path)) => format!("{} {path}", call.name),
        (None, None) => format!("{} {}", call.name, call.arguments),
    };
    let shown: String = text.chars().take(CALL_SHOWN).collect();
    let more = if shown.len() < text.len() { " …" } else { "" };
    visible(&format!("{shown}{more}")).replace('\n', "\n  ")
}

/// Text by the model, without what a terminal would act on.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// A line of ours, beside the model's text.
fn note(turn: &mut Turn, manner: Manner, text: &str) -> anyhow::Result<()> {
    if manner.json {
        return Ok(());
    }
    if std::mem::take(&mut turn.open) {
        writeln!(std::io::stdout().lock())?;
    }
    say(&Paint::of(&std::io::stderr()).dim(text))
}

fn say(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stderr().lock(), "{text}")?)
}

fn finish(turn: &Turn, manner: Manner) -> anyhow::Result<u8> {
    let Some(record) = &turn.record else {
        anyhow::bail!("Castoff went away; the turn goes on when it is back");
    };
    let TurnState::Done { outcome } = &record.state else {
        anyhow::bail!("Castoff went away; the turn goes on when it is back, and `castoff chat` shows its reply");
    };
    let code = match outcome {
        TurnOutcome::Replied { .. } => 0,
        TurnOutcome::Stopped => STOPPED,
        TurnOutcome::Failed { .. } => 1,
    };
    if manner.json {
        let answer = json!({
            "turn": record.turn, "outcome": outcome, "runs": turn.runs, "rounds": record.rounds,
            "cost_micros": record.cost.as_micros(), "exit_code": code,
        });
        writeln!(std::io::stdout().lock(), "{answer}")?;
        return Ok(code);
    }
    let mut out = std::io::stdout().lock();
    match outcome {
        TurnOutcome::Replied { text } => {
            let text = printable(text);
            let rest = text.strip_prefix(turn.streamed.as_str()).unwrap_or(&text);
            out.write_all(rest.as_bytes())?;
            if !text.ends_with('\n') {
                out.write_all(b"\n")?;
            }
        }
        TurnOutcome::Stopped | TurnOutcome::Failed { .. } => {
            if turn.open {
                out.write_all(b"\n")?;
            }
            let why = if let TurnOutcome::Failed { why } = outcome { why.as_str() } else { "stopped" };
            say(&format!("castoff: {why}"))?;
        }
    }
    Ok(code)
}
