//! castoff-init's ready frame against the plan: see [`super::confirm`].

use std::path::Path;

use crate::domain::ids::Digest;
use crate::domain::plan::{Access, CoverKind, Plan};
use crate::domain::run::Enforced;
use crate::protocol::init::{MountInfo, Ready};
use crate::runner::harden::{HOSTNAME, INIT_DIR, LOCKED_BYTES, Places, outer_covers};

/// Mounts that the engine makes by itself, by the start of their path, and their file systems.
const ENGINE: &[(&str, &[&str])] = &[
    ("/proc", &["proc", "tmpfs", "devtmpfs"]),
    ("/sys/fs/cgroup", &["tmpfs", "cgroup", "cgroup2"]),
    ("/sys", &["sysfs", "tmpfs"]),
    ("/dev", &["tmpfs", "devpts", "mqueue"]),
];

pub(super) fn confirm(
    plan: &Plan,
    places: &Places,
    init_digest: &Digest,
    ready: &Ready,
) -> Result<Enforced, Vec<String>> {
    let mut check = Check { ready, user_kernel: user_kernel(places), wrong: Vec::new(), missing: Vec::new() };
    check.identity(places, init_digest);
    check.rlimits(plan);
    check.mounts(plan, places);
    check.network();
    check.cgroup(plan);
    if !check.wrong.is_empty() {
        return Err(check.wrong);
    }
    Ok(Enforced {
        limits: plan.limits.clone(),
        uid: places.uid,
        gid: places.gid,
        runtime: places.runtime.clone().unwrap_or_default(),
        container: String::new(),
        interfaces: ready.interfaces.clone(),
        missing: check.missing,
    })
}

/// gVisor shows its own account of mounts, seccomp and cgroups.
fn user_kernel(places: &Places) -> bool {
    places.runtime.as_deref().is_some_and(|name| name.starts_with("runsc"))
}

struct Check<'a> {
    ready: &'a Ready,
    user_kernel: bool,
    wrong: Vec<String>,
    missing: Vec<String>,
}

