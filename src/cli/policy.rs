//! `castoff policy explain` and `castoff policy check`: what the policy would say, without a daemon.

use std::io::{BufRead, Write};
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::config::load_policy;
use crate::domain::plan::{Access, Mount, Review};
use crate::domain::principal::Principal;
use crate::domain::record::{Reason, Verdict};
use crate::domain::script::Script;
use crate::domain::text::visible;
use crate::policy::{Decision, Network, Parsed, Policy};

use super::marked;

/// Exit code for bad input (sysexits.h).
const EX_DATAERR: u8 = 65;
/// Exit code for a bad configuration (sysexits.h).
const EX_CONFIG: u8 = 78;

/// An answer, as scripts read it.
#[derive(Debug, Serialize)]
struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<serde_json::Value>,
    verdict: Verdict,
    reasons: Vec<Reason>,
    programs: Vec<String>,
    effects: Vec<String>,
    network: serde_json::Value,
    review: Review,
    image: String,
    suggestion: Option<String>,
}

/// A question, as scripts write it.
#[derive(Debug, Deserialize)]
struct Question {
    #[serde(default)]
    id: serde_json::Value,
    input: String,
}

/// Explains one script. Exit code 0 whatever the verdict, 65 for a text that is no script, 78 for
/// a bad policy.
///
/// # Errors
/// When `user` is unknown or `out` cannot be written.
#[expect(clippy::too_many_arguments, reason = "the arguments of the command, one by one")]
pub fn explain(
    config: &Path,
    home: &Path,
    user: Option<&str>,
    json: bool,
    script: &str,
    out: &mut impl Write,
) -> anyhow::Result<u8> {
    let Some((policy, principal)) = open(config, home, user, out)? else { return Ok(EX_CONFIG) };
    let parsed = match Script::new(script.to_owned()).and_then(Parsed::new) {
        Ok(parsed) => parsed,
        Err(error) => return refuse_input(json, &error.to_string(), out),
    };
    let judged = policy.judge(&principal, parsed);
    if json {
        serde_json::to_writer(&mut *out, &answer(None, judged.decision()))?;
        writeln!(out)?;
    } else {
        write_text(judged.script().as_str(), judged.decision(), out)?;
        if judged.decision().verdict != Verdict::Deny {
            write_mounts(&policy, &principal, out)?;
        }
    }
    Ok(0)
}

/// Says that a text is no script. Returns 65.
///
/// # Errors
/// When `out` cannot be written.
pub(super) fn refuse_input(json: bool, why: &str, out: &mut impl Write) -> anyhow::Result<u8> {
    if json {
        serde_json::to_writer(&mut *out, &bad_input(None, why))?;
        writeln!(out)?;
    } else {
        writeln!(out, "bad input: {why}")?;
    }
    Ok(EX_DATAERR)
}

/// Explains one script for each JSON line of `input`.
///
/// # Errors
/// When `user` is unknown, `input` cannot be read or `out` cannot be written.
pub fn explain_batch(
    config: &Path,
    home: &Path,
    user: Option<&str>,
    input: impl BufRead,
    out: &mut impl Write,
) -> anyhow::Result<u8> {
    let Some((policy, principal)) = open(config, home, user, out)? else { return Ok(EX_CONFIG) };
    for line in input.split(b'\n') {
        let line = line.context("failed to read the batch")?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let answer = match serde_json::from_slice::<Question>(&line) {
            Err(error) => bad_input(Some(serde_json::Value::Null), &format!("the line is no question: {error}")),
            Ok(Question { id, input }) => match Script::new(input).and_then(Parsed::new) {
                Err(error) => bad_input(Some(id), &error.to_string()),
                Ok(parsed) => answer(Some(id), policy.judge(&principal, parsed).decision()),
            },
        };
        serde_json::to_writer(&mut *out, &answer)?;
        writeln!(out)?;
    }
    Ok(0)
}

