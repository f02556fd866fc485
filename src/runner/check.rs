//! What the runner demands of a request, whoever sends it: pure, so that every demand has a test.
//!
//! The core judged the script; here nothing of that is believed. A plan must be the one that was
//! permitted (digest), and stay within what the runner itself read from the policy.

use std::path::{Component, Path};

use crate::domain::ids::Digest;
use crate::domain::limits::Limits;
use crate::domain::plan::{Access, Cover, Image, Mount, Plan};
use crate::domain::task::FileRequest;

/// Most mounts of one plan.
const MOUNTS_MAX: usize = 64;
/// Most environment variables of one plan.
const ENV_MAX: usize = 256;
/// Longest environment, in bytes.
const ENV_BYTES_MAX: usize = 256 * 1024;

/// What the runner read itself.
#[derive(Debug)]
pub(super) struct Allowed {
    /// What the policy lets this person mount, the home included.
    pub(super) mounts: Vec<Mount>,
    /// The policy's maxima.
    pub(super) limits: Limits,
    /// The images that the runner built.
    pub(super) images: Vec<Image>,
    /// Denied paths that exist in the mounts.
    pub(super) covers: Vec<Cover>,
}

/// Whether the mounts may be mounted for the person; the reason when not.
pub(super) fn mounts(asked: &[Mount], allowed: &[Mount]) -> Result<(), String> {
    if asked.len() > MOUNTS_MAX {
        return Err(format!("the plan has {} mounts; at most {MOUNTS_MAX} fit", asked.len()));
    }
    for (index, mount) in asked.iter().enumerate() {
        let path = mount.path.display();
        if !is_plain(&mount.path) {
            return Err(format!("`{path}` is not a plain absolute path"));
        }
        if asked.iter().take(index).any(|other| other.path == mount.path) {
            return Err(format!("`{path}` is mounted twice"));
        }
        let Some(known) = allowed.iter().find(|known| known.path == mount.path) else {
            return Err(format!("the policy does not list `{path}` for this person"));
        };
        if width(mount.access) > width(known.access) {
            return Err(format!("the policy allows less than was asked for on `{path}`"));
        }
    }
    Ok(())
}

/// Whether the plan may run; the reason when not.
pub(super) fn plan(plan: &Plan, permitted: &Digest, stdin: &[u8], allowed: &Allowed) -> Result<(), String> {
    if plan.digest() != *permitted {
        return Err("the plan is not the one that was permitted".to_owned());
    }
    mounts(&plan.mounts, &allowed.mounts)?;
    if let Some(name) = plan.limits.beyond(&allowed.limits) {
        return Err(format!("the limit on {name} is beyond what limits.yaml allows"));
    }
    if !allowed.images.contains(&plan.image) {
        return Err(format!("the image `{}` is not the one that was built here; plan again", plan.image.name));
    }
    input(plan, stdin)?;
    environment(plan)?;
    let inside = |path: &Path| plan.mounts.iter().any(|mount| path.starts_with(&mount.path));
    if !is_plain(&plan.workdir) || !(inside(&plan.workdir) || plan.workdir.starts_with("/tmp")) {
        return Err(format!("the working directory `{}` is in no mount", plan.workdir.display()));
    }
    if let Some(cover) = plan.covers.iter().find(|cover| !is_plain(&cover.path) || !inside(&cover.path)) {
        return Err(format!("`{}` is to be covered and lies in no mount", cover.path.display()));
    }
    if let Some(cover) = allowed.covers.iter().find(|cover| !plan.covers.contains(cover)) {
        return Err(format!(
            "the denied path `{}` exists and the plan does not cover it; plan again",
            cover.path.display()
        ));
    }
    Ok(())
}

fn input(plan: &Plan, stdin: &[u8]) -> Result<(), String> {
    let bytes = stdin.len() as u64;
    let receives = matches!(plan.task.file(), Some(FileRequest::Receive { .. }));
    if plan.task.file().is_some() && plan.stdin.is_some() != receives {
        return Err("a file request takes standard input if it receives a file, and only then".to_owned());
    }
    let fits = match &plan.stdin {
        None => stdin.is_empty(),
        Some(input) => input.bytes == bytes && input.digest == Digest::of(stdin) && bytes <= plan.limits.stdin_bytes,
    };
    if fits { Ok(()) } else { Err("the standard input is not the one of the plan".to_owned()) }
}

fn environment(plan: &Plan) -> Result<(), String> {
    let bytes: usize = plan.env.iter().map(|(name, value)| name.len() + value.len()).sum();
    if plan.env.len() > ENV_MAX || bytes > ENV_BYTES_MAX {
        return Err("the environment is too large".to_owned());
    }
    match plan.env.iter().find(|(name, value)| !is_variable(name) || value.contains('\0')) {
        None => Ok(()),
        Some((name, _)) => Err(format!("`{name}` is no environment variable that a run may have")),
    }
}

/// A POSIX name, and none that the dynamic loader obeys.
fn is_variable(name: &str) -> bool {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    plain && !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit()) && !name.starts_with("LD_")
}

