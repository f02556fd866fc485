//! From the end of a run to its changes: landed, held, dropped, taken back.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Effect, Engine, FreshIds, Live, REVIEW_MS, Step, audit, keep, risk};
use crate::domain::change::{ChangeKind, ChangeSet, Landing};
use crate::domain::ids::{Digest, RunId};
use crate::domain::plan::Review;
use crate::domain::principal::{Principal, Trust};
use crate::domain::record::{ApprovalRecord, ApprovalState, Outcome, Record, RunRecord, RunState, Subject};
use crate::domain::run::{Ending, RunEnd};
use crate::protocol::runner::{Request, ToRunner};

/// Paths that a turn is known to have made; what it makes beyond them is reviewed like any other.
const MADE_MAX: usize = 1000;
/// A turn of its own has made nothing before.
static NOTHING: BTreeSet<PathBuf> = BTreeSet::new();

/// The digest that binds a question to the very changes that were shown.
pub(super) fn digest_of(sets: &[ChangeSet]) -> Digest {
    Digest::of(serde_json::to_string(sets).unwrap_or_default().as_bytes())
}

impl Engine {
    pub(super) fn ended(&mut self, run: &RunId, end: RunEnd, step: &mut Step) {
        self.put_output_on_record(run, step);
        let Some(live) = self.runs.get_mut(run).filter(|live| live.record.state == RunState::Running) else { return };
        let detail = json!({
            "ending": end.ending,
            "enforced": end.enforced,
            "changes": end.changes.iter().map(|set| set.changes.len()).sum::<usize>(),
        });
        audit(step, None, "run.ended", (run, detail));
        step.records.push(Record::Input { run: run.clone(), person: live.record.person.clone(), bytes: None });
        let (review, deletions) =
            live.record.plan.as_ref().map_or((Review::Changes, true), |plan| (plan.review, plan.deletions));
        let made = self.turns.get(&live.record.turn).map_or(&NOTHING, |turn| &turn.record.made);
        let reasons = if end.ending.by_itself() {
            risk::reasons(&end.changes, review, deletions, made)
        } else {
            vec![held_because(&end.ending)]
        };
        let unread = is_unread(&end);
        let any = unread || end.changes.iter().any(|set| !set.changes.is_empty());
        let reasons = if unread { vec!["its changes cannot be read".to_owned()] } else { reasons };
        // The stop came too late to end it, but before anything landed.
        let unwanted = live.record.stop_asked && end.ending.by_itself();
        live.record.end = Some(Box::new(end));
        step.effects.push(Effect::Tell(ToRunner::Settled { run: run.clone() }));
        match (any, reasons.is_empty()) {
            (false, _) => self.nothing_to_land(run, step),
            (true, _) if unwanted => {
                let caller = live.caller.clone();
                self.start_dropping(run, &caller, step);
            }
            (true, true) => {
                live.record.state = RunState::Applying;
                keep(&live.record, step);
                step.effects.push(Effect::Tell(ToRunner::Apply { run: run.clone(), paths: None }));
            }
            (true, false) => self.hold(run, &reasons.join("; "), step),
        }
        if unread && !unwanted {
            // Asked for again, once there is an engine.
            self.lost.push(run.clone());
        }
    }

    /// A run without changes: its overlay is dropped, refused entries with it.
    pub(super) fn nothing_to_land(&mut self, run: &RunId, step: &mut Step) {
        step.effects.push(Effect::Tell(ToRunner::Drop { run: run.clone() }));
        self.finish(run, Outcome::None, step);
    }

    /// Keeps changes back and asks about them, if the run ended by itself.
    pub(super) fn hold(&mut self, run: &RunId, why: &str, step: &mut Step) {
        let Some(live) = self.runs.get_mut(run) else { return };
        let by_itself = live.record.end.as_ref().is_some_and(|end| end.ending.by_itself());
        let sets = live.record.end.as_ref().map(|end| digest_of(&end.changes));
        let question = sets.filter(|_| by_itself).map(|digest| ApprovalRecord {
            approval: live.ids.changes.clone(),
            run: run.clone(),
            person: live.record.person.clone(),
            subject: Subject::Changes { digest },
            asked_at: step.now,
            expires_at: step.now.plus_ms(REVIEW_MS),
            state: ApprovalState::Pending,
        });
        let approval = question.as_ref().map(|question| question.approval.clone());
        live.record.state = RunState::Held { approval, why: why.to_owned() };
        audit(step, None, "changes.held", (run, json!({ "why": why })));
        keep(&live.record, step);
        self.free(run, step);
        if let Some(question) = question {
            self.ask(question, step);
        }
    }

