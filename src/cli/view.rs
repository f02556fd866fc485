//! Runs, plans and changes as text and as JSON.

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use serde_json::{Value, json};

use super::outcome::{exit_code, stopped_by};
use crate::control::wire::{Question, Status};
use crate::domain::change::{Change, ChangeKind, ChangeSet};
use crate::domain::plan::Plan;
use crate::domain::record::{Outcome, RunRecord, RunState};
use crate::domain::run::Ending;
use crate::domain::task::{FileRequest, Task};
use crate::domain::text::visible_line;
use crate::engine::{BudgetView, Cap, Window};

/// Changed paths that a summary names.
const PATHS_SHOWN: usize = 20;

/// A change in one line: letter and path.
fn change_line(set: &ChangeSet, change: &Change) -> String {
    let letter = match change.kind() {
        ChangeKind::Added => 'A',
        ChangeKind::Modified => 'M',
        ChangeKind::Deleted => 'D',
    };
    format!("  {letter} {}", visible_line(&set.workspace.join(&change.path).to_string_lossy()))
}

/// The changes of a run, a line each, the first few by name.
pub fn changes(record: &RunRecord) -> String {
    changes_where(record, |_| false)
}

/// The changes of a run, for whoever decides about them: every deletion stands there by name.
pub fn changes_to_judge(record: &RunRecord) -> String {
    changes_where(record, |kind| kind == ChangeKind::Deleted)
}

fn changes_where(record: &RunRecord, always: fn(ChangeKind) -> bool) -> String {
    let sets: Vec<&ChangeSet> = record.end.iter().flat_map(|end| &end.changes).collect();
    let (mut lines, mut left) = (Vec::new(), PATHS_SHOWN);
    let mut more = 0_usize;
    for (set, change) in sets.iter().flat_map(|set| set.changes.iter().map(move |change| (set, change))) {
        if always(change.kind()) {
            lines.push(change_line(set, change));
        } else if left > 0 {
            left -= 1;
            lines.push(change_line(set, change));
        } else {
            more += 1;
        }
    }
    if more > 0 {
        lines.push(format!("  … and {more} more (`castoff diff {}`)", record.run));
    }
    for set in sets {
        for refused in &set.refused {
            let path = set.workspace.join(&refused.path);
            lines.push(visible_line(&format!("  ! {} never lands: {}", path.display(), refused.why)));
        }
    }
    lines.join("\n")
}

/// The file that a run would send, and how it is saved: a terminal takes none.
pub fn sent(record: &RunRecord) -> Option<String> {
    let Some(FileRequest::Send { path }) = record.task.file() else { return None };
    let end = record.end.as_ref().filter(|end| end.ending == Ending::Exited { code: 0 })?;
    let path = record.plan.as_ref().map_or_else(|| path.as_str().into(), |plan| plan.workdir.join(path.as_str()));
    let (path, bytes) = (visible_line(&path.to_string_lossy()), end.usage.stdout_bytes);
    Some(format!("file: {path} ({bytes} bytes); `castoff logs {} > FILE` saves it", record.run))
}

/// The whole plan, as an approver must see it.
pub fn plan(record: &RunRecord, plan: &Plan) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:<10} {}\n", visible_line(value)));
    let kind = if plan.task.file().is_some() { "file" } else { "script" };
    for (index, row) in plan.task.text().lines().enumerate() {
        line(if index == 0 { kind } else { "" }, &format!("│ {row}"));
    }
    for reason in record.verdict.iter().flat_map(|verdict| &verdict.reasons) {
        line("why", &format!("{} ({})", reason.text, reason.rule));
    }
    for (name, value) in plan.facts() {
        line(name, &value);
    }
    text
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

/// A table without lines.
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(header);
    table
}

fn first_line(task: &Task) -> String {
    shortened(visible_line(&task.title()))
}

/// As much of a line as fits into a table.
pub(super) fn shortened(line: String) -> String {
    const SHOWN: usize = 60;
    let short: String = line.chars().take(SHOWN).collect();
    if short.len() < line.len() { format!("{short} …") } else { line }
}

/// Makes a table fit into a terminal: its last column gives way.
fn fit(table: &mut Table, columns: u16) {
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(columns).set_truncation_indicator("…");
    let last = table.column_count().saturating_sub(1);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 1));
        if index < last {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    for row in table.row_iter_mut() {
        row.max_height(1);
    }
}

