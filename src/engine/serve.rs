//! Tool calls of a turn: each is judged, approved, run and applied as if a person had asked for it, and
//! what came of it goes back to the model.

use std::collections::VecDeque;

use super::{Ask, CONTEXT_TOKENS_DEFAULT, Engine, FreshIds, Step};
use crate::domain::change::ChangeKind;
use crate::domain::ids::{RunId, TurnId};
use crate::domain::model::ToolCall;
use crate::domain::principal::Principal;
use crate::domain::record::{Outcome, Record, RunRecord, RunState};
use crate::domain::run::{Ending, StopCause};
use crate::domain::task::FileRequest;
use crate::domain::turn::{Body, Channel, TurnOutcome, TurnState};
use crate::policy::ParsedTask;

/// Of a run's output, bytes that the model sees from its beginning, where its context is large enough.
const HEAD_BYTES: usize = 16 * 1024;
/// And from its end.
const TAIL_BYTES: usize = 8 * 1024;
/// Changed paths that the model sees.
const PATHS_SHOWN: usize = 50;

/// A tool call, and what it asks for once it was read.
#[derive(Debug, Clone)]
pub struct Called {
    /// As the model wrote it.
    pub call: ToolCall,
    /// What it wants; or why it is no valid call, for the model.
    pub wanted: Result<ParsedTask, String>,
}

/// The beginning and the end of a run's output.
#[derive(Debug, Default)]
pub(super) struct HeadTail {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    dropped: usize,
}

impl HeadTail {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = HEAD_BYTES.saturating_sub(self.head.len()).min(bytes.len());
        let (head, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        self.head.extend_from_slice(head);
        self.tail.extend(rest);
        while self.tail.len() > TAIL_BYTES {
            self.tail.pop_front();
            self.dropped += 1;
        }
    }

    /// What fits into `most` bytes of it, two thirds from the beginning and the rest from the end.
    fn text(&self, most: usize) -> String {
        let kept: Vec<u8> = self.head.iter().chain(&self.tail).copied().collect();
        let (from_head, from_tail) =
            if kept.len() <= most { (self.head.len(), self.tail.len()) } else { (most / 3 * 2, most / 3) };
        let head = kept.get(..from_head).unwrap_or_default();
        let tail = kept.get(kept.len() - from_tail..).unwrap_or_default();
        let dropped = self.dropped + kept.len() - head.len() - tail.len();
        let (head, tail) = (String::from_utf8_lossy(head), String::from_utf8_lossy(tail));
        if dropped == 0 {
            return format!("{head}{tail}");
        }
        format!("{head}\n[… {dropped} bytes left out; write long output to a file and look into it …]\n{tail}")
    }
}

impl Engine {
    /// Serves the turn's next tool call, or lets the model go on when there is none left.
    pub(super) fn serve_next(&mut self, turn: &TurnId, step: &mut Step) {
        loop {
            let Some(live) = self.turns.get_mut(turn) else { return };
            let Some(Called { call, wanted }) = live.calls.pop_front() else { return self.think(turn, step) };
            let task = match wanted {
                Ok(task) => task,
                Err(text) => {
                    let body = Body::Tool { call: call.id, name: call.name, text, failed: true, run: None };
                    self.remember(turn, body, step);
                    continue;
                }
            };
            live.output = HeadTail::default();
            let rest: Vec<ToolCall> = live.calls.iter().map(|called| called.call.clone()).collect();
            let run = RunId::derived(turn.as_str(), &format!("run {}.{}", live.record.rounds, rest.len()));
            live.record.state = TurnState::Working { run: run.clone(), call, rest };
            let caller = live.caller.clone();
            self.keep_turn(turn, step);
            let ids = FreshIds::of_run(run, turn.clone());
            // With the rights of the moment, which may be others than when the turn began.
            let rights = self.as_of_now(&caller);
            let ask = Ask { ids, caller, rights, task, stdin: None, workdir: None, review: None, yes: false };
            return self.asked(ask, None, step);
        }
    }

    /// Looks through what a step put on record, and lets turns go on whose runs are over.
    pub(super) fn advance(&mut self, step: &mut Step) {
        let mut at = 0;
        while let Some(record) = step.records.get(at) {
            at += 1;
            let Record::Run(record) = record else { continue };
            let waiting = self.turns.get(&record.turn).map(|live| &live.record.state);
            let is_served = matches!(waiting, Some(TurnState::Working { run, .. }) if *run == record.run);
            if is_served && is_over(record) {
                let record = record.clone();
                self.served(&record, step);
            }
        }
    }

    /// Tells the model what came of a run.
    pub(super) fn served(&mut self, record: &RunRecord, step: &mut Step) {
        let turn = record.turn.clone();
        let Some(live) = self.turns.get_mut(&turn) else { return };
        let TurnState::Working { call, .. } = &live.record.state else { return };
        let (call, name) = (call.id.clone(), call.name.clone());
        let output = std::mem::take(&mut live.output);
        // About a third of what the model takes at once, so that several results have room.
        let most = self.model.as_ref().map_or(CONTEXT_TOKENS_DEFAULT, |model| model.context_tokens);
        let at_terminal = live.record.channel == Channel::Terminal;
        let (text, failed) =
            observation(record, at_terminal, &output.text(usize::try_from(most).unwrap_or(usize::MAX)));
        let run = Some(record.run.clone());
        self.remember(&turn, Body::Tool { call, name, text, failed, run }, step);
        self.serve_next(&turn, step);
    }

