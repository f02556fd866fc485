//! Runs, plans and changes as text and as JSON.

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};

use super::outcome::{exit_code, stopped_by};
use crate::control::wire::{Question, Status};
use crate::domain::change::{Change, ChangeKind, ChangeSet};
use crate::domain::plan::{Access, Plan};
use crate::domain::record::{Outcome, RunRecord, RunState};
use crate::domain::run::Ending;

/// Changed paths that a summary names.
const PATHS_SHOWN: usize = 20;

/// A change in one line: letter and path.
fn change_line(set: &ChangeSet, change: &Change) -> String {
    let letter = match change.kind() {
        ChangeKind::Added => 'A',
        ChangeKind::Modified => 'M',
        ChangeKind::Deleted => 'D',
    };
    format!("  {letter} {}", set.workspace.join(&change.path).display())
}

/// The changes of a run, a line each, the first few by name.
pub fn changes(record: &RunRecord) -> String {
    let sets: Vec<&ChangeSet> = record.end.iter().flat_map(|end| &end.changes).collect();
    let lines: Vec<String> =
        sets.iter().flat_map(|set| set.changes.iter().map(|change| change_line(set, change))).collect();
    let mut text = lines.iter().take(PATHS_SHOWN).cloned().collect::<Vec<_>>().join("\n");
    if lines.len() > PATHS_SHOWN {
        let more = lines.len() - PATHS_SHOWN;
        text.push_str(&format!("\n  … and {more} more (`castoff diff {}`)", record.run));
    }
    for set in sets {
        for refused in &set.refused {
            text.push_str(&format!(
                "\n  ! {} never lands: {}",
                set.workspace.join(&refused.path).display(),
                refused.why
            ));
        }
    }
    text
}

/// The whole plan, as an approver must see it.
pub fn plan(record: &RunRecord, plan: &Plan) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:<10} {value}\n"));
    for (index, row) in visible(plan.script.as_str()).lines().enumerate() {
        line(if index == 0 { "script" } else { "" }, &format!("│ {row}"));
    }
    for reason in record.verdict.iter().flat_map(|verdict| &verdict.reasons) {
        line("why", &format!("{} ({})", reason.text, reason.rule));
    }
    line("directory", &plan.workdir.display().to_string());
    line("image", &format!("{} {}", plan.image.name, plan.image.id));
    for mount in &plan.mounts {
        let how = match mount.access {
            Access::Overlay => "copy-on-write",
            Access::Read => "read only",
            Access::Direct => "written directly: no review, no undo",
        };
        line("mount", &format!("{} ({how})", mount.path.display()));
    }
    for cover in &plan.covers {
        line("hidden", &cover.path.display().to_string());
    }
    if let Some(input) = &plan.stdin {
        line("input", &format!("{} bytes, sha256 {}", input.bytes, input.digest));
    }
    line("network", "none");
    let limits = &plan.limits;
    line(
        "limits",
        &format!(
            "{} s, {} MiB memory, {} MiB disk, {} processes, {:.1} cores, {} MiB output",
            limits.wall_time_ms / 1000,
            limits.memory_bytes >> 20,
            limits.disk_bytes >> 20,
            limits.pids,
            f64::from(limits.cpu_millis) / 1000.0,
            limits.output_bytes >> 20
        ),
    );
    line("digest", &plan.digest().to_string());
    text
}

/// A script with every character that a terminal would act on, or a reader could miss, written out.
pub fn visible(script: &str) -> String {
    script
        .chars()
        .map(|c| match c {
            '\n' => "\n".to_owned(),
            '\t' => "    ".to_owned(),
            ' '..='~' => c.to_string(),
            c if c.is_alphanumeric() && !c.is_control() => c.to_string(),
            c if c.is_control() || c.is_whitespace() => format!("<U+{:04X}>", u32::from(c)),
            c => c.to_string(),
        })
        .collect()
}

/// One word for where a run stands.
pub fn state(record: &RunRecord) -> String {
    match &record.state {
        RunState::Planning => "planning".to_owned(),
        RunState::Asking { .. } => "asking".to_owned(),
        RunState::Queued => "queued".to_owned(),
        RunState::Running => "running".to_owned(),
        RunState::Held { .. } => "held".to_owned(),
        RunState::Applying => "applying".to_owned(),
        RunState::Dropping => "dropping".to_owned(),
        RunState::Undoing => "undoing".to_owned(),
        RunState::Refused { .. } => "refused".to_owned(),
        RunState::Done { changes } => {
            let end = record.end.as_ref().map(|end| &end.ending);
            let ending = match end {
                Some(Ending::Exited { code }) => format!("exit {code}"),
                Some(Ending::Signalled { signal, .. }) => format!("signal {signal}"),
                Some(Ending::Stopped { .. }) => format!("stopped ({})", stopped_by(record).unwrap_or("?")),
                Some(Ending::Failed { .. }) | None => "failed".to_owned(),
            };
            match changes {
                Outcome::None => ending,
                Outcome::Applied => format!("{ending}, applied"),
                Outcome::Dropped => format!("{ending}, dropped"),
                Outcome::Undone => format!("{ending}, undone"),
            }
        }
    }
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(header);
    table
}