/// The table of `castoff runs`, for a terminal with so many columns or a pipe.
pub fn runs(records: &[RunRecord], columns: Option<u16>) -> String {
    let when = |record: &RunRecord| {
        let whole = record.asked_at.to_string();
        // Month to minute.
        if columns.is_some() { whole.chars().skip(5).take(11).collect() } else { whole }
    };
    let mut table = table(&["RUN", "WHEN", "PERSON", "STATE", "CHANGES", "SCRIPT"]);
    for record in records {
        let changes: usize = record.end.iter().flat_map(|end| &end.changes).map(|set| set.changes.len()).sum();
        table.add_row([
            record.run.to_string(),
            when(record),
            record.person.to_string(),
            state(record),
            changes.to_string(),
            first_line(&record.task),
        ]);
    }
    if let Some(columns) = columns {
        fit(&mut table, columns);
    }
    table.trim_fmt()
}

/// The table of `castoff approvals`, likewise.
pub fn questions(questions: &[Question], columns: Option<u16>) -> String {
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
            first_line(&run.task),
        ];
        table.add_row(cells);
    }
    if let Some(columns) = columns {
        fit(&mut table, columns);
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
            for problem in runner.obstacles() {
                text.push_str(&format!("problem: {problem}\n"));
            }
            for warning in &runner.warnings {
                text.push_str(&format!("warning: {warning}\n"));
            }
        }
    }
    if status.stopping {
        text.push_str("problem: Castoff is being stopped: what is under way ends, and nothing new begins\n");
    }
    text.push_str(&format!(
        "runs: {} live, {} waiting; open questions: {}; audit entries: {}\n",
        status.live, status.queued, status.questions, status.audit_entries
    ));
    text
}

/// The table of `castoff budget`.
pub fn budget(view: &BudgetView) -> String {
    if view.providers.is_empty() {
        let daily = crate::domain::money::Caps::DAILY;
        return format!("nothing was spent; a provider that limits.yaml does not name may cost {daily} a day\n");
    }
    let mut table = table(&["PROVIDER", "CAP", "SPENT", "UNDER WAY", "LIMIT", "LEFT"]);
    let windows = view.providers.iter().flat_map(|one| one.windows.iter().map(move |window| (one, window)));
    for (one, window) in windows.clone() {
        let amount =
            |amount: Option<crate::domain::money::Money>| amount.map_or("-".to_owned(), |some| some.to_string());
        table.add_row([
            one.provider.clone(),
            cap(window),
            window.spent.to_string(),
            window.reserved.to_string(),
            amount(window.limit),
            amount(window.left()),
        ]);
    }
    let mut text = table.trim_fmt();
    let anew = |monthly: bool| {
        let mut alike = windows.clone().filter(|(_, window)| (window.cap == Cap::Monthly) == monthly);
        alike.next().map_or("?", |(_, window)| window.starts_anew_local.as_str())
    };
    text.push_str(&format!("\ndays start anew at {}\nmonths start anew at {}\n", anew(false), anew(true)));
    for one in view.providers.iter().filter(|one| one.counted_beyond) {
        let name = &one.provider;
        text.push_str(&format!("`{name}` counted more than was reserved: not called again today\n"));
    }
    text
}