/// Absolute, normal, UTF-8 and without characters that mean something in a mount option.
fn is_plain(path: &Path) -> bool {
    let normal = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let text = path.to_str().unwrap_or("");
    path.is_absolute() && normal && text.len() > 1 && !text.chars().any(char::is_control)
}

fn width(access: Access) -> u8 {
    match access {
        Access::Read => 0,
        Access::Overlay => 1,
        Access::Direct => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::PersonId;
    use crate::domain::plan::{CoverKind, Review};
    use crate::domain::script::Script;
    use crate::domain::task::Task;

    fn script(text: &str) -> Task {
        Task::Script(Script::new(text.to_owned()).unwrap())
    }

    fn overlay(path: &str) -> Mount {
        Mount { path: path.into(), access: Access::Overlay }
    }

    fn image() -> Image {
        Image { name: "base".to_owned(), id: "sha256:1".to_owned() }
    }

    fn cover(path: &str) -> Cover {
        Cover { path: path.into(), kind: CoverKind::Directory }
    }

    fn good() -> (Plan, Allowed) {
        let plan = Plan {
            person: PersonId::owner(),
            user_name: "Ann".to_owned(),
            task: script("true"),
            stdin: None,
            workdir: "/w/src".into(),
            env: [("HOME".to_owned(), "/h".to_owned())].into(),
            image: image(),
            mounts: vec![overlay("/w"), overlay("/h")],
            covers: vec![cover("/w/.ssh")],
            limits: Limits::default(),
            review: Review::Risky,
            deletions: false,
        };
        let allowed = Allowed {
            mounts: vec![overlay("/h"), overlay("/w"), Mount { path: "/r".into(), access: Access::Read }],
            limits: Limits::default(),
            images: vec![image()],
            covers: vec![cover("/w/.ssh")],
        };
        (plan, allowed)
    }

    #[test]
    fn a_plan_within_the_policy_passes() {
        let (good, allowed) = good();
        assert_eq!(plan(&good, &good.digest(), b"", &allowed), Ok(()));
    }

    #[test]
    fn a_plan_that_goes_beyond_the_policy_is_refused_with_the_reason() {
        type Change = fn(&mut Plan);
        let cases: [(&str, Change); 13] = [
            ("does not list `/etc`", |p| p.mounts.push(overlay("/etc"))),
            ("does not list `/w/src`", |p| p.mounts.push(overlay("/w/src"))),
            ("allows less", |p| p.mounts.push(overlay("/r"))),
            ("allows less", |p| p.mounts = vec![Mount { path: "/w".into(), access: Access::Direct }]),
            ("not a plain", |p| p.mounts.push(overlay("/w/../etc"))),
            ("mounted twice", |p| p.mounts.push(overlay("/w"))),
            ("limit on memory", |p| p.limits.memory_bytes += 1),
            ("image `base`", |p| p.image.id = "sha256:2".to_owned()),
            ("`LD_PRELOAD`", |p| p.env = [("LD_PRELOAD".to_owned(), "/w/x.so".to_owned())].into()),
            ("`A=B`", |p| p.env = [("A=B".to_owned(), String::new())].into()),
            ("working directory", |p| p.workdir = "/etc".into()),
            ("lies in no mount", |p| p.covers.push(cover("/usr"))),
            ("does not cover", |p| p.covers.clear()),
        ];
        for (expected, change) in cases {
            let (mut changed, allowed) = good();
            change(&mut changed);
            let why = plan(&changed, &changed.digest(), b"", &allowed).unwrap_err();
            assert!(why.contains(expected), "{why}");
        }
    }

    #[test]
    fn another_script_or_input_than_the_permitted_one_is_refused() {
        let (mut changed, allowed) = good();
        let permitted = changed.digest();
        assert!(plan(&changed, &permitted, b"more", &allowed).unwrap_err().contains("standard input"));
        changed.task = script("rm -rf /w");
        assert!(plan(&changed, &permitted, b"", &allowed).unwrap_err().contains("permitted"));
        changed.task = Task::File(serde_json::from_str(r#"{"read":{"path":"a"}}"#).unwrap());
        assert!(plan(&changed, &permitted, b"", &allowed).unwrap_err().contains("permitted"));
        assert_eq!(plan(&changed, &changed.digest(), b"", &allowed), Ok(()));
        changed.stdin = Some(crate::domain::plan::Input { bytes: 1, digest: Digest::of(b"x") });
        assert!(plan(&changed, &changed.digest(), b"x", &allowed).unwrap_err().contains("and only then"));
        // What receives a file has input, and nothing else of these.
        changed.task = Task::File(serde_json::from_str(r#"{"receive":{"path":"a"}}"#).unwrap());
        assert_eq!(plan(&changed, &changed.digest(), b"x", &allowed), Ok(()));
        changed.stdin = None;
        assert!(plan(&changed, &changed.digest(), b"", &allowed).unwrap_err().contains("and only then"));
    }
}