/// Checks the files of `dir`: 0, or 78 with all errors.
///
/// # Errors
/// When `out` cannot be written.
pub fn check(dir: &Path, home: &Path, json: bool, out: &mut impl Write) -> anyhow::Result<u8> {
    let outcome =
        if dir.is_dir() { load_policy(dir, home) } else { anyhow::bail!("`{}` is not a directory", dir.display()) };
    match outcome {
        Ok(policy) if json => {
            writeln!(out, "{}", serde_json::json!({"ok": true, "digest": policy.digest(), "errors": []}))?
        }
        Ok(policy) => writeln!(
            out,
            "{}: fine, {} people, digest {}",
            dir.display(),
            policy.people().len(),
            policy.digest().short()
        )?,
        Err(errors) => {
            if json {
                let list: Vec<_> = errors
                    .0
                    .iter()
                    .map(|error| {
                        serde_json::json!({"file": error.file, "line": error.line, "column": error.column,
                        "message": error.message, "snippet": error.snippet, "hint": error.hint})
                    })
                    .collect();
                writeln!(out, "{}", serde_json::json!({"ok": false, "errors": list}))?;
            } else {
                writeln!(out, "{errors}")?;
            }
            return Ok(EX_CONFIG);
        }
    }
    Ok(0)
}

fn open(
    config: &Path,
    home: &Path,
    user: Option<&str>,
    out: &mut impl Write,
) -> anyhow::Result<Option<(Policy, Principal)>> {
    let policy = match load_policy(config, home) {
        Ok(policy) => policy,
        Err(errors) => {
            writeln!(out, "{errors}")?;
            return Ok(None);
        }
    };
    let name = user.unwrap_or("owner");
    let principal = policy.principal(name).with_context(|| format!("`{name}` is nobody in users.yaml"))?;
    Ok(Some((policy, principal)))
}

fn answer(id: Option<serde_json::Value>, decision: &Decision) -> Answer {
    Answer {
        id,
        verdict: decision.verdict,
        reasons: decision.reasons.clone(),
        programs: decision.programs.clone(),
        effects: decision.effects.clone(),
        network: match &decision.network {
            Network::Off => "off".into(),
            Network::Ask => "ask".into(),
            Network::Hosts(hosts) => hosts.clone().into(),
        },
        review: decision.review,
        image: decision.image.clone(),
        suggestion: decision.suggestion.clone(),
    }
}

fn bad_input(id: Option<serde_json::Value>, text: &str) -> Answer {
    Answer {
        id,
        verdict: Verdict::Deny,
        reasons: vec![Reason { rule: "bad input".to_owned(), text: text.to_owned() }],
        programs: Vec::new(),
        effects: Vec::new(),
        network: "off".into(),
        review: Review::Risky,
        image: "base".to_owned(),
        suggestion: None,
    }
}

fn write_text(script: &str, decision: &Decision, out: &mut impl Write) -> anyhow::Result<()> {
    let verdict = match decision.verdict {
        Verdict::Allow => "allow",
        Verdict::Ask => "ask",
        Verdict::Deny => "deny",
    };
    writeln!(out, "{verdict}")?;
    marked::write(script, decision.places.first().and_then(Option::as_ref), out)?;
    for Reason { rule, text } in &decision.reasons {
        writeln!(out, "  {} ({})", visible(text), visible(rule))?;
    }
    let network = match &decision.network {
        Network::Off => "off".to_owned(),
        Network::Ask => "ask".to_owned(),
        Network::Hosts(hosts) => hosts.join(", "),
    };
    let review = match decision.review {
        Review::Never => "never",
        Review::Risky if decision.deletions => "risky, and each deletion",
        Review::Risky => "risky",
        Review::Changes => "changes",
    };
    writeln!(out, "programs: {}", visible(&decision.programs.join(", ")))?;
    writeln!(out, "effects: {}", decision.effects.join(", "))?;
    writeln!(out, "network: {network}  review: {review}  image: {}", decision.image)?;
    if let Some(suggestion) = &decision.suggestion {
        writeln!(out, "hint: {suggestion}")?;
    }
    Ok(())
}

/// What a run of this person sees of the host.
fn write_mounts(policy: &Policy, principal: &Principal, out: &mut impl Write) -> anyhow::Result<()> {
    let mounts = crate::engine::plan::mounts(policy, &principal.person, principal);
    for Mount { path, access } in mounts {
        let how = match access {
            Access::Overlay => "copy-on-write",
            Access::Read => "read-only",
            Access::Direct => "written at once: no review, no undo",
        };
        writeln!(out, "mount: {} ({how})", visible(&path.display().to_string()))?;
    }
    Ok(())
}