fn cap(window: &Window) -> String {
    match (window.cap, &window.person) {
        (Cap::Daily, _) => "day".to_owned(),
        (Cap::Monthly, _) => "month".to_owned(),
        (Cap::PersonDaily, Some(person)) => format!("day, {person}"),
        (Cap::PersonDaily, None) => "day, a person".to_owned(),
        (Cap::BackgroundDaily, _) => "day, background".to_owned(),
    }
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
    let mut answer = json!({
        "run": record.run,
        "turn": record.turn,
        "person": record.person,
        "rights_of": record.rights_of,
        "asked_at_ms": record.asked_at.as_ms(),
        "script": record.task.script(),
        "verdict": record.verdict,
        "digest": record.digest,
        "plan": record.plan,
        "state": record.state,
        "ending": record.end.as_ref().map(|end| &end.ending),
        "exit_code": exit_code(record),
        "stopped_by": stopped_by(record),
        "took_ms": record.end.as_ref().map(|end| end.ended.ms_since(end.started)),
        "changes": changes,
        "never_lands": refused,
        "landings": record.landings,
        "undone": record.undone,
        "enforced": record.end.as_ref().and_then(|end| end.enforced.as_ref()),
        "usage": record.end.as_ref().map(|end| &end.usage),
    });
    if let (Some(request), Some(fields)) = (record.task.file(), answer.as_object_mut()) {
        fields.insert("file".to_owned(), json!(request));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{PersonId, RunId, TurnId};
    use crate::domain::money::Money;
    use crate::domain::time::Timestamp;
    use crate::engine::ProviderView;

    fn window(cap: Cap, person: Option<&str>, amounts: (u64, u64, Option<u64>)) -> Window {
        let (spent, reserved, limit) = amounts;
        let monthly = cap == Cap::Monthly;
        Window {
            cap,
            person: person.map(|person| PersonId::try_from(person.to_owned()).unwrap()),
            spent: Money::from_micros(spent),
            reserved: Money::from_micros(reserved),
            limit: limit.map(Money::from_micros),
            starts_anew: Timestamp::from_ms(if monthly { 1_796_079_600_000 } else { 1_795_647_600_000 }),
            starts_anew_local: format!("2026-{} 00:00 Europe/Berlin", if monthly { "12-01" } else { "11-26" }),
        }
    }

    #[test]
    fn a_budget_fits_into_80_columns() {
        let anthropic = vec![
            window(Cap::Daily, None, (4_120_000, 53_000, Some(5_000_000))),
            window(Cap::Monthly, None, (41_007_000, 53_000, Some(50_000_000))),
            window(Cap::PersonDaily, Some("local-1000"), (120_000, 0, Some(2_000_000))),
            window(Cap::PersonDaily, Some("owner"), (4_000_000, 53_000, Some(2_000_000))),
            window(Cap::BackgroundDaily, None, (1, 0, Some(500_000))),
        ];
        let ollama = vec![window(Cap::Daily, None, (0, 0, None)), window(Cap::Monthly, None, (0, 0, None))];
        let provider =
            |name: &str, counted_beyond, windows| ProviderView { provider: name.to_owned(), counted_beyond, windows };
        let providers = vec![provider("anthropic", true, anthropic), provider("ollama", false, ollama)];
        let view = BudgetView { day: 20_261_125, providers };
        let text = budget(&view);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        insta::assert_snapshot!(text);
        let again: BudgetView = serde_json::from_str(&serde_json::to_string(&view).unwrap()).unwrap();
        assert_eq!(again, view);
    }

    #[test]
    fn without_any_provider_the_default_is_told() {
        assert_eq!(
            budget(&BudgetView { day: 20_261_125, providers: Vec::new() }),
            "nothing was spent; a provider that limits.yaml does not name may cost $1.00 a day\n"
        );
    }

    fn record(task: &Value) -> RunRecord {
        let mut row = json!({
            "run": RunId::from_random([1; 11]), "turn": TurnId::from_random([1; 11]), "person": PersonId::owner(),
            "rights_of": PersonId::owner(), "asked_at": Timestamp::from_ms(0), "workdir": null, "review": null,
            "yes": false, "landing": null, "verdict": null, "plan": null, "digest": null, "state": "queued", "end": null,
            "landings": [], "undone": [],
        });
        row.as_object_mut().unwrap().extend(task.as_object().unwrap().clone());
        serde_json::from_value(row).unwrap()
    }

    #[test]
    fn a_script_is_shown_as_ever_and_a_file_request_beside_it() {
        let script = record(&json!({ "script": "echo a\necho b" }));
        let request = json!({ "write": { "path": "notes.txt", "text": "x" } });
        let file = record(&json!({ "file": request }));
        let (of_script, of_file) = (run_json(&script), run_json(&file));
        assert_eq!((&of_script["script"], of_script.get("file")), (&json!("echo a\necho b"), None));
        assert_eq!((&of_file["script"], &of_file["file"]), (&Value::Null, &request));
        let table = runs(&[script, file], None);
        assert!(table.contains("echo a …") && table.contains("write notes.txt"), "{table}");
    }
}
