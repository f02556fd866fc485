//! What a configuration refuses, and how a plan's mounts lie in one another.

use std::collections::BTreeMap;

use super::*;
use crate::domain::ids::PersonId;
use crate::domain::plan::{Cover, Image, Mount as PlanMount, Review};
use crate::domain::script::Script;
use crate::domain::task::Task;

fn plan(mounts: &[(&str, Access)], covers: &[(&str, CoverKind)]) -> Plan {
    Plan {
        person: PersonId::owner(),
        user_name: "ann".to_owned(),
        task: Task::Script(Script::try_from("true".to_owned()).unwrap()),
        stdin: None,
        workdir: PathBuf::from("/"),
        env: BTreeMap::new(),
        image: Image { name: "base".to_owned(), id: "sha256:1".to_owned() },
        mounts: mounts.iter().map(|(path, access)| PlanMount { path: path.into(), access: *access }).collect(),
        covers: covers.iter().map(|(path, kind)| Cover { path: path.into(), kind: *kind }).collect(),
        limits: Limits::default(),
        review: Review::Never,
        deletions: false,
    }
}

fn places() -> Places {
    Places {
        run: RunId::from_random([1; 11]),
        home_label: "home".to_owned(),
        init_volume: "init".to_owned(),
        overlays: vec![(PathBuf::from("/w"), "overlay".to_owned())],
        passwd: "/s/passwd".into(),
        group: "/s/group".into(),
        hosts: "/s/hosts".into(),
        uid: 1000,
        gid: 1000,
        runtime: None,
    }
}

#[test]
fn no_plan_mounts_the_system_or_steps_out_of_a_path() {
    for path in [
        "/",
        "/proc",
        "/proc/1",
        "/dev",
        "/run/user",
        "/var",
        "/var/run/docker.sock",
        "/usr",
        "/etc",
        "w",
        "/w/../x",
        "/w/",
        "/w//x",
        "/w/./x",
        "/w/\n",
        "/castoff/x",
        "/var/lib/docker/volumes",
    ] {
        let refused = run_container(&plan(&[(path, Access::Read)], &[]), &places());
        assert!(matches!(refused, Err(HardenError::Path { .. })), "{path}: {refused:?}");
    }
}

#[test]
fn mounts_lie_from_the_outside_in_and_covers_over_them() {
    let covers = [("/w/keys/deep", CoverKind::File), ("/w/.env", CoverKind::File), ("/w/keys", CoverKind::Directory)];
    let body = run_container(&plan(&[("/w/in", Access::Read), ("/w", Access::Overlay)], &covers), &places()).unwrap();
    let host = body.host_config.unwrap();
    let targets: Vec<_> = host.mounts.unwrap().into_iter().filter_map(|mount| mount.target).collect();
    assert_eq!(targets, ["/castoff", "/etc/group", "/etc/hosts", "/etc/passwd", "/w", "/w/.env", "/w/in"]);
    let mut tmpfs: Vec<_> = host.tmpfs.unwrap().into_keys().collect();
    tmpfs.sort();
    assert_eq!(tmpfs, ["/tmp", "/w/keys"]);
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let refused = |plan: &Plan, places: &Places| assert!(run_container(plan, places).is_err(), "{plan:?}");
    refused(&plan(&[("/other", Access::Overlay)], &[]), &places());
    refused(&plan(&[("/w", Access::Overlay), ("/w", Access::Direct)], &[]), &places());
    refused(&plan(&[("/w", Access::Overlay)], &[("/x", CoverKind::File)]), &places());
    refused(&plan(&[("/w/k/in", Access::Read), ("/w", Access::Overlay)], &[("/w/k", CoverKind::Directory)]), &places());
    refused(&plan(&[], &[]), &Places { uid: 0, ..places() });
    refused(&Plan { image: Image { name: "base".to_owned(), id: "base".to_owned() }, ..plan(&[], &[]) }, &places());
    let limits = Limits { pids: 0, ..Limits::default() };
    refused(&Plan { limits, ..plan(&[], &[]) }, &places());
}

#[test]
fn a_path_cannot_add_an_option_to_an_overlay() {
    let make = |lower: &str| overlay_volume("v", Path::new(lower), Path::new("/u"), Path::new("/k"), HashMap::new());
    for lower in ["/a,upperdir=/etc", "/a:/etc", "/a\\", "a", "/a/../b"] {
        assert!(make(lower).is_err(), "{lower}");
    }
    let options = make("/a b").unwrap().driver_opts.unwrap();
    assert_eq!(options["o"], "lowerdir=/a b,upperdir=/u,workdir=/k,userxattr,nosuid,nodev");
}