    /// The person's next run may start.
    fn free(&mut self, run: &RunId, step: &mut Step) {
        let Some(person) = self.runs.get(run).map(|live| live.record.person.clone()) else { return };
        if self.live.get(&person) == Some(run) {
            self.live.remove(&person);
            self.start_next(&person, step);
        }
    }

    /// The run is over and nothing is held.
    fn finish(&mut self, run: &RunId, changes: Outcome, step: &mut Step) {
        let Some(live) = self.runs.get_mut(run) else { return };
        live.record.state = RunState::Done { changes };
        audit(step, None, "run.done", (run, json!({ "changes": changes })));
        keep(&live.record, step);
        self.free(run, step);
        if let Some(live) = self.runs.remove(run) {
            self.approvals.remove(&live.ids.plan);
            self.approvals.remove(&live.ids.changes);
        }
    }

    pub(super) fn start_applying(&mut self, run: &RunId, paths: Option<Vec<PathBuf>>, by: &Principal, step: &mut Step) {
        let Some(live) = self.runs.get_mut(run) else { return };
        live.record.state = RunState::Applying;
        live.record.landing.clone_from(&paths);
        audit(step, Some(by), "changes.apply-asked", (run, json!({ "paths": paths })));
        keep(&live.record, step);
        step.effects.push(Effect::Tell(ToRunner::Apply { run: run.clone(), paths }));
    }

    pub(super) fn start_dropping(&mut self, run: &RunId, by: &Principal, step: &mut Step) {
        let Some(live) = self.runs.get_mut(run) else { return };
        live.record.state = RunState::Dropping;
        audit(step, Some(by), "changes.drop-asked", (run, json!({})));
        keep(&live.record, step);
        step.effects.push(Effect::Tell(ToRunner::Drop { run: run.clone() }));
    }

    pub(super) fn applied(&mut self, run: &RunId, landings: Vec<Landing>, step: &mut Step) {
        let Some(live) = self.runs.get_mut(run).filter(|live| live.record.state == RunState::Applying) else { return };
        audit(step, None, "changes.applied", (run, json!({ "landings": landings })));
        let turn = live.record.turn.clone();
        if let Some(turn) = self.turns.get_mut(&turn) {
            let sets = live.record.end.iter().flat_map(|end| &end.changes);
            note_made(&mut turn.record.made, sets, &landings);
        }
        self.keep_turn(&turn, step);
        let Some(live) = self.runs.get_mut(run) else { return };
        merge(&mut live.record.landings, landings);
        let conflicts: usize = live.record.landings.iter().map(|landing| landing.conflicts.len()).sum();
        let done: usize = live.record.landings.iter().map(|landing| landing.done.len()).sum();
        let all: usize = live.record.end.iter().flat_map(|end| &end.changes).map(|set| set.changes.len()).sum();
        if conflicts == 0 && done >= all {
            self.finish(run, Outcome::Applied, step);
            return;
        }
        let why = if conflicts > 0 {
            format!("{conflicts} paths conflict with what the host has meanwhile")
        } else {
            format!("{done} of {all} paths were applied")
        };
        live.record.state = RunState::Held { approval: None, why };
        keep(&live.record, step);
        self.free(run, step);
    }

    pub(super) fn dropped(&mut self, run: &RunId, landings: Vec<Landing>, step: &mut Step) {
        let Some(live) = self.runs.get_mut(run).filter(|live| live.record.state == RunState::Dropping) else { return };
        if !landings.is_empty() {
            audit(step, None, "changes.applied", (run, json!({ "landings": landings })));
            merge(&mut live.record.landings, landings);
        }
        let landed = live.record.landings.iter().any(|landing| !landing.done.is_empty());
        self.finish(run, if landed { Outcome::Applied } else { Outcome::Dropped }, step);
    }

