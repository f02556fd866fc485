//! Promise 12: policy, people and approvals are out of reach of every command and workspace.

use std::fs;

use crate::common::{Castoff, eventually, usual};

#[test]
fn a_workspace_that_overlaps_castoffs_own_directories_is_a_load_error() {
    let paths = [
        "HOME",
        "HOME/config",
        "HOME/state",
        "HOME/state/core",
        "HOME/people/owner",
        "HOME/run",
        "ROOT",
        "/",
        "WORK/../home",
    ];
    for path in paths {
        for mode in ["", ", mode: read", ", mode: direct"] {
            let castoff = Castoff::prepare(&[]);
            castoff.configure("tools.yaml", &format!("files:\n  allowed_paths: [{{ path: \"{path}\"{mode} }}]\n"));
            let config = castoff.home().join("config");
            let answer = castoff.castoff(&["policy", "check", config.to_str().unwrap()]).ended(78);
            assert!(answer.stdout.contains("overlaps") && answer.stdout.contains("tools.yaml:2"), "{path}: {answer:?}");
        }
    }
}

#[test]
fn the_core_does_not_start_with_such_a_workspace() {
    let castoff = Castoff::prepare(&[("tools.yaml", "files:\n  allowed_paths: [\"HOME/config\"]\n")]);
    let answer = castoff.castoff(&["serve"]);
    assert_ne!(answer.code, 0);
    answer.says(&["tools.yaml:2", "overlaps", "hint:"]);
    eventually("no process is left", || (castoff.castoff(&["status"]).code == 69).then_some(()));
}

#[test]
fn no_run_reads_or_writes_policy_store_or_sockets() {
    let castoff = usual();
    let tools = castoff.home().join("config/tools.yaml");
    let before = fs::read(&tools).unwrap();
    let home = castoff.home().display().to_string();
    let scripts = [
        format!("cat {home}/config/tools.yaml"),
        format!("h={home}; cat \"$h\"/config/tools.yaml"),
        format!("cd {home}/config && cat tools.yaml"),
        "cat ../../config/tools.yaml".to_owned(),
        format!("echo 'exec: {{}}' > {home}/config/tools.yaml"),
        format!("h={home}; echo 'exec: {{}}' > \"$h\"/config/tools.yaml"),
        format!("ln -s {home}/config leash; cat leash/tools.yaml"),
        format!("h={home}; ls \"$h\"/state \"$h\"/run/control \"$h\"/config"),
    ];
    for script in scripts {
        let answer = castoff.castoff(&["run", "--yes", "--", &script]);
        assert_ne!(answer.code, 0, "{script}: {answer:?}");
        assert!(
            !answer.stdout.contains("allowed_paths") && !answer.stdout.contains("castoff.sock"),
            "{script}: {answer:?}"
        );
        assert_eq!(fs::read(&tools).unwrap(), before, "{script}");
    }
}
