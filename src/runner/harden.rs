//! The configurations of every container that the runner makes: pure, from a plan and from places
//! that the runner made. Nothing of a request stands in one unchecked, and what is not asked for by
//! name here is refused by [`super::readback::compare`].
//!
//! ```text
//!  run     /castoff (volume, read-only)  plan's mounts  covers  /etc/{passwd,group,hosts}  /tmp
//!  keeper  one workspace, its overlays, its state, all read-write
//!  probe   one path, read-only
//! ```

mod paths;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, Mount,
    MountBindOptions, MountBindOptionsPropagationEnum, MountType, MountVolumeOptions, ResourcesUlimits, RestartPolicy,
    RestartPolicyNameEnum, VolumeCreateRequest,
};

use self::paths::{normal, path_fits, refused, text};
use super::seccomp;
use crate::domain::ids::RunId;
use crate::domain::limits::Limits;
use crate::domain::plan::{Access, CoverKind, Plan};

/// The directory of castoff-init in its image and in runs; the volume lies over it.
pub const INIT_DIR: &str = "/castoff";
/// castoff-init, in its image and in runs.
pub const INIT_PATH: &str = "/castoff/castoff-init";
/// `castoff`, in the keeper's image.
pub const KEEPER_PATH: &str = "/castoff/castoff";
/// Host name of every container.
pub const HOSTNAME: &str = "castoff";
/// Size of `/dev/shm`, in bytes; counts as memory.
pub const SHM_BYTES: i64 = 32 << 20;
/// Memory that one process may lock, in bytes.
pub const LOCKED_BYTES: i64 = 64 << 10;

/// Which run a container is for.
pub const LABEL_RUN: &str = "castoff.run";
/// Whose run it is.
pub const LABEL_PERSON: &str = "castoff.person";
/// The digest of its plan.
pub const LABEL_PLAN: &str = "castoff.plan";
/// Which installation made a container or volume: only that one removes it.
pub const LABEL_HOME: &str = "castoff.home";

const SEARCH_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Files and directories of a `/tmp` at once.
const TMP_INODES: u32 = 131_072;
const CPU_SHARES: i64 = 256;
const NANO_PER_MILLI: i64 = 1_000_000;

/// What the runner made for one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The run.
    pub run: RunId,
    /// Value of [`LABEL_HOME`].
    pub home_label: String,
    /// Volume with castoff-init.
    pub init_volume: String,
    /// For each overlay mount of the plan: its path, and the volume.
    pub overlays: Vec<(PathBuf, String)>,
    /// Host path of the file that becomes `/etc/passwd`.
    pub passwd: PathBuf,
    /// Likewise `/etc/group`.
    pub group: PathBuf,
    /// Likewise `/etc/hosts`.
    pub hosts: PathBuf,
    /// Whom the script runs as; never 0.
    pub uid: u32,
    /// See `uid`.
    pub gid: u32,
    /// The engine's runtime; `None`: its default.
    pub runtime: Option<String>,
}

/// What the runner made for the keeper of one workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeeperPlaces {
    /// Id of the keeper's image.
    pub image: String,
    /// The workspace.
    pub workspace: PathBuf,
    /// The directory of the overlays of its runs.
    pub overlays: PathBuf,
    /// The directory of its journal and before-images.
    pub state: PathBuf,
    /// Whose files they are; never 0.
    pub uid: u32,
    /// See `uid`.
    pub gid: u32,
}

