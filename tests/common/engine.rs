//! What the container engine says about one installation, asked with its own command.

use serde_json::Value;

use super::{Castoff, command, eventually};

/// The answer of `docker …`.
pub(crate) fn docker(arguments: &[&str]) -> String {
    let output = command("docker").args(arguments).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "docker {arguments:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

fn ids(arguments: &[&str]) -> Vec<String> {
    docker(arguments).split_whitespace().map(str::to_owned).collect()
}

impl Castoff {
    fn label(&self) -> String {
        format!("label=castoff.home={}", self.home().display())
    }

    /// Every container of this installation.
    pub(crate) fn containers(&self) -> Vec<String> {
        ids(&["ps", "-aq", "--no-trunc", "--filter", &self.label()])
    }

    /// The containers of runs.
    pub(crate) fn run_containers(&self) -> Vec<String> {
        ids(&["ps", "-aq", "--no-trunc", "--filter", &self.label(), "--filter", "label=castoff.run"])
    }

    /// The container of a run, once it is there and running.
    pub(crate) fn container_of(&self, run: &str) -> Value {
        let label = format!("label=castoff.run={run}");
        let look = || ids(&["ps", "-q", "--no-trunc", "--filter", &self.label(), "--filter", &label]).pop();
        inspect(&eventually("the run's container runs", look))
    }

    /// The one container of a run under way, once it is there and running.
    pub(crate) fn live_container(&self) -> Value {
        let look =
            || ids(&["ps", "-q", "--no-trunc", "--filter", &self.label(), "--filter", "label=castoff.run"]).pop();
        inspect(&eventually("a run's container runs", look))
    }

    /// The processes of the containers of this installation, as the host sees them.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let all: Vec<Value> = self.containers().iter().filter_map(|id| look_at(id)).collect();
        let pids = all.iter().filter_map(|one| one["State"]["Pid"].as_u64());
        pids.filter_map(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0).collect()
    }

    /// Returns once no container of a run is left.
    pub(crate) fn no_run_container_is_left(&self) {
        eventually("no container of a run is left", || self.run_containers().is_empty().then_some(()));
    }

    /// The keepers' containers.
    pub(crate) fn keepers(&self) -> Vec<Value> {
        let all = self.containers();
        let all = all.iter().filter_map(|id| look_at(id));
        all.filter(|one| one["Config"]["Entrypoint"].to_string().contains("\"keeper\"")).collect()
    }
}

/// The same, unless the container is gone.
fn look_at(container: &str) -> Option<Value> {
    let output = command("docker").args(["inspect", container]).output().unwrap();
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    all.get(0).cloned()
}

/// Everything that the engine knows of a container.
pub(crate) fn inspect(container: &str) -> Value {
    let all: Value = serde_json::from_str(&docker(&["inspect", container])).unwrap();
    all[0].clone()
}
