//! Inspections and ready frames that are off in one thing, and the one complaint about it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bollard::models::{ContainerConfig, HostConfig};

use super::*;
use crate::domain::ids::{PersonId, RunId};
use crate::domain::limits::Limits;
use crate::domain::plan::{Access, Cover, CoverKind, Image, Mount, Review};
use crate::domain::script::Script;
use crate::domain::task::Task;
use crate::protocol::init::MountInfo;

fn plan() -> Plan {
    Plan {
        person: PersonId::owner(),
        user_name: "ann".to_owned(),
        task: Task::Script(Script::try_from("true".to_owned()).unwrap()),
        stdin: None,
        workdir: PathBuf::from("/w"),
        env: BTreeMap::new(),
        image: Image { name: "base".to_owned(), id: "sha256:1".to_owned() },
        mounts: vec![
            Mount { path: "/w".into(), access: Access::Overlay },
            Mount { path: "/r".into(), access: Access::Read },
        ],
        covers: vec![Cover { path: "/w/k".into(), kind: CoverKind::Directory }],
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
        overlays: vec![("/w".into(), "overlay".to_owned())],
        passwd: "/s/passwd".into(),
        group: "/s/group".into(),
        hosts: "/s/hosts".into(),
        uid: 1000,
        gid: 1000,
        runtime: None,
    }
}

fn mount(root: &str, target: &str, options: &str, fs_type: &str) -> MountInfo {
    MountInfo {
        device: "8:1".to_owned(),
        root: root.to_owned(),
        target: target.to_owned(),
        options: options.to_owned(),
        propagation: String::new(),
        fs_type: fs_type.to_owned(),
        source: fs_type.to_owned(),
        super_options: "rw,lowerdir=/w,upperdir=/u,workdir=/k,userxattr".to_owned(),
    }
}

fn ready() -> Ready {
    let limits = Limits::default();
    let rlimits = [
        ("Max open files", u64::from(limits.open_files)),
        ("Max core file size", 0),
        ("Max file size", limits.file_bytes),
        ("Max locked memory", 64 << 10),
        ("Max msgqueue size", 0),
        ("Max realtime priority", 0),
    ];
    let cgroup = [("memory.max", "1073741824"), ("pids.max", "256"), ("cpu.max", "200000 100000")];
    Ready {
        digest: Digest::of(b"init"),
        pid: 1,
        uids: [1000; 4],
        gids: [1000; 4],
        groups: Vec::new(),
        capabilities: [0; 5],
        no_new_privs: true,
        seccomp: 2,
        not_dumpable: true,
        rlimits: rlimits.iter().map(|(name, most)| ((*name).to_owned(), *most, *most)).collect(),
        mounts: vec![
            mount("/", "/", "ro,relatime", "overlay"),
            mount("/", "/proc", "rw,nosuid", "proc"),
            mount("/v/_data", "/castoff", "ro", "ext4"),
            mount("/s/passwd", "/etc/passwd", "ro", "ext4"),
            mount("/s/group", "/etc/group", "ro", "ext4"),
            mount("/s/hosts", "/etc/hosts", "ro", "ext4"),
            mount("/", "/tmp", "rw,nosuid,nodev", "tmpfs"),
            mount("/", "/w", "rw,nosuid,nodev", "overlay"),
            mount("/", "/w/k", "ro,nosuid", "tmpfs"),
            mount("/@/r", "/r", "ro", "btrfs"),
        ],
        interfaces: vec!["lo".to_owned()],
        hostname: "castoff".to_owned(),
        cgroup: cgroup.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect(),
        resolv_conf: String::new(),
    }
}

fn check(change: fn(&mut Ready), complaint: &str) {
    let mut ready = ready();
    change(&mut ready);
    let wrong = confirm(&plan(), &places(), &Digest::of(b"init"), &ready).unwrap_err();
    assert_eq!(wrong.len(), 1, "{wrong:#?}");
    assert!(wrong[0].contains(complaint), "{wrong:#?}");
}

#[test]
fn what_holds_is_enforced_and_nothing_is_missing() {
    let enforced = confirm(&plan(), &places(), &Digest::of(b"init"), &ready()).unwrap();
    assert_eq!((enforced.uid, enforced.missing), (1000, Vec::<String>::new()));
}

#[test]
fn a_limit_that_does_not_show_is_named() {
    let blind = Ready { cgroup: Vec::new(), ..ready() };
    let enforced = confirm(&plan(), &places(), &Digest::of(b"init"), &blind).unwrap();
    assert_eq!(enforced.missing.len(), 3, "{:?}", enforced.missing);
}

