//! What a test against the real engine stands on: a directory of its own, whose name marks all that
//! the test makes in the engine, so that everything goes when it is dropped.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use castoff::runner::harden::LABEL_HOME;

/// The image of the helpers' containers.
pub(crate) const DEBIAN: &str = "debian:trixie-slim";

/// On a real file system: an overlay cannot stand on another overlay.
pub(crate) struct Ground {
    directory: tempfile::TempDir,
}

impl Ground {
    pub(crate) fn new(name: &str) -> Self {
        let prefix = format!("castoff-test-{name}-");
        let directory = tempfile::Builder::new().prefix(&prefix).tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { directory }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// No other ground has it: the value of [`LABEL_HOME`], and the start of names in the engine.
    pub(crate) fn name(&self) -> &str {
        self.path().file_name().unwrap().to_str().unwrap()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let mine = format!("label={LABEL_HOME}={}", self.name());
        let swept = (|| {
            for container in try_docker(&["ps", "-aq", "--filter", &mine], b"")?.split(|byte| *byte == b'\n') {
                remove(&["rm", "-fv"], container)?;
            }
            for volume in try_docker(&["volume", "ls", "-q", "--filter", &mine], b"")?.split(|byte| *byte == b'\n') {
                remove(&["volume", "rm"], volume)?;
            }
            if !rustix::process::getuid().is_root() {
                // The kernel's own directory of an overlay is root's.
                let bind = format!("{}:/ground", self.path().display());
                let delete = ["find", "/ground", "-mindepth", "1", "-delete"];
                let run = ["run", "--rm", "--network", "none", "--user", "0", "-v", &bind, DEBIAN];
                try_docker(&[&run[..], &delete].concat(), b"")?;
            }
            Ok::<(), String>(())
        })();
        if let Err(why) = swept {
            eprintln!("something of {} is left: {why}", self.name());
        }
    }
}

fn remove(how: &[&str], id: &[u8]) -> Result<(), String> {
    let id = String::from_utf8_lossy(id);
    if id.is_empty() { Ok(()) } else { try_docker(&[how, &[id.as_ref()]].concat(), b"").map(drop) }
}

/// Whose the files of a test are. Only root can give them to somebody else, and no container runs as root.
pub(crate) fn owner() -> (u32, u32) {
    let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
    if uid.is_root() { (1000, 1000) } else { (uid.as_raw(), gid.as_raw()) }
}

/// Makes a directory of the owner.
pub(crate) fn directory(path: &Path) -> PathBuf {
    std::fs::create_dir_all(path).unwrap();
    let (uid, gid) = owner();
    chown(path, Some(uid), Some(gid)).unwrap();
    path.to_owned()
}

/// A static program of ours.
pub(crate) fn program(name: &str) -> PathBuf {
    let Some(directory) = std::env::var_os("CASTOFF_BIN_DIR") else {
        panic!(
            "CASTOFF_BIN_DIR is not set: name the directory with the static castoff and castoff-init, or run `make test`"
        )
    };
    let path = PathBuf::from(directory).join(name);
    assert!(path.is_file(), "CASTOFF_BIN_DIR has no `{}`: build it with scripts/build-static", path.display());
    std::fs::canonicalize(path).unwrap()
}

/// The only place that starts a program. The error is for people.
#[expect(clippy::disallowed_methods, reason = "the engine's own client makes what is tested, and takes it away")]
pub(crate) fn try_docker(arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut client = Command::new("docker");
    client.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut client = client.spawn().map_err(|error| format!("docker: {error}"))?;
    // When it ended before it read all, its status says more.
    let sent = client.stdin.take().map(|mut stdin| stdin.write_all(input));
    let output = client.wait_with_output().map_err(|error| format!("docker: {error}"))?;
    if !output.status.success() {
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        return Err(format!("docker {arguments:?}: {out}{err}"));
    }
    sent.transpose().map_err(|error| format!("docker {arguments:?}: {error}"))?;
    Ok(output.stdout)
}