fn first_line(script: &str) -> String {
    const SHOWN: usize = 60;
    let line = visible(script.lines().next().unwrap_or_default());
    let short: String = line.chars().take(SHOWN).collect();
    if short.len() < line.len() || script.lines().nth(1).is_some() { format!("{short} …") } else { short }
}

/// The table of `castoff runs`.
pub fn runs(records: &[RunRecord]) -> String {
    let mut table = table(&["RUN", "WHEN", "PERSON", "STATE", "CHANGES", "SCRIPT"]);
    for record in records {
        let changes: usize = record.end.iter().flat_map(|end| &end.changes).map(|set| set.changes.len()).sum();
        table.add_row([
            record.run.to_string(),
            record.asked_at.to_string(),
            record.person.to_string(),
            state(record),
            changes.to_string(),
            first_line(record.script.as_str()),
        ]);
    }
    table.trim_fmt()
}

/// The table of `castoff approvals`.
pub fn questions(questions: &[Question]) -> String {
    let mut table = table(&["APPROVAL", "RUN", "PERSON", "ABOUT", "SCRIPT"]);
    for Question { approval, run } in questions {
        let about = match approval.subject {
            crate::domain::record::Subject::Plan { .. } => "may it run",
            crate::domain::record::Subject::Changes { .. } => "may its changes land",
        };
        let cells = [
            approval.approval.to_string(),
            run.run.to_string(),
            run.person.to_string(),
            about.to_owned(),
            first_line(run.script.as_str()),
        ];
        table.add_row(cells);
    }
    table.trim_fmt()
}

/// The text of `castoff status`.
pub fn status(status: &Status) -> String {
    let mut text = format!("castoff {} for {} (home {})\n", status.version, status.person, status.home);
    match &status.runner {
        None => text.push_str(
            "runner: not connected\nhint: `docker logs` of the runner says why, or the output of `castoff serve`\n",
        ),
        Some(runner) => {
            let images: Vec<&str> = runner.images.iter().map(|image| image.name.as_str()).collect();
            text.push_str(&format!(
                "runner: images {}\n",
                if images.is_empty() { "none yet".to_owned() } else { images.join(", ") }
            ));
            for (name, value) in &runner.engine {
                text.push_str(&format!("engine: {name} {value}\n"));
            }
            for problem in &runner.problems {
                text.push_str(&format!("problem: {problem}\n"));
            }
            for warning in &runner.warnings {
                text.push_str(&format!("warning: {warning}\n"));
            }
        }
    }
    text.push_str(&format!(
        "runs: {} live, {} waiting; open questions: {}; audit entries: {}\n",
        status.live, status.queued, status.questions, status.audit_entries
    ));
    text
}

/// The answer of `castoff run --json` and of what decides about a run.
pub fn run_json(record: &RunRecord) -> Value {
    let change = |set: &ChangeSet, change: &Change| json!({ "path": set.workspace.join(&change.path), "kind": change.kind(), "before": change.before, "after": change.after });
    let sets: Vec<&ChangeSet> = record.end.iter().flat_map(|end| &end.changes).collect();
    let changes: Vec<Value> = sets.iter().flat_map(|set| set.changes.iter().map(move |one| change(set, one))).collect();
    let refused: Vec<Value> = sets
        .iter()
        .flat_map(|set| set.refused.iter().map(|one| json!({ "path": set.workspace.join(&one.path), "why": one.why })))
        .collect();
    json!({
        "run": record.run,
        "turn": record.turn,
        "person": record.person,
        "rights_of": record.rights_of,
        "asked_at_ms": record.asked_at.as_ms(),
        "script": record.script,
        "verdict": record.verdict,
        "digest": record.digest,
        "plan": record.plan,
        "state": record.state,
        "ending": record.end.as_ref().map(|end| &end.ending),
        "exit_code": exit_code(record),
        "stopped_by": stopped_by(record),
        "changes": changes,
        "never_lands": refused,
        "landings": record.landings,
        "undone": record.undone,
        "enforced": record.end.as_ref().and_then(|end| end.enforced.as_ref()),
        "usage": record.end.as_ref().map(|end| &end.usage),
    })
}