impl Check<'_> {
    fn require(&mut self, holds: bool, wrong: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(wrong());
        }
    }

    fn identity(&mut self, places: &Places, init_digest: &Digest) {
        let ready = self.ready;
        self.require(ready.digest == *init_digest, || "castoff-init is not the one that was installed".to_owned());
        self.require(ready.pid == 1, || format!("castoff-init is process {}, not 1", ready.pid));
        self.require(ready.uids == [places.uid; 4], || format!("user ids are {:?}", ready.uids));
        self.require(ready.gids == [places.gid; 4], || format!("group ids are {:?}", ready.gids));
        let groups = ready.groups.iter().all(|group| *group == places.gid);
        self.require(groups, || format!("supplementary groups are {:?}", ready.groups));
        // gVisor shows no ambient set, and no no_new_privs.
        let sets = ready.capabilities.iter().take(if self.user_kernel { 4 } else { 5 });
        let none = sets.copied().all(|set| set == 0);
        self.require(none, || format!("capabilities are {:x?}", ready.capabilities));
        let sealed = ready.no_new_privs || self.user_kernel;
        self.require(sealed, || "a program could gain privileges (no_new_privs is off)".to_owned());
        self.require(ready.not_dumpable, || "castoff-init could be read by the script (dumpable)".to_owned());
        self.require(ready.hostname == HOSTNAME, || format!("the host name is `{}`", ready.hostname));
        if self.user_kernel {
            self.missing.push(
                "seccomp filter, no_new_privs and limits are kept by gVisor, and could not be read back from inside"
                    .to_owned(),
            );
        } else {
            self.require(ready.seccomp == 2, || "there is no seccomp filter".to_owned());
        }
    }

    fn rlimits(&mut self, plan: &Plan) {
        let limits = &plan.limits;
        let expected = [
            ("Max open files", u64::from(limits.open_files)),
            ("Max core file size", 0),
            ("Max file size", limits.file_bytes),
            ("Max locked memory", LOCKED_BYTES.unsigned_abs()),
            ("Max msgqueue size", 0),
            ("Max realtime priority", 0),
        ];
        for (name, most) in expected {
            let found = self.ready.rlimits.iter().find(|(other, _, _)| other == name);
            let holds = found.is_some_and(|(_, soft, hard)| *soft <= most && *hard <= most);
            self.require(holds, || format!("`{name}` is {found:?}, not {most}"));
        }
    }

    fn mounts(&mut self, plan: &Plan, places: &Places) {
        let mut expected = vec!["/".to_owned(), INIT_DIR.to_owned(), "/tmp".to_owned()];
        self.mount("/", "the root is read-only", |mount| option(mount, "ro"));
        self.mount(INIT_DIR, "castoff-init's directory is read-only", |mount| option(mount, "ro"));
        let user_kernel = self.user_kernel;
        self.mount("/tmp", "it is a tmpfs without devices and set-user-id", |mount| {
            mount.fs_type == "tmpfs" && (user_kernel || option(mount, "nosuid") && option(mount, "nodev"))
        });
        let files = [("/etc/passwd", &places.passwd), ("/etc/group", &places.group), ("/etc/hosts", &places.hosts)];
        for (target, source) in files {
            expected.push(target.to_owned());
            self.mount(target, "it is the run's own file, read-only", |mount| {
                option(mount, "ro") && is_of(mount, source)
            });
        }
        for mount in &plan.mounts {
            let target = mount.path.to_string_lossy().into_owned();
            match mount.access {
                Access::Overlay => self.mount(&target, "it is a copy-on-write view of the same path", |found| {
                    option(found, "rw") && (user_kernel || is_overlay(found, &target))
                }),
                Access::Read => self.mount(&target, "it is the same path, read-only", |found| {
                    option(found, "ro") && is_of(found, &mount.path)
                }),
                Access::Direct => self.mount(&target, "it is the same path, writable", |found| {
                    option(found, "rw") && is_of(found, &mount.path)
                }),
            }
            expected.push(target);
        }
        for cover in outer_covers(plan) {
            let target = cover.path.to_string_lossy().into_owned();
            self.mount(&target, "it is hidden", |found| {
                let hidden = match cover.kind {
                    CoverKind::Directory => found.fs_type == "tmpfs",
                    CoverKind::File => found.root == "/null" || found.root == "/dev/null",
                };
                option(found, "ro") && (hidden || user_kernel)
            });
            expected.push(target);
        }
        self.nothing_else(&expected);
    }

    /// The last mount at `target` is what the run sees.
    fn mount(&mut self, target: &str, claim: &str, holds: impl Fn(&MountInfo) -> bool) {
        let found = self.ready.mounts.iter().rfind(|mount| mount.target == target);
        // The engine makes volumes slaves of the host: what is mounted in a run does not get out.
        let inward = found.is_some_and(|mount| !mount.propagation.contains("shared:"));
        self.require(found.is_some_and(&holds) && inward, || {
            let seen = found.map_or_else(|| "there is no mount".to_owned(), line);
            format!("mount `{target}`: not so that {claim}: {seen}")
        });
    }

    fn nothing_else(&mut self, expected: &[String]) {
        for mount in &self.ready.mounts {
            let socket = [&mount.target, &mount.root, &mount.source].iter().any(|text| text.contains("docker.sock"));
            self.require(!socket, || format!("the engine's socket is mounted: {}", line(mount)));
            let known = expected.contains(&mount.target) || of_the_engine(mount);
            self.require(known || self.user_kernel && mount.target.starts_with("/dev"), || {
                format!("a mount that nobody asked for: {}", line(mount))
            });
        }
        for target in expected {
            let count = self.ready.mounts.iter().filter(|mount| mount.target == *target).count();
            // The engine's own /etc/hosts lies below the run's.
            self.require(count < 2 || target == "/etc/hosts", || format!("`{target}` is mounted {count} times"));
        }
    }

    fn network(&mut self) {
        let ready = self.ready;
        let lonely = ready.interfaces.iter().all(|name| name == "lo");
        self.require(lonely, || format!("network interfaces are {:?}", ready.interfaces));
        let resolver = ready.resolv_conf.lines().any(|line| line.trim_start().starts_with("nameserver"));
        self.require(!resolver, || "the host's resolver shows in /etc/resolv.conf".to_owned());
    }

    fn cgroup(&mut self, plan: &Plan) {
        if self.user_kernel {
            return;
        }
        let limits = &plan.limits;
        // The kernel rounds down to pages.
        let memory = limits.memory_bytes & !4095;
        self.readable("memory", &["memory.max", "memory.limit_in_bytes"], |text| number(text) == Some(memory));
        self.readable("processes", &["pids.max"], |text| number(text) == Some(limits.pids.into()));
        let cpu = u64::from(limits.cpu_millis);
        self.readable("CPU", &["cpu.max", "cpu.cfs_quota_us"], |text| {
            let mut words = text.split_whitespace().map(|word| word.parse::<u64>().ok());
            let (quota, period) = (words.next().flatten(), words.next().flatten().unwrap_or(100_000));
            quota.is_some_and(|quota| quota.saturating_mul(1000) <= period.saturating_mul(cpu))
        });
    }

    /// A limit that the engine keeps outside of the run: wrong if it shows and differs.
    fn readable(&mut self, name: &str, files: &[&str], holds: impl Fn(&str) -> bool) {
        match self.ready.cgroup.iter().find(|(file, _)| files.contains(&file.as_str())) {
            Some((file, text)) => self.require(holds(text), || format!("the limit on {name}, `{file}`, is {text}")),
            None => self.missing.push(format!("the limit on {name} could not be read back from inside")),
        }
    }
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

fn option(mount: &MountInfo, name: &str) -> bool {
    mount.options.split(',').any(|option| option == name)
}

/// Whether a bind shows `source`. Its root is relative to its own file system, so it ends in the
/// same name, or is `/` where a file system is mounted there; a symlink's target ends in another.
fn is_of(mount: &MountInfo, source: &Path) -> bool {
    let same_name = mount.root == "/" || Path::new(&mount.root).file_name() == source.file_name();
    same_name && mount.propagation.is_empty()
}

fn is_overlay(mount: &MountInfo, lower: &str) -> bool {
    let has = |wanted: &str| mount.super_options.split(',').any(|option| option == wanted);
    mount.fs_type == "overlay" && has("userxattr") && has(&format!("lowerdir={lower}"))
}

fn of_the_engine(mount: &MountInfo) -> bool {
    if ["/etc/resolv.conf", "/etc/hostname", "/etc/hosts"].contains(&mount.target.as_str()) {
        return true;
    }
    let target = Path::new(&mount.target);
    // crun hides a directory of /proc or /sys with one of its own.
    let masked = mount.root.ends_with("/.empty-directory") && option(mount, "ro");
    if masked && (target.starts_with("/proc") || target.starts_with("/sys")) {
        return true;
    }
    let kinds = ENGINE.iter().find(|(start, _)| target.starts_with(start)).map(|(_, kinds)| *kinds);
    kinds.is_some_and(|kinds| kinds.contains(&mount.fs_type.as_str()))
}

fn line(mount: &MountInfo) -> String {
    let MountInfo { root, target, options, propagation, fs_type, source, super_options, .. } = mount;
    format!("{root} {target} {options} {propagation} {fs_type} {source} {super_options}")
}
