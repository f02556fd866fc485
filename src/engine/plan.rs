//! From a judged task to a plan: environment, mounts, image, limits. Pure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::domain::ids::PersonId;
use crate::domain::plan::{Access, Cover, Image, Input, Mount, Plan, Review};
use crate::domain::principal::Principal;
use crate::domain::task::Task;
use crate::policy::{Decision, Policy};
use crate::protocol::runner::Unusable;

/// What a plan is made from, beside the policy.
#[derive(Debug, Clone, Copy)]
pub struct Wishes<'a> {
    /// Whose home, name and records.
    pub caller: &'a Principal,
    /// Whose rights: their mounts.
    pub rights: &'a Principal,
    /// What is to be done.
    pub task: &'a Task,
    /// Standard input of a script.
    pub stdin: Option<Input>,
    /// Where the caller stands.
    pub workdir: Option<&'a Path>,
    /// The caller's review choice.
    pub review: Option<Review>,
}

/// The mounts of a run: the caller's own home, and the workspaces that the person whose rights count
/// may use.
pub fn mounts(policy: &Policy, caller: &PersonId, rights: &Principal) -> Vec<Mount> {
    let home = policy.home(caller);
    let theirs = policy.home(&rights.person);
    let listed = policy.mounts(rights).into_iter().filter(|mount| mount.path != theirs && mount.path != home);
    std::iter::once(Mount { path: home.clone(), access: Access::Overlay }).chain(listed).collect()
}

/// The plan of a task, from the policy of the moment and what the runner found.
///
/// # Errors
/// Why there can be none, for people.
pub fn draft(
    policy: &Policy,
    decision: &Decision,
    wishes: Wishes<'_>,
    found: (&[Cover], &[Unusable]),
    images: &[Image],
) -> Result<Plan, String> {
    let (covers, unusable) = found;
    let home = policy.home(&wishes.caller.person);
    let is_unusable = |path: &Path| unusable.iter().find(|other| path.starts_with(&other.path));
    if let Some(broken) = is_unusable(&home) {
        return Err(format!("your home `{}` cannot be mounted: {}", home.display(), broken.why));
    }
    if let Some(broken) = wishes.workdir.and_then(is_unusable) {
        return Err(format!("`{}` cannot be mounted: {}", broken.path.display(), broken.why));
    }
    // A task that names such a place needs it, and would only learn that it is not there.
    let is_named = |other: &&Unusable| other.path.to_str().is_some_and(|path| wishes.task.names(path));
    if let Some(broken) = unusable.iter().find(is_named) {
        return Err(broken.why.clone());
    }
    let mut mounts = mounts(policy, &wishes.caller.person, wishes.rights);
    mounts.retain(|mount| is_unusable(&mount.path).is_none());
    mounts.sort_by(|one, other| one.path.cmp(&other.path));
    let mut covers: Vec<Cover> = covers.to_vec();
    covers.sort();
    let workdir = workdir(wishes.workdir, &mounts, &home);
    let image = images.iter().find(|image| image.name == decision.image).cloned().ok_or_else(|| {
        format!("the image `{}` is not built yet; `castoff status` shows how far it is", decision.image)
    })?;
    Ok(Plan {
        person: wishes.caller.person.clone(),
        user_name: user_name(wishes.caller),
        task: wishes.task.clone(),
        stdin: wishes.stdin,
        workdir,
        env: environment(policy, wishes.caller, &home),
        image,
        mounts,
        covers,
        limits: policy.limits().clone(),
        review: wishes.review.map_or(decision.review, |asked| asked.max(decision.review)),
        deletions: decision.deletions,
    })
}

/// The caller's directory when a mount holds it, else the home.
fn workdir(asked: Option<&Path>, mounts: &[Mount], home: &Path) -> PathBuf {
    asked
        .filter(|path| mounts.iter().any(|mount| path.starts_with(&mount.path)))
        .map_or_else(|| home.to_path_buf(), Path::to_path_buf)
}

/// A name that fits into passwd(5): the person's, in small letters.
fn user_name(person: &Principal) -> String {
    let name: String =
        person.name.to_lowercase().chars().filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit()).take(16).collect();
    if name.starts_with(|c: char| c.is_ascii_lowercase()) { name } else { person.person.as_str().replace('-', "") }
}

fn environment(policy: &Policy, person: &Principal, home: &Path) -> BTreeMap<String, String> {
    let name = user_name(person);
    let git_name = person.name.clone();
    let mail = format!("{name}@castoff.invalid");
    let home = home.display().to_string();
    let path = format!("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:{home}/.local/bin");
    [
        ("HOME", home),
        ("PATH", path),
        ("USER", name.clone()),
        ("LOGNAME", name),
        ("SHELL", "/bin/bash".to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
        ("TZ", policy.time_zone().to_owned()),
        ("TERM", "dumb".to_owned()),
        ("NO_COLOR", "1".to_owned()),
        ("PAGER", "cat".to_owned()),
        ("GIT_PAGER", "cat".to_owned()),
        ("GIT_TERMINAL_PROMPT", "0".to_owned()),
        ("GIT_AUTHOR_NAME", git_name.clone()),
        ("GIT_COMMITTER_NAME", git_name),
        ("GIT_AUTHOR_EMAIL", mail.clone()),
        ("GIT_COMMITTER_EMAIL", mail),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}
