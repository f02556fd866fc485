//! `castoff policy diff` and `castoff policy suggest`: other rules over the runs on record. A running core
//! reads and judges them, since it alone may know the words of everybody's.

use std::path::Path;

use super::manage::print;
use super::view::{shortened, table};
use crate::config::{PolicyTexts, load_policy, policy_texts};
use crate::control::client::{Client, Refused};
use crate::control::wire::{DiffRequest, SuggestRequest};
use crate::runtime::history::{Comparison, Judgement, Proposal, Suggestions};

/// Exit code for a bad configuration (sysexits.h).
const EX_CONFIG: u8 = 78;
/// Exit code for a directory that is not there (sysexits.h).
const EX_NOINPUT: u8 = 66;
/// Runs that a line names; the rest are counted.
const RUNS_SHOWN: usize = 3;

/// Shows which runs of the last `days` two policies judge differently. Returns the exit code.
///
/// # Errors
/// A bad policy, or why the core refused.
pub(super) async fn diff(home: &Path, (old, new): (&Path, &Path), days: u32, json: bool) -> anyhow::Result<u8> {
    let request = DiffRequest { old: texts(old, home)?, new: texts(new, home)?, days };
    let found: Comparison = Client::connect(home).await?.post("/policy/diff", &request).await?;
    if json {
        print(&serde_json::to_string(&found)?)?;
        return Ok(0);
    }
    let Comparison { runs, changed } = &found;
    if changed.is_empty() {
        print(&format!("{runs} runs of the last {days} days: all are judged alike"))?;
        return Ok(0);
    }
    let mut shown = table(&["RUNS", "PERSON", "OLD", "NEW", "NOW BY", "SCRIPT"]);
    for one in changed {
        let (old, new) = (text(&one.old, &one.new), text(&one.new, &one.old));
        let script = shortened(one.what.clone());
        shown.add_row([ids(&one.runs), one.person.to_string(), old, new, one.new.rule.clone(), script]);
    }
    let count: usize = changed.iter().map(|one| one.runs.len()).sum();
    print(&format!("{}\n{count} of {runs} runs of the last {days} days are judged differently", shown.trim_fmt()))?;
    Ok(0)
}

/// The files of a directory, which must be a policy.
fn texts(directory: &Path, home: &Path) -> anyhow::Result<PolicyTexts> {
    let refused = |code, why| Refused { code, why };
    if !directory.is_dir() {
        return Err(refused(EX_NOINPUT, format!("`{}` is not a directory", directory.display())).into());
    }
    // Here, where the mistakes are shown with their files.
    load_policy(directory, home).map_err(|errors| refused(EX_CONFIG, errors.to_string()))?;
    let unreadable = |error| refused(EX_NOINPUT, format!("`{}` cannot be read: {error}", directory.display()));
    Ok(policy_texts(directory).map_err(unreadable)?)
}

/// A judgement, with what else differs from the other one.
fn text(one: &Judgement, other: &Judgement) -> String {
    let mut text = one.verdict.to_string();
    if one.network != other.network {
        text.push_str(&format!(", network {}", one.network));
    }
    if one.review != other.review {
        text.push_str(&format!(", review {}", one.review));
    }
    text
}

fn ids(runs: &[crate::domain::ids::RunId]) -> String {
    let named: Vec<&str> = runs.iter().take(RUNS_SHOWN).map(crate::domain::ids::RunId::as_str).collect();
    let more = runs.len().saturating_sub(RUNS_SHOWN);
    if more > 0 { format!("{} and {more} more", named.join(" ")) } else { named.join(" ") }
}

/// Prints what people's answers of the last `days` suggest, as YAML with comments. Returns the exit code.
///
/// # Errors
/// Why the core refused.
pub(super) async fn suggest(home: &Path, days: u32, json: bool) -> anyhow::Result<u8> {
    let found: Suggestions = Client::connect(home).await?.post("/policy/suggest", &SuggestRequest { days }).await?;
    print(&if json { serde_json::to_string(&found)? } else { yaml(&found, days) })?;
    Ok(0)
}

fn yaml(found: &Suggestions, days: u32) -> String {
    let Suggestions { runs, granted, proposals } = found;
    let mut text =
        format!("# {runs} runs in {days} days, {granted} of them after a yes. Nothing of this is in force.\n");
    let (fit, unfit): (Vec<&Proposal>, Vec<&Proposal>) =
        proposals.iter().filter(|one| !one.covers.is_empty()).partition(|one| one.against.is_empty());
    if fit.is_empty() {
        text.push_str("# There is no rule that could stop asking.\n");
    }
    for one in fit {
        text.push_str(&format!(
            "\n# {} `{}` asked for nothing but what was granted: {} runs ({}).\n\
             # Without its question they would have run at once; none that was refused, dropped or undone would.\n",
            one.place,
            one.pattern,
            one.covers.len(),
            ids(&one.covers)
        ));
        match &one.instead {
            Some(entry) => text.push_str(&format!("# Instead of that entry:\nexec:\n  allow:\n    - {entry}\n")),
            None => text.push_str("# Remove that entry; nothing stands in its place.\n"),
        }
        if !one.commands.is_empty() {
            text.push_str(
                "# If that is too much: the answer \"allow always\" covers these very words and no others:\n",
            );
        }
        for (command, times) in &one.commands {
            text.push_str(&format!("#   {times} × {command}\n"));
        }
    }
    for one in unfit {
        text.push_str(&format!(
            "\n# {} `{}` must go on asking: without its question {} runs that were refused, dropped or undone would \
             have been allowed ({}).\n",
            one.place,
            one.pattern,
            one.against.len(),
            ids(&one.against)
        ));
    }
    text
}
