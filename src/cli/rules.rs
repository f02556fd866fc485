//! `castoff policy show`: the policy in force, and what a person may do. Asks a running core, which knows
//! what was amended beside the files; without one it shows the files.

use std::path::Path;

use serde_json::json;

use super::manage::print;
use super::outcome::UNAVAILABLE;
use super::view::table;
use crate::config::{load_policy, presets};
use crate::control::client::{Client, Refused};
use crate::control::wire::{PolicyView, RightsRequest};
use crate::domain::ids::{PersonId, RuleId};
use crate::domain::plan::Access;
use crate::policy::{Listing, Policy, Rights, RuleLine};

/// Exit code for a bad configuration (sysexits.h).
const EX_CONFIG: u8 = 78;
/// Exit code for a person who is not there (sysexits.h).
const EX_NOUSER: u8 = 67;

/// Which policy is meant.
#[derive(Debug, Clone, Copy)]
pub(super) enum Which<'a> {
    /// The one in force; the files of this directory where no core runs.
    InForce(&'a Path),
    /// The files of this directory.
    Files(&'a Path),
}

impl<'a> Which<'a> {
    /// Where its files are.
    pub(super) fn directory(self) -> &'a Path {
        let (Self::InForce(directory) | Self::Files(directory)) = self;
        directory
    }
}

/// Shows the policy, or with `user` what that person may do. Returns the exit code.
///
/// # Errors
/// A bad policy, a person who is not there, or why the core refused.
pub(super) async fn show(home: &Path, which: Which<'_>, user: Option<String>, json: bool) -> anyhow::Result<u8> {
    let client = match which {
        Which::Files(_) => None,
        Which::InForce(_) => running(home).await?,
    };
    match (client, user) {
        (Some(client), Some(name)) => rights(client, Some(name), json).await,
        (None, Some(name)) => {
            let policy = load(which.directory(), home)?;
            let principal = policy.principal(&name);
            let why = format!("`{name}` is nobody in users.yaml");
            let principal = principal.ok_or(Refused { code: EX_NOUSER, why })?;
            show_rights(&policy.rights(&principal), json)
        }
        (Some(mut client), None) => show_policy(&client.get("/policy").await?, which, json),
        (None, None) => {
            let listing = load(which.directory(), home)?.listing();
            show_policy(
                &PolicyView { in_force: false, listing, amendments: Vec::new(), learned: Vec::new() },
                which,
                json,
            )
        }
    }
}

/// Shows what somebody may do, the caller where no name is given: what a running core says.
pub(super) async fn rights(mut client: Client, name: Option<String>, json: bool) -> anyhow::Result<u8> {
    show_rights(&client.post("/rights", &RightsRequest { name }).await?, json)
}

/// Takes back what was allowed always. Returns the exit code.
///
/// # Errors
/// Why the core refused.
pub(super) async fn revoke(home: &Path, id: &str, json: bool) -> anyhow::Result<u8> {
    let path = format!("/policy/learned/{id}/revoke");
    let rule: RuleId = Client::connect(home).await?.post(&path, &json!({})).await?;
    print(&if json {
        json!({ "revoked": rule }).to_string()
    } else {
        format!("{rule} is gone; what it covered asks again")
    })?;
    Ok(0)
}

/// The running core; `None` when there is none.
async fn running(home: &Path) -> anyhow::Result<Option<Client>> {
    match Client::connect(home).await {
        Ok(client) => Ok(Some(client)),
        Err(error) if error.downcast_ref::<Refused>().is_some_and(|refused| refused.code == UNAVAILABLE) => Ok(None),
        Err(error) => Err(error),
    }
}

fn load(directory: &Path, home: &Path) -> anyhow::Result<Policy> {
    load_policy(directory, home).map_err(|errors| Refused { code: EX_CONFIG, why: errors.to_string() }.into())
}

fn show_rights(rights: &Rights, json: bool) -> anyhow::Result<u8> {
    print(&if json { serde_json::to_string(rights)? } else { rights.to_string() })?;
    Ok(0)
}