    pub(super) fn undone(&mut self, run: &RunId, landings: Vec<Landing>, step: &mut Step) {
        let Some(live) = self.runs.get_mut(run).filter(|live| live.record.state == RunState::Undoing) else { return };
        audit(step, None, "changes.undone", (run, json!({ "landings": landings })));
        if let Some(turn) = self.turns.get_mut(&live.record.turn) {
            turn.record.made.clear();
        }
        live.record.undone = landings;
        self.finish(run, Outcome::Undone, step);
    }

    pub(super) fn trouble(&mut self, run: &RunId, request: Request, why: String, step: &mut Step) {
        let Some(live) = self.runs.get_mut(run) else { return };
        let awaited = match request {
            Request::Survey => live.record.state == RunState::Planning || live.granted.is_some(),
            Request::Apply => live.record.state == RunState::Applying,
            Request::Drop => live.record.state == RunState::Dropping,
            Request::Undo => live.record.state == RunState::Undoing,
            // Whoever asked for it is told by the link.
            Request::Diff => false,
        };
        if !awaited {
            return;
        }
        audit(step, None, "runner.trouble", (run, json!({ "why": why })));
        match request {
            Request::Survey => self.fail(run, why, step),
            Request::Apply | Request::Drop => {
                live.record.state = RunState::Held { approval: None, why };
                keep(&live.record, step);
                self.free(run, step);
            }
            // Refused: as far as it came, the next one goes on.
            Request::Undo => {
                step.effects.push(Effect::Decline { run: run.clone(), why });
                self.finish(run, Outcome::Applied, step);
            }
            Request::Diff => {}
        }
    }

    pub(super) fn apply_asked(
        &mut self,
        record: &RunRecord,
        by: &Principal,
        paths: Option<Vec<PathBuf>>,
        step: &mut Step,
    ) {
        if let Some(run) = self.held(record, by, "apply", step) {
            self.withdraw_question(&run, by, step);
            self.start_applying(&run, paths, by, step);
        }
    }

    pub(super) fn drop_asked(&mut self, record: &RunRecord, by: &Principal, step: &mut Step) {
        if let Some(run) = self.held(record, by, "drop", step) {
            self.withdraw_question(&run, by, step);
            self.start_dropping(&run, by, step);
        }
    }

    /// The question about held changes is answered by `apply` or `drop`.
    fn withdraw_question(&mut self, run: &RunId, by: &Principal, step: &mut Step) {
        let open = self.runs.get(run).map(|live| live.ids.changes.clone());
        if let Some(id) =
            open.filter(|id| self.approvals.get(id).is_some_and(|one| one.state == ApprovalState::Pending))
        {
            let state = ApprovalState::Void { why: "decided by path".to_owned() };
            self.settle_approval(&id, state, Some(by), step);
        }
    }

    /// The run, when its changes are held and `by` may decide about them.
    fn held(&mut self, record: &RunRecord, by: &Principal, what: &str, step: &mut Step) -> Option<RunId> {
        let run = record.run.clone();
        let live = self.runs.get(&run);
        let state = live.map_or(&record.state, |live| &live.record.state);
        let own_drop = what == "drop" && by.person == record.person;
        let why = match state {
            _ if by.trust != Trust::Owner && !own_drop => "only the owner may decide about held changes".to_owned(),
            RunState::Held { .. } if live.is_some() => return Some(run),
            RunState::Held { .. } => "this run's changes are not at hand; restart Castoff".to_owned(),
            RunState::Done { changes } => format!("nothing of this run is held ({})", outcome(*changes)),
            RunState::Refused { .. } => "this run was refused: it changed nothing".to_owned(),
            RunState::Planning
            | RunState::Asking { .. }
            | RunState::Queued
            | RunState::Running
            | RunState::Applying
            | RunState::Dropping
            | RunState::Undoing => "this run is still under way; `castoff logs -f RUN` follows it".to_owned(),
        };
        step.effects.push(Effect::Decline { run, why });
        None
    }

