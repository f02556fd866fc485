//! `castoff policy test`: a file of scripts with the verdict that each should have. Needs no daemon and
//! no Docker, so that people can keep such a file beside their policy and run it in CI.

use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_yaml::Spanned;

use super::outcome::BAD_INPUT;
use super::view::{shortened, table};
use crate::config::load_policy;
use crate::control::client::Refused;
use crate::domain::plan::Review;
use crate::domain::record::{Reason, Verdict};
use crate::domain::script::Script;
use crate::policy::{Network, Parsed, Policy};

/// Exit code when a case differs.
const DIFFERS: u8 = 1;
/// Exit code for a file that is not there (sysexits.h).
const EX_NOINPUT: u8 = 66;
/// Exit code for a bad configuration (sysexits.h).
const EX_CONFIG: u8 = 78;
/// Largest file of cases, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// A case as people write it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    script: String,
    #[serde(default)]
    user: Option<User>,
    expect: Verdict,
    #[serde(default)]
    network: Option<Reach>,
    #[serde(default)]
    review: Option<Review>,
}

/// A person's id, written as a number or a text.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum User {
    Number(u64),
    Text(String),
}

/// What a run may reach; `off` is a switch to some readers of YAML.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Reach {
    Switch(bool),
    Word(Word),
    Hosts(Vec<String>),
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Off,
    Ask,
}

/// What a case says or a policy answers, side by side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Judgement {
    verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    review: Option<Review>,
}

/// A case that was judged differently.
#[derive(Debug, Serialize)]
struct Difference {
    line: u64,
    user: String,
    script: String,
    expected: Judgement,
    got: Judgement,
    reasons: Vec<Reason>,
}

/// Judges every case of `file` under the policy of `config`. Returns 0 when all are as expected, 1 when
/// some are not, 78 for a bad policy.
///
/// # Errors
/// [`Refused`] with 66 or 65 when the file cannot be read or is no file of cases; `out` that cannot be
/// written.
pub fn test(config: &Path, home: &Path, file: &Path, json: bool, out: &mut impl Write) -> anyhow::Result<u8> {
    let policy = match load_policy(config, home) {
        Ok(policy) => policy,
        Err(errors) => {
            writeln!(out, "{errors}")?;
            return Ok(EX_CONFIG);
        }
    };
    let cases = read(file)?;
    let differences: Vec<Difference> =
        cases.iter().filter_map(|(line, case)| difference(&policy, *line, case)).collect();
    if json {
        let answer = json!({ "cases": cases.len(), "policy": policy.digest(), "differences": differences });
        writeln!(out, "{answer}")?;
    } else if differences.is_empty() {
        writeln!(out, "{} cases, all as expected", cases.len())?;
    } else {
        let mut shown = table(&["LINE", "USER", "EXPECTED", "GOT", "SCRIPT", "WHY"]);
        for one in &differences {
            let why = one.reasons.first().map(|reason| format!("{} ({})", reason.text, reason.rule));
            let script = shortened(one.script.lines().collect::<Vec<_>>().join("; "));
            let (line, user) = (one.line.to_string(), one.user.clone());
            shown.add_row([line, user, one.expected.text(), one.got.text(), script, why.unwrap_or_default()]);
        }
        writeln!(out, "{}\n{} of {} cases differ", shown.trim_fmt(), differences.len(), cases.len())?;
    }
    Ok(if differences.is_empty() { 0 } else { DIFFERS })
}

/// The cases with their lines: JSON, one a line, or a list in YAML.
fn read(file: &Path) -> anyhow::Result<Vec<(u64, Case)>> {
    let name = file.display();
    let refused = |code, why| Refused { code, why };
    let length = std::fs::metadata(file).map(|found| found.len());
    let text = length
        .and_then(|bytes| if bytes > FILE_BYTES_MAX { Ok(None) } else { std::fs::read_to_string(file).map(Some) });
    let text = text.map_err(|error| refused(EX_NOINPUT, format!("`{name}` cannot be read: {error}")))?;
    let text = text.ok_or_else(|| refused(BAD_INPUT, format!("`{name}` is larger than 16 MiB")))?;
    let hint =
        "hint: a case is `{script: …, user: …, expect: allow|ask|deny}`, with `network:` and `review:` if you like";
    let bad = |line: u64, why: String| refused(BAD_INPUT, format!("{name}:{line}: {why}\n{hint}"));
    if !text.trim_start().starts_with('{') {
        let cases: Vec<Spanned<Case>> = serde_yaml::from_str(&text).map_err(|error| {
            let line = error.location().map_or(0, |at| at.line());
            let why = error.without_snippet().to_string();
            bad(line, why.lines().next().unwrap_or("it cannot be read").to_owned())
        })?;
        return Ok(cases.into_iter().map(|case| (case.referenced.line(), case.value)).collect());
    }
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let read = |(number, line)| match serde_json::from_str(line) {
        Ok(case) => Ok((number, case)),
        Err(error) => Err(bad(number, error.to_string()).into()),
    };
    lines.map(read).collect()
}

/// What differs between a case and the policy's answer.
fn difference(policy: &Policy, line: u64, case: &Case) -> Option<Difference> {
    let user = match &case.user {
        None => "owner".to_owned(),
        Some(User::Number(number)) => number.to_string(),
        Some(User::Text(text)) => text.clone(),
    };
    let expected =
        Judgement { verdict: case.expect, network: case.network.as_ref().map(Reach::text), review: case.review };
    let refusal = |rule: &str, text: String| {
        let judgement = Judgement { verdict: Verdict::Deny, network: None, review: None };
        (judgement, vec![Reason { rule: rule.to_owned(), text }])
    };
    let (got, reasons) = match policy.principal(&user) {
        None => refusal("users.yaml", format!("`{user}` is nobody there")),
        Some(principal) => match Script::new(case.script.clone()).and_then(Parsed::new) {
            Err(error) => refusal("bad input", error.to_string()),
            Ok(parsed) => {
                let judged = policy.judge(&principal, parsed);
                let decision = judged.decision();
                let got = Judgement {
                    verdict: decision.verdict,
                    network: case.network.as_ref().map(|_| network_text(&decision.network)),
                    review: case.review.map(|_| decision.review),
                };
                (got, decision.reasons.clone())
            }
        },
    };
    // Somebody who is not there is a mistake of the case, whatever it expects.
    let nobody = reasons.first().is_some_and(|reason| reason.rule == "users.yaml");
    let differs = expected != got || nobody;
    differs.then(|| Difference { line, user, script: case.script.clone(), expected, got, reasons })
}

impl Judgement {
    fn text(&self) -> String {
        let network = self.network.iter().map(|network| format!(", network {network}"));
        let review = self.review.iter().map(|review| format!(", review {review}"));
        std::iter::once(self.verdict.to_string()).chain(network).chain(review).collect()
    }
}

impl Reach {
    fn text(&self) -> String {
        match self {
            Self::Switch(false) | Self::Word(Word::Off) => "off".to_owned(),
            Self::Switch(true) => "on".to_owned(),
            Self::Word(Word::Ask) => "ask".to_owned(),
            Self::Hosts(hosts) => network_text(&Network::Hosts(hosts.clone())),
        }
    }
}

fn network_text(network: &Network) -> String {
    match network {
        Network::Off => "off".to_owned(),
        Network::Ask => "ask".to_owned(),
        Network::Hosts(hosts) => {
            let mut hosts = hosts.clone();
            hosts.sort();
            hosts.dedup();
            hosts.join(" ")
        }
    }
}