fn show_policy(view: &PolicyView, which: Which<'_>, json: bool) -> anyhow::Result<u8> {
    let directory = which.directory();
    let preset = preset_of(directory);
    if json {
        let mut answer = serde_json::to_value(view)?;
        if let Some(fields) = answer.as_object_mut() {
            fields.insert("preset".to_owned(), json!(preset));
        }
        print(&answer.to_string())?;
        return Ok(0);
    }
    let of = match preset {
        Some(preset) => format!("{} (the preset `{preset}`)", directory.display()),
        None => directory.display().to_string(),
    };
    let standing = if view.in_force { "in force" } else { "as the files say; Castoff was not asked" };
    print(&format!("policy {}, {standing}\nfiles: {of}\n{}", view.listing.digest.short(), text(view)))?;
    Ok(0)
}

/// The preset whose three files these are, unchanged.
fn preset_of(directory: &Path) -> Option<&'static str> {
    let same =
        |(name, text): &(&str, &str)| std::fs::read_to_string(directory.join(name)).is_ok_and(|found| found == *text);
    presets().iter().find(|preset| preset.files.iter().all(same)).map(|preset| preset.name)
}

fn text(view: &PolicyView) -> String {
    let Listing { basics, rules, effects, cannot_tell, review, paths, denied, people, .. } = &view.listing;
    let mut text = String::new();
    if *basics {
        text.push_str(
            "\nprograms: the basics (no `exec: allow:`): coreutils, text tools, git, python3, node, npm, jq, rg …\n",
        );
    }
    if !rules.is_empty() {
        let mut shown = table(&["VERDICT", "PATTERN", "AND", "PLACE"]);
        for rule in rules {
            shown.add_row([rule.verdict.to_string(), rule.pattern.clone(), more(rule), rule.place.clone()]);
        }
        text.push_str(&format!("\n{}\n", shown.trim_fmt()));
    }
    text.push_str(&format!("\nwhat cannot be told: {cannot_tell}\nreview: {review}\n"));
    if !effects.is_empty() {
        text.push_str(&format!("require_approval: {}\n", effects.join(", ")));
    }
    for mount in paths {
        let how = match mount.access {
            Access::Overlay => "changes land after the run",
            Access::Read => "read only",
            Access::Direct => "written at once: no review, no undo",
        };
        text.push_str(&format!("path: {} ({how})\n", mount.path.display()));
    }
    let denied: Vec<String> = denied.iter().map(|path| path.display().to_string()).collect();
    text.push_str(&format!("denied paths: {}\n", denied.join(", ")));
    let people: Vec<String> =
        people.iter().map(|one| format!("{} ({}, {})", one.person, one.name, one.trust)).collect();
    text.push_str(&format!("people: {}\n", people.join(", ")));
    for rule in &view.learned {
        let commands: Vec<String> = rule.commands.iter().map(|words| format!("`{words}`")).collect();
        let what = if commands.is_empty() { "commands of theirs".to_owned() } else { commands.join(", ") };
        text.push_str(&format!(
            "learned {}: {what} without asking, for {} (by {}, {})\n",
            rule.rule, rule.person, rule.by, rule.at
        ));
    }
    for amendment in &view.amendments {
        text.push_str(&format!("beside the files: {amendment}\n"));
    }
    text
}

/// What a rule says beside its pattern.
fn more(rule: &RuleLine) -> String {
    let network = rule.network.iter().map(|hosts| format!("network {}", hosts.join(" ")));
    let approval = rule.approval.iter().map(|approval| format!("approval {approval}"));
    let review = rule.review.iter().map(|review| format!("review {review}"));
    let image = rule.image.iter().map(|image| format!("image {image}"));
    let names: Vec<&str> = rule.approvers.iter().map(PersonId::as_str).collect();
    let approvers = (!names.is_empty()).then(|| format!("{} may answer for themselves", names.join(", ")));
    let secrets =
        (!rule.secrets.is_empty()).then(|| format!("secrets {} (commands are given none yet)", rule.secrets.join(" ")));
    let more = network.chain(approval).chain(review).chain(image).chain(approvers).chain(secrets);
    let all: Vec<String> = more.chain(rule.why.clone()).collect();
    all.join("; ")
}