    pub(super) fn undo_asked(&mut self, record: RunRecord, by: &Principal, step: &mut Step) {
        let run = record.run.clone();
        let outcome = if let RunState::Done { changes } = &record.state { Some(*changes) } else { None };
        let why = match outcome {
            _ if by.trust != Trust::Owner && by.person != record.person => "this is not your run".to_owned(),
            _ if self.runs.contains_key(&run) => {
                "this run is not over; `castoff drop RUN` forgets what it holds, then undo what landed".to_owned()
            }
            Some(Outcome::Applied) => {
                self.start_undoing(record, by, step);
                return;
            }
            Some(Outcome::Undone) => "this run is undone already".to_owned(),
            Some(Outcome::None | Outcome::Dropped) | None => "nothing of this run landed".to_owned(),
        };
        step.effects.push(Effect::Decline { run, why });
    }

    fn start_undoing(&mut self, record: RunRecord, by: &Principal, step: &mut Step) {
        let run = record.run.clone();
        let Some(mut live) = self.revive(record) else {
            let why = "its script can no longer be read".to_owned();
            step.effects.push(Effect::Decline { run, why });
            return;
        };
        live.record.state = RunState::Undoing;
        audit(step, Some(by), "changes.undo-asked", (&run, json!({})));
        keep(&live.record, step);
        self.runs.insert(run.clone(), live);
        step.effects.push(Effect::Tell(ToRunner::Undo { run }));
    }

    /// A run from its record, as after a restart.
    pub(super) fn revive(&self, record: RunRecord) -> Option<Live> {
        let known = |person: &crate::domain::ids::PersonId| {
            self.policy.principal(person.as_str()).unwrap_or_else(|| Principal {
                person: person.clone(),
                name: person.to_string(),
                trust: Trust::Blocked,
            })
        };
        let task = crate::policy::ParsedTask::new(record.task.clone()).ok()?;
        let rights = known(&record.rights_of);
        let decision = self.decide(&rights, &task, None);
        let ids = FreshIds::of_run(record.run.clone(), record.turn.clone());
        let caller = known(&record.person);
        Some(Live {
            ids,
            caller,
            rights,
            task,
            decision,
            stdin: None,
            granted: None,
            unanswered: false,
            output: super::Pending { number: u32::MAX / 2, ..super::Pending::default() },
            record,
        })
    }
}

/// Whether nobody knows what a run changed: a set that refuses the workspace's root could not be read.
pub(super) fn is_unread(end: &RunEnd) -> bool {
    end.changes.iter().any(|set| set.refused.iter().any(|entry| entry.path == "."))
}

/// Notes which paths of `sets` a turn has now made: those that it added, but for what is gone again.
fn note_made<'a>(made: &mut BTreeSet<PathBuf>, sets: impl Iterator<Item = &'a ChangeSet>, landings: &[Landing]) {
    let landed = |workspace: &Path, path: &String| {
        landings.iter().any(|landing| landing.workspace == workspace && landing.done.contains(path))
    };
    for set in sets {
        for change in set.changes.iter().filter(|change| landed(&set.workspace, &change.path)) {
            let path = set.workspace.join(&change.path);
            match change.kind() {
                ChangeKind::Added if made.len() < MADE_MAX => drop(made.insert(path)),
                ChangeKind::Deleted => made.retain(|other| !other.starts_with(&path)),
                ChangeKind::Added | ChangeKind::Modified => {}
            }
        }
    }
}

/// Adds landings of a further apply to those before it: a path that landed conflicts no more.
fn merge(all: &mut Vec<Landing>, landings: Vec<Landing>) {
    for landing in landings {
        match all.iter_mut().find(|other| other.workspace == landing.workspace) {
            None => all.push(landing),
            Some(other) => {
                other.conflicts.retain(|old| !landing.done.contains(&old.path));
                other.conflicts.retain(|old| !landing.conflicts.iter().any(|new| new.path == old.path));
                other.done.extend(landing.done.into_iter().filter(|path| !path.is_empty()));
                other.done.sort();
                other.done.dedup();
                other.conflicts.extend(landing.conflicts);
            }
        }
    }
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::None => "it changed nothing",
        Outcome::Applied => "its changes landed",
        Outcome::Dropped => "its changes were dropped",
        Outcome::Undone => "its changes were taken back",
    }
}

/// Why changes of a run that did not end by itself are held.
pub(super) fn held_because(ending: &Ending) -> String {
    match ending {
        Ending::Stopped { cause } => cause.because().to_owned(),
        Ending::Failed { why } => why.clone(),
        Ending::Exited { .. } | Ending::Signalled { .. } => "the engine was gone when it ended".to_owned(),
    }
}
