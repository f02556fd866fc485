//! Any script under one of the presets: what is added to it or put around it never makes the verdict looser.

use std::sync::OnceLock;

use castoff::config::presets;
use castoff::domain::principal::Principal;
use castoff::domain::script::Script;
use castoff::policy::{Decision, Parsed, Policy};

/// Judges a script: the first byte of `data` says under which preset, the others are its text.
pub fn judge(data: &[u8]) {
    let Some((preset, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let (policy, owner) = &policies()[usize::from(*preset) % policies().len()];
    let judged = |text: &str| Some(policy.judge(owner, parsed(text)?).decision().clone());
    let Some(plain) = judged(text) else { return };
    assert!(!plain.reasons.is_empty(), "a decision has its reasons");
    assert_eq!(plain.reasons.len(), plain.places.len(), "a reason has its place");
    assert_eq!(judged(text), Some(plain.clone()), "the same script, the same decision");
    for (name, changed) in stricter(text, &plain) {
        // What is no script any more does not run.
        let Some(decision) = judged(&changed) else { continue };
        // A here-document without an end takes what follows with it, the end of a subshell too.
        if text.contains("<<") && is_unparsed(&decision) {
            continue;
        }
        let verdict = decision.verdict;
        assert!(verdict >= plain.verdict, "{name}: {verdict} after {}: {changed:?}", plain.verdict);
    }
}

fn parsed(text: &str) -> Option<Parsed> {
    Script::new(text.to_owned()).and_then(Parsed::new).ok()
}

fn policies() -> &'static [(Policy, Principal)] {
    static ALL: OnceLock<Vec<(Policy, Principal)>> = OnceLock::new();
    ALL.get_or_init(|| {
        let load = |files: &[(&str, &str)]| {
            let texts = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
            let policy = super::load::policy(&texts).unwrap();
            let owner = policy.principal("owner").unwrap();
            (policy, owner)
        };
        presets().iter().map(|preset| load(&preset.files)).collect()
    })
}

fn is_unparsed(decision: &Decision) -> bool {
    decision.reasons.iter().any(|reason| reason.text.contains("pars"))
}

/// Scripts that do at least what `text` does, each with what was done to it.
fn stricter(text: &str, plain: &Decision) -> Vec<(&'static str, String)> {
    // A first line for another interpreter is one only where it is first.
    if text.starts_with("#!") {
        return Vec::new();
    }
    // On a line of its own: a script that starts with a dash would be an option of bash.
    let mut scripts = vec![("bash -c", format!("bash -c '\n{}'", text.replace('\'', r"'\''")))];
    // What the parser gave up is asked about or refused as a whole; more text may make it readable.
    if !is_unparsed(plain) {
        scripts.push(("a command more", format!("{text}\nnmap x")));
        scripts.push(("a subshell", format!("(\n{text}\n)")));
        // Elsewhere it would be part of a word or of a here-document.
        if !text.contains("<<") && text.ends_with(|c: char| c.is_ascii_alphanumeric() || ";& ".contains(c)) {
            scripts.push(("a command more on the line", format!("{text}; nmap x")));
        }
    }
    scripts
}
