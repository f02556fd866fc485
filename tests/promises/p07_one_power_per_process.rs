//! Promise 7: one power per process: what touches people's files sees one workspace only, a run sees
//! what its plan says, and Compose gives each zone its own directories.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::common::{text, usual};

fn targets(container: &Value) -> BTreeSet<String> {
    container["Mounts"].as_array().unwrap().iter().map(|mount| text(&mount["Destination"]).to_owned()).collect()
}

fn set(paths: &[&str]) -> BTreeSet<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

#[test]
fn a_run_has_the_mounts_of_its_plan_and_no_other() {
    let castoff = usual();
    let (own, work, home) = (castoff.own(), castoff.work(), castoff.home());
    let live = castoff.begin(&["run", "--", "cat /proc/self/mountinfo; sleep 3"]);
    let container = castoff.live_container();
    let plan = [own.to_str().unwrap(), work.to_str().unwrap()];
    assert_eq!(
        targets(&container),
        set(&[&["/castoff", "/etc/group", "/etc/hosts", "/etc/passwd"], &plan[..]].concat())
    );
    let host = &container["HostConfig"];
    assert_eq!(host["CapDrop"], serde_json::json!(["ALL"]));
    assert_eq!((&host["Privileged"], &host["ReadonlyRootfs"]), (&false.into(), &true.into()));
    assert_eq!(container["Config"]["NetworkDisabled"], true);

    let seen = live.finish().ended(0).stdout;
    for hidden in ["docker.sock", "state/core", "state/keeper", "/config", "run/control", "run/runner"] {
        let hidden = if hidden == "docker.sock" { hidden.to_owned() } else { home.join(hidden).display().to_string() };
        assert!(!seen.contains(&hidden), "{hidden} is mounted: {seen}");
    }
}

#[test]
fn a_run_has_no_interface_but_its_own_loopback() {
    let (_, run) = usual().run_json("true");
    assert_eq!(run["enforced"]["interfaces"], serde_json::json!(["lo"]), "{run}");
}

#[test]
fn a_keeper_has_one_workspace_no_network_and_no_capability() {
    let castoff = usual();
    castoff.run("mkdir -p kept; date > kept/file").ended(0);
    let state = castoff.home().join("state");
    let keepers = castoff.keepers();
    assert!(!keepers.is_empty());
    for keeper in keepers {
        let targets = targets(&keeper);
        let within = |name: &str| {
            let parent = state.join(name).display().to_string();
            targets.iter().filter(|path| path.starts_with(&parent)).count()
        };
        let workspaces = [castoff.own(), castoff.work()];
        let workspaces = workspaces.iter().filter(|path| targets.contains(path.to_str().unwrap())).count();
        assert_eq!(
            (workspaces, within("runner/overlays/"), within("keeper/"), targets.len()),
            (1, 1, 1, 3),
            "{targets:?}"
        );
        let host = &keeper["HostConfig"];
        assert_eq!(keeper["Config"]["NetworkDisabled"], true);
        assert_eq!(host["CapDrop"], serde_json::json!(["ALL"]));
        assert_eq!((&host["Privileged"], &host["ReadonlyRootfs"]), (&false.into(), &true.into()));
        assert!(host["CapAdd"].as_array().is_none_or(Vec::is_empty), "{host}");
        assert!(!text(&keeper["Config"]["User"]).starts_with("0:"));
    }
}

/// What `compose.yaml` gives each zone: its mounts (`HOME` for `CASTOFF_HOME`), network and capabilities.
#[test]
fn compose_gives_each_zone_its_own_directories_and_nothing_else() {
    let text_of_file = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/compose.yaml")).unwrap();
    let file: Value = serde_yaml::from_str(&text_of_file).unwrap();
    let expected: BTreeMap<&str, (&[&str], Option<&str>, Value)> = BTreeMap::from([
        ("prepare", (&["HOME:HOME"][..], Some("none"), serde_json::json!(["CHOWN"]))),
        (
            "runner",
            (
                &[
                    "SOCKET:/var/run/docker.sock",
                    "HOME/config:HOME/config:ro",
                    "HOME/state/runner:HOME/state/runner",
                    "HOME/state/keeper:HOME/state/keeper",
                    "HOME/people:HOME/people",
                    "HOME/run/runner:HOME/run/runner",
                ],
                Some("none"),
                serde_json::json!(["CHOWN"]),
            ),
        ),
        (
            "core",
            (
                &[
                    "HOME/config:HOME/config:ro",
                    "HOME/state/core:HOME/state/core",
                    "HOME/run/control:HOME/run/control",
                    "HOME/run/runner:HOME/run/runner:ro",
                ],
                None,
                Value::Null,
            ),
        ),
    ]);
    let services = file["services"].as_object().unwrap();
    let named: BTreeSet<&str> = services.keys().map(String::as_str).collect();
    assert_eq!(named, expected.keys().copied().collect());
    for (name, (volumes, network, capabilities)) in expected {
        let service = &services[name];
        let found = service["volumes"].as_array().unwrap().iter().map(|volume| {
            let volume = text(volume).replace("${CASTOFF_HOME:-/srv/castoff}", "HOME");
            volume.replace("${CASTOFF_DOCKER_SOCKET:-/var/run/docker.sock}", "SOCKET")
        });
        assert_eq!(found.collect::<BTreeSet<_>>(), set(volumes), "{name}");
        assert_eq!(service["network_mode"].as_str(), network, "{name}");
        assert_eq!(service["cap_add"], capabilities, "{name}");
        for forbidden in ["ports", "privileged", "pid", "ipc", "devices", "extends"] {
            assert!(service[forbidden].is_null(), "{name} has `{forbidden}`");
        }
    }
    let zone = &file["x-zone"];
    assert_eq!((&zone["cap_drop"], &zone["read_only"]), (&serde_json::json!(["ALL"]), &true.into()));
}