/// Why a container is not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HardenError {
    /// A path that a container may not have.
    #[error("mount `{path}`: {why}")]
    Path {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// An image by another name than its id.
    #[error("start from image `{0}`: it is not an image id (sha256:…)")]
    Image(String),
    /// User or group 0.
    #[error("start a container as root: choose another files uid and gid")]
    Root,
    /// A limit of 0, or beyond what the engine takes.
    #[error("set the limit on {0}: it is 0 or too large")]
    Limit(&'static str),
}

/// The container of one run. Its mounts are ordered from the outside in.
pub fn run_container(plan: &Plan, places: &Places) -> Result<ContainerCreateBody, HardenError> {
    let host_config = HostConfig {
        mounts: Some(run_mounts(plan, places)?),
        tmpfs: Some(run_tmpfs(plan)?),
        runtime: places.runtime.clone(),
        ..hardened(&plan.limits)?
    };
    let labels = HashMap::from([
        (LABEL_RUN.to_owned(), places.run.to_string()),
        (LABEL_PERSON.to_owned(), plan.person.to_string()),
        (LABEL_PLAN.to_owned(), plan.digest().to_string()),
        (LABEL_HOME.to_owned(), places.home_label.clone()),
    ]);
    body(&plan.image.id, (places.uid, places.gid), vec![INIT_PATH.to_owned()], labels, host_config)
}

/// The container of a workspace's keeper: `castoff keeper`, which speaks on its standard streams.
pub fn keeper_container(
    places: &KeeperPlaces,
    labels: HashMap<String, String>,
) -> Result<ContainerCreateBody, HardenError> {
    path_fits(&places.workspace)?;
    let mut mounts = Vec::new();
    for path in [&places.workspace, &places.overlays, &places.state] {
        mounts.push(bind(path, path, false)?);
    }
    mounts.sort_by(|a, b| a.target.cmp(&b.target));
    // As large as a run may write, and no /tmp.
    let limits = Limits { memory_bytes: 512 << 20, cpu_millis: 1000, pids: 64, open_files: 4096, ..Limits::default() };
    let mut host_config = HostConfig { mounts: Some(mounts), ..hardened(&limits)? };
    if let Some(ulimits) = &mut host_config.ulimits {
        // It copies files that were there before any limit.
        ulimits.retain(|ulimit| ulimit.name.as_deref() != Some("fsize"));
    }
    let entrypoint = vec![KEEPER_PATH.to_owned(), "keeper".to_owned()];
    body(&places.image, (places.uid, places.gid), entrypoint, labels, host_config)
}

/// The container that tells what really is mounted for `path`: `castoff-init probe PATH`.
pub fn probe_container(
    image: &str,
    path: &Path,
    labels: HashMap<String, String>,
) -> Result<ContainerCreateBody, HardenError> {
    path_fits(path)?;
    let limits = Limits { memory_bytes: 64 << 20, cpu_millis: 1000, pids: 8, open_files: 64, ..Limits::default() };
    let host_config = HostConfig { mounts: Some(vec![bind(path, path, true)?]), ..hardened(&limits)? };
    let entrypoint = vec![INIT_PATH.to_owned(), "probe".to_owned(), text(path)?];
    body(image, (65534, 65534), entrypoint, labels, host_config)
}

/// The copy-on-write view of `lower` as a volume. The engine mounts it when the container starts.
/// Refuses paths that would end an option of the mount or start another (`,`, `:`, `\`).
pub fn overlay_volume(
    name: &str,
    lower: &Path,
    upper: &Path,
    work: &Path,
    labels: HashMap<String, String>,
) -> Result<VolumeCreateRequest, HardenError> {
    let mut option = String::new();
    for (key, path) in [("lowerdir", lower), ("upperdir", upper), ("workdir", work)] {
        let path_text = text(path)?;
        if path_text.contains([',', ':', '\\']) {
            return Err(refused(path, "an overlay cannot have a path with a comma, colon or backslash"));
        }
        normal(path)?;
        option = format!("{option}{key}={path_text},");
    }
    Ok(VolumeCreateRequest {
        name: Some(name.to_owned()),
        driver: Some("local".to_owned()),
        driver_opts: Some(HashMap::from([
            ("type".to_owned(), "overlay".to_owned()),
            ("device".to_owned(), "overlay".to_owned()),
            ("o".to_owned(), format!("{option}userxattr,nosuid,nodev")),
        ])),
        labels: Some(labels),
        ..VolumeCreateRequest::default()
    })
}

/// The covers that need a mount: those below a covered directory are hidden by it.
pub(super) fn outer_covers(plan: &Plan) -> Vec<&crate::domain::plan::Cover> {
    let hides = |path: &Path| {
        let mut covers = plan.covers.iter().filter(|other| other.kind == CoverKind::Directory);
        covers.any(|other| other.path != path && path.starts_with(&other.path))
    };
    let mut covers: Vec<_> = plan.covers.iter().filter(|cover| !hides(&cover.path)).collect();
    covers.sort_by(|a, b| a.path.cmp(&b.path));
    covers.dedup_by(|a, b| a.path == b.path);
    covers
}

fn run_mounts(plan: &Plan, places: &Places) -> Result<Vec<Mount>, HardenError> {
    let mut mounts = vec![
        volume(Path::new(INIT_DIR), &places.init_volume, true)?,
        bind(&places.passwd, Path::new("/etc/passwd"), true)?,
        bind(&places.group, Path::new("/etc/group"), true)?,
        bind(&places.hosts, Path::new("/etc/hosts"), true)?,
    ];
    for mount in &plan.mounts {
        path_fits(&mount.path)?;
        if plan.covers.iter().any(|cover| mount.path.starts_with(&cover.path)) {
            return Err(refused(&mount.path, "it lies below a path that is hidden from the run"));
        }
        mounts.push(match mount.access {
            Access::Overlay => {
                let mut overlays = places.overlays.iter();
                let (path, name) = overlays
                    .find(|(path, _)| *path == mount.path)
                    .ok_or_else(|| refused(&mount.path, "there is no overlay for it"))?;
                volume(path, name, false)?
            }
            Access::Read => bind(&mount.path, &mount.path, true)?,
            Access::Direct => bind(&mount.path, &mount.path, false)?,
        });
    }
    for cover in outer_covers(plan) {
        normal(&cover.path)?;
        if !plan.mounts.iter().any(|mount| cover.path != mount.path && cover.path.starts_with(&mount.path)) {
            return Err(refused(&cover.path, "it is to be hidden, but lies in no mount"));
        }
        if cover.kind == CoverKind::File {
            mounts.push(bind(Path::new("/dev/null"), &cover.path, true)?);
        }
    }
    mounts.sort_by(|a, b| a.target.cmp(&b.target));
    match mounts.windows(2).find(|pair| matches!(pair, [a, b] if a.target == b.target)) {
        Some(pair) => {
            let path = pair.first().and_then(|mount| mount.target.clone()).unwrap_or_default();
            Err(refused(Path::new(&path), "it is mounted twice"))
        }
        None => Ok(mounts),
    }
}

fn run_tmpfs(plan: &Plan) -> Result<HashMap<String, String>, HardenError> {
    let size = plan.limits.tmp_bytes;
    let options = format!("rw,exec,nosuid,nodev,size={size},nr_inodes={TMP_INODES},mode=1777");
    let mut tmpfs = HashMap::from([("/tmp".to_owned(), options)]);
    for cover in outer_covers(plan) {
        if cover.kind == CoverKind::Directory {
            tmpfs.insert(text(&cover.path)?, "ro,noexec,nosuid,nodev,size=4k,nr_inodes=1,mode=555".to_owned());
        }
    }
    Ok(tmpfs)
}

fn body(
    image: &str,
    (uid, gid): (u32, u32),
    entrypoint: Vec<String>,
    labels: HashMap<String, String>,
    host_config: HostConfig,
) -> Result<ContainerCreateBody, HardenError> {
    if !image.starts_with("sha256:") {
        return Err(HardenError::Image(image.to_owned()));
    }
    if uid == 0 || gid == 0 {
        return Err(HardenError::Root);
    }
    Ok(ContainerCreateBody {
        image: Some(image.to_owned()),
        user: Some(format!("{uid}:{gid}")),
        hostname: Some(HOSTNAME.to_owned()),
        entrypoint: Some(entrypoint),
        cmd: Some(Vec::new()),
        env: Some(vec![SEARCH_PATH.to_owned()]),
        working_dir: Some("/".to_owned()),
        // Half the start time of NetworkMode `none`, and no trace of the host's resolver.
        network_disabled: Some(true),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        open_stdin: Some(true),
        // End of input when the runner dies.
        stdin_once: Some(true),
        tty: Some(false),
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }),
        labels: Some(labels),
        host_config: Some(host_config),
        ..ContainerCreateBody::default()
    })
}