#[test]
fn one_wall_that_does_not_hold_stops_the_run() {
    check(|ready| ready.digest = Digest::of(b"other"), "not the one that was installed");
    check(|ready| ready.uids[1] = 0, "user ids");
    check(|ready| ready.groups = vec![1000, 999], "supplementary groups");
    check(|ready| ready.capabilities[3] = 1, "capabilities");
    check(|ready| ready.no_new_privs = false, "no_new_privs");
    check(|ready| ready.seccomp = 0, "seccomp");
    check(|ready| ready.not_dumpable = false, "dumpable");
    check(|ready| ready.rlimits[0].2 = u64::MAX, "Max open files");
    check(|ready| ready.rlimits.truncate(5), "Max realtime priority");
    check(|ready| ready.interfaces.push("eth0".to_owned()), "eth0");
    check(|ready| ready.resolv_conf = "nameserver 10.0.0.1\n".to_owned(), "resolver");
    check(|ready| ready.cgroup[0].1 = "max".to_owned(), "memory.max");
    check(|ready| ready.cgroup[2].1 = "max 100000".to_owned(), "cpu.max");
}

#[test]
fn every_mount_is_the_one_that_was_asked_for() {
    check(|ready| ready.mounts[0].options = "rw".to_owned(), "mount `/`");
    check(|ready| ready.mounts[7].fs_type = "ext4".to_owned(), "copy-on-write");
    check(|ready| ready.mounts[7].super_options = "lowerdir=/etc,userxattr".to_owned(), "copy-on-write");
    check(|ready| ready.mounts[7].super_options = "lowerdir=/w".to_owned(), "copy-on-write");
    check(|ready| ready.mounts[9].options = "rw".to_owned(), "mount `/r`");
    check(|ready| ready.mounts[9].root = "/etc".to_owned(), "mount `/r`");
    check(|ready| ready.mounts[9].propagation = "shared:4".to_owned(), "mount `/r`");
    check(|ready| ready.mounts[8].options = "rw".to_owned(), "it is hidden");
    check(|ready| drop(ready.mounts.remove(8)), "there is no mount");
    check(|ready| ready.mounts.push(mount("/", "/w", "rw,nosuid,nodev", "overlay")), "mounted 2 times");
    check(|ready| ready.mounts.push(mount("/", "/mnt", "ro", "ext4")), "nobody asked for");
    check(|ready| ready.mounts.push(mount("/home", "/dev/home", "ro", "ext4")), "nobody asked for");
    check(|ready| ready.mounts[9].source = "/run/docker.sock".to_owned(), "engine's socket");
}

fn compared(change: fn(&mut ContainerConfig, &mut HostConfig), expected: &[&str]) {
    let asked = ContainerCreateBody {
        image: Some("sha256:1".to_owned()),
        env: Some(vec!["PATH=/bin".to_owned()]),
        host_config: Some(HostConfig { memory: Some(5), readonly_rootfs: Some(true), ..HostConfig::default() }),
        ..ContainerCreateBody::default()
    };
    let mut config = ContainerConfig {
        image: asked.image.clone(),
        env: Some(vec!["PATH=/bin".to_owned(), "LANG=C".to_owned()]),
        tty: Some(false),
        ..ContainerConfig::default()
    };
    let paths = |paths: &[&str]| Some(paths.iter().map(|path| (*path).to_owned()).collect());
    let mut host = asked.host_config.clone().unwrap();
    host.masked_paths = paths(MASKED);
    host.readonly_paths = paths(READ_ONLY);
    change(&mut config, &mut host);
    let got = ContainerInspectResponse {
        image: asked.image.clone(),
        config: Some(config),
        host_config: Some(host),
        ..ContainerInspectResponse::default()
    };
    assert_eq!(compare(&asked, &got), expected);
}

#[test]
fn a_field_that_the_engine_dropped_or_added_is_a_difference() {
    compared(|_, _| {}, &[]);
    compared(|_, host| host.memory = None, &["Memory is null and not 5"]);
    compared(|_, host| host.privileged = Some(true), &["Privileged is true and not null"]);
    compared(
        |_, host| host.masked_paths = None,
        &[
            "MaskedPaths lacks /proc/kcore",
            "MaskedPaths lacks /proc/keys",
            "MaskedPaths lacks /proc/timer_list",
            "MaskedPaths lacks /sys/firmware",
        ],
    );
    compared(|_, host| host.network_mode = Some("host".to_owned()), &["NetworkMode is \"host\""]);
    compared(
        |config, _| config.env = Some(vec!["PATH=/bin".to_owned(), "LD_PRELOAD=x".to_owned()]),
        &["Env has LD_PRELOAD=x"],
    );
}
