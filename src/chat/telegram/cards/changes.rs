//! Change cards: the changes of a run that wait for a person, and what became of them.

use crate::domain::change::{Change, ChangeKind, ChangeSet, Node, NodeKind};
use crate::domain::record::{RunRecord, RunState};
use crate::domain::text::{visible, visible_line};

use super::super::outgoing::Outgoing;
use super::super::rich::Rich;
use super::super::text::shortened;
use super::approval::Question;
use super::{first_line, size};

/// Changed paths that stand below a document.
const PATHS_SHOWN: usize = 5;
/// Longest path below a document, in UTF-16 units.
const PATH_UNITS: usize = 60;
/// Longest reason below a document, in UTF-16 units.
const WHY_UNITS: usize = 160;

/// The card of a question about changes.
pub(super) fn changes(question: &Question<'_>, diff: &str) -> Outgoing {
    let lines = lines(question.run);
    let diff = visible(diff);
    let head = || {
        let mut head = question.head("May these changes land?", ("Applied: allowed", "Discarded"));
        head.say("\n");
        head.code(&first_line(&question.run.task.title()));
        head
    };
    let why = match &question.run.state {
        RunState::Held { why, .. } => visible_line(why),
        RunState::Planning
        | RunState::Asking { .. }
        | RunState::Queued
        | RunState::Running
        | RunState::Applying
        | RunState::Dropping
        | RunState::Undoing
        | RunState::Refused { .. }
        | RunState::Done { .. } => String::new(),
    };
    let say_why = |card: &mut Rich, why: &str| {
        if !why.is_empty() {
            card.say(&format!("why: {why}"));
            card.border(1, false);
        }
    };
    let (mut body, mut short) = (Rich::default(), Rich::default());
    say_why(&mut body, &why);
    body.pre(&lines.join("\n"), "");
    if !diff.trim().is_empty() {
        body.border(1, false);
        body.pre(&diff, "diff");
    }
    say_why(&mut short, &shortened(&why, WHY_UNITS));
    let mut few: Vec<String> = lines.iter().take(PATHS_SHOWN).map(|line| shortened(line, PATH_UNITS)).collect();
    if lines.len() > PATHS_SHOWN {
        few.push(format!("… and {} more", lines.len() - PATHS_SHOWN));
    }
    short.pre(&few.join("\n"), "");
    short.border(1, false);
    short.bold("The file has all of it: read it before you answer.");
    let head_text = super::super::plain(&head().html());
    let file = format!("{head_text}\nwhy: {why}\n\n{}\n\n{diff}", lines.join("\n"));
    let card = Outgoing::fitted(head(), body, short, (&format!("changes-{}.diff", question.run.run), &file));
    Outgoing { keyboard: question.keyboard(("Apply", "Discard")), ..card }
}

/// A line for each changed path, then for each that never lands.
fn lines(run: &RunRecord) -> Vec<String> {
    let sets: Vec<&ChangeSet> = run.end.iter().flat_map(|end| &end.changes).collect();
    let changed = sets.iter().flat_map(|set| set.changes.iter().map(|change| line(set, change)));
    let refused = sets.iter().flat_map(|set| {
        set.refused.iter().map(|trouble| {
            let path = set.workspace.join(&trouble.path);
            visible_line(&format!("! {} never lands: {}", path.display(), trouble.why))
        })
    });
    changed.chain(refused).collect()
}

fn line(set: &ChangeSet, change: &Change) -> String {
    let letter = match change.kind() {
        ChangeKind::Added => 'A',
        ChangeKind::Modified => 'M',
        ChangeKind::Deleted => 'D',
    };
    let path = visible_line(&set.workspace.join(&change.path).to_string_lossy());
    let what = match (&change.before, &change.after) {
        (Some(before), Some(after)) if before.kind == after.kind => {
            format!("mode {:o} → {:o}", before.mode, after.mode)
        }
        (Some(before), Some(after)) => format!("{} → {}", node(before), node(after)),
        (Some(one), None) | (None, Some(one)) => node(one),
        (None, None) => String::new(),
    };
    format!("{letter} {path} ({what})")
}

fn node(node: &Node) -> String {
    match &node.kind {
        NodeKind::File { bytes } => size(*bytes),
        NodeKind::Directory { entries: 0 } => "directory".to_owned(),
        NodeKind::Directory { entries } => format!("directory with {entries} entries"),
        NodeKind::Symlink { target } => format!("link to {}", visible_line(target)),
    }
}