fn hardened(limits: &Limits) -> Result<HostConfig, HardenError> {
    let memory = number(limits.memory_bytes, "memory")?;
    let open_files = number(limits.open_files.into(), "open files")?;
    let ulimits = [
        ("nofile", open_files),
        ("core", 0),
        ("fsize", number(limits.file_bytes, "file size")?),
        ("memlock", LOCKED_BYTES),
        ("msgqueue", 0),
        ("rtprio", 0),
    ];
    let ulimit = |(name, most): (&str, i64)| ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(most),
        hard: Some(most),
    };
    Ok(HostConfig {
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges:true".to_owned(), format!("seccomp={}", seccomp::profile())]),
        privileged: Some(false),
        readonly_rootfs: Some(true),
        ipc_mode: Some("private".to_owned()),
        shm_size: Some(SHM_BYTES),
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
        pids_limit: Some(number(limits.pids.into(), "processes")?),
        memory: Some(memory),
        // Equal: no swap.
        memory_swap: Some(memory),
        nano_cpus: Some(number(limits.cpu_millis.into(), "CPU")?.saturating_mul(NANO_PER_MILLI)),
        cpu_shares: Some(CPU_SHARES),
        ulimits: Some(ulimits.into_iter().map(ulimit).collect()),
        oom_score_adj: Some(500),
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None }),
        auto_remove: Some(false),
        init: Some(false),
        ..HostConfig::default()
    })
}

fn number(limit: u64, name: &'static str) -> Result<i64, HardenError> {
    i64::try_from(limit).ok().filter(|number| *number > 0).ok_or(HardenError::Limit(name))
}

/// One directory or file of the host, without what is mounted below it: an overlay does not show
/// that either, and engines before 25 would leave it writable in a read-only mount.
fn bind(source: &Path, target: &Path, read_only: bool) -> Result<Mount, HardenError> {
    normal(source)?;
    normal(target)?;
    Ok(Mount {
        typ: Some(MountType::BIND),
        source: Some(text(source)?),
        target: Some(text(target)?),
        read_only: Some(read_only),
        bind_options: Some(MountBindOptions {
            propagation: Some(MountBindOptionsPropagationEnum::RPRIVATE),
            non_recursive: Some(true),
            ..MountBindOptions::default()
        }),
        ..Mount::default()
    })
}

fn volume(target: &Path, name: &str, read_only: bool) -> Result<Mount, HardenError> {
    Ok(Mount {
        typ: Some(MountType::VOLUME),
        source: Some(name.to_owned()),
        target: Some(text(target)?),
        read_only: Some(read_only),
        // Else the engine copies what the image has there, and resets the owner of the root.
        volume_options: Some(MountVolumeOptions { no_copy: Some(true), ..MountVolumeOptions::default() }),
        ..Mount::default()
    })
}

#[cfg(test)]
mod tests;