    /// Ends what a stopped turn was doing: a live run is stopped, a question withdrawn, held changes
    /// dropped.
    pub(super) fn stop_run_of_turn(&mut self, run: &RunId, by: &Principal, step: &mut Step) {
        let Some(record) = self.runs.get(run).map(|live| live.record.clone()) else { return };
        if matches!(record.state, RunState::Held { .. }) {
            self.drop_asked(&record, by, step);
        } else {
            self.stop_asked(run, by, step);
        }
    }

    /// After a restart: a turn whose tool call was being served goes on with what became of it.
    pub(super) fn resume_working(&mut self, turn: &TurnId, step: &mut Step) {
        let Some(live) = self.turns.get(turn) else { return };
        let TurnState::Working { run, .. } = &live.record.state else { return };
        if !self.runs.contains_key(run) {
            let why = "what it was doing is no longer on record".to_owned();
            self.end_turn(turn, TurnOutcome::Failed { why }, step);
        }
    }
}

/// Whether a turn goes on after a run in this state.
fn is_over(record: &RunRecord) -> bool {
    record.state.is_over() || matches!(record.state, RunState::Held { approval: None, .. })
}

/// What the model is told about a run, and whether it failed.
fn observation(record: &RunRecord, at_terminal: bool, output: &str) -> (String, bool) {
    if let RunState::Refused { why } = &record.state {
        return (format!("not run: {why}"), true);
    }
    let Some(end) = &record.end else { return ("it did not run".to_owned(), true) };
    let (ending, failed) = match &end.ending {
        Ending::Exited { code } => (format!("exit code {code}"), *code != 0),
        Ending::Signalled { out_of_memory: true, .. } => ("killed: out of memory".to_owned(), true),
        Ending::Signalled { signal, .. } => (format!("killed by signal {signal}"), true),
        Ending::Stopped { cause: StopCause::OutputCap } => {
            (format!("stopped: {}; write it to a file", StopCause::OutputCap.because()), true)
        }
        Ending::Stopped { cause } => (format!("stopped: {}", cause.because()), true),
        Ending::Failed { why } => (format!("it could not start: {why}"), true),
    };
    let mut text = ending;
    if let Some(FileRequest::Send { path }) = record.task.file() {
        // Its output is the file.
        let what = match (failed, at_terminal) {
            (true, _) => "not sent",
            (false, true) => "a terminal takes no files; the person was told how to save it",
            // What became of it in the chat the person sees.
            (false, false) => "goes to the person",
        };
        let bytes = end.usage.stdout_bytes;
        // Where nothing of it came out, the rest says why.
        let why = if failed && bytes == 0 { output.trim_end_matches('\n') } else { "" };
        return (format!("{text}\n{what}: {} ({bytes} bytes)\n{why}", path.as_str()).trim_end().to_owned(), failed);
    }
    let limits = record.plan.as_ref().map(|plan| plan.limits.clone()).unwrap_or_default();
    for reached in end.reached(&limits) {
        text.push_str(&format!("\n{reached}"));
    }
    if !output.is_empty() {
        text.push_str(&format!("\n{}", output.trim_end_matches('\n')));
    }
    let changes = changes(record);
    if !changes.is_empty() {
        text.push_str(&format!("\n\n{}:\n{changes}", fate(record)));
    }
    (text, failed)
}

fn fate(record: &RunRecord) -> String {
    match &record.state {
        RunState::Done { changes: Outcome::Applied } => "changes (landed, can be undone)".to_owned(),
        RunState::Done { changes: Outcome::Dropped } => "changes (the person discarded them)".to_owned(),
        RunState::Done { changes: Outcome::Undone } => "changes (taken back)".to_owned(),
        RunState::Held { why, .. } => format!("changes (NOT landed, held for the person: {why})"),
        RunState::Done { changes: Outcome::None }
        | RunState::Planning
        | RunState::Asking { .. }
        | RunState::Queued
        | RunState::Running
        | RunState::Applying
        | RunState::Dropping
        | RunState::Undoing
        | RunState::Refused { .. } => "changes".to_owned(),
    }
}

fn changes(record: &RunRecord) -> String {
    let sets = || record.end.iter().flat_map(|end| &end.changes);
    let lines: Vec<String> = sets()
        .flat_map(|set| set.changes.iter().map(move |change| (set, change)))
        .map(|(set, change)| {
            let letter = match change.kind() {
                ChangeKind::Added => 'A',
                ChangeKind::Modified => 'M',
                ChangeKind::Deleted => 'D',
            };
            format!("  {letter} {}", set.workspace.join(&change.path).display())
        })
        .collect();
    let refused =
        sets().flat_map(|set| set.refused.iter().map(|one| format!("  ! {} never lands: {}", one.path, one.why)));
    let more = lines.len().saturating_sub(PATHS_SHOWN);
    let mut shown: Vec<String> = lines.into_iter().take(PATHS_SHOWN).chain(refused).collect();
    if more > 0 {
        shown.push(format!("  … and {more} more"));
    }
    shown.join("\n")
}
