//! Promise 8: core and runner own no listening inet socket, and no container publishes a port.

use std::collections::BTreeSet;
use std::fs;

use crate::common::engine::inspect;
use crate::common::processes::descendants;
use crate::common::{Castoff, USUAL};

/// Inodes of this network namespace's sockets in a table of /proc/net: of TCP those that listen.
fn table(name: &str) -> BTreeSet<u64> {
    let text = fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default();
    let rows = text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let wanted = rows.filter(|row| !name.starts_with("tcp") || row.get(3) == Some(&"0A"));
    wanted.filter_map(|row| row.get(9)?.parse().ok()).collect()
}

#[test]
fn core_and_runner_listen_nowhere_while_a_run_is_live() {
    let castoff = Castoff::start(USUAL);
    let live = castoff.begin(&["run", "--", "sleep 3; date > file"]);
    let container = castoff.live_container();
    let mut ours = descendants(castoff.core_process());
    ours.push(castoff.core_process());
    assert_eq!(ours.len(), 2);
    let open: BTreeSet<u64> = ours.iter().flat_map(|process| process.sockets()).collect();
    assert!(open.len() >= 4, "the sockets between core, runner and engine were not seen: {open:?}");
    for name in ["tcp", "tcp6", "udp", "udp6", "raw", "raw6"] {
        let common: Vec<_> = table(name).intersection(&open).copied().collect();
        assert_eq!(common, Vec::<u64>::new(), "{name}");
    }
    assert_eq!(container["Config"]["NetworkDisabled"], true);
    live.finish().ended(0);
    let all = castoff.containers();
    assert!(!all.is_empty(), "the keeper is there");
    for container in all.iter().map(|id| inspect(id)).chain([container]) {
        let ports = [&container["NetworkSettings"]["Ports"], &container["HostConfig"]["PortBindings"]];
        assert!(ports.iter().all(|ports| ports.as_object().is_none_or(serde_json::Map::is_empty)), "{ports:?}");
        assert_ne!(container["HostConfig"]["PublishAllPorts"], true);
        assert_ne!(container["HostConfig"]["NetworkMode"], "host");
    }
}
