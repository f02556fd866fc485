//! The attacks: scripts that run, and what must have come of them.

use std::path::Path;

use super::ground::{Ground, Heard};
use super::{Finding, Row};
use crate::domain::ids::RunId;
use crate::domain::limits::Limits;
use crate::domain::run::{Ending, StopCause};

/// What is written beside the home before the attacks, and must be there after them.
pub(super) const UNTOUCHED: &str = "the host's\n";

const MIB: u64 = 1 << 20;
/// What a script has beyond its wall time, kill and exit frame included.
const KILL_MS_MAX: u64 = 6000;

/// A script whose end tells.
struct Attack {
    name: &'static str,
    tried: &'static str,
    script: &'static str,
    limits: fn(&mut Limits),
    /// Whether the wall held, and what was seen.
    judge: fn(&Heard, &Limits) -> (bool, String),
}

const ATTACKS: &[Attack] = &[
    Attack {
        name: "number of processes",
        tried: "start 200 processes, 32 allowed",
        script: "sh -c 'i=0; while [ $i -lt 200 ]; do sleep 3 & i=$((i+1)); echo $i; done'; true",
        limits: |limits| limits.pids = 32,
        judge: |heard, limits| {
            let most = heard.text.lines().filter_map(|line| line.parse::<u32>().ok()).max().unwrap_or(0);
            (most > 0 && most < limits.pids, format!("{most} started"))
        },
    },
    Attack {
        name: "fork bomb",
        tried: ":(){ :|:& };: for 3 s, 32 processes",
        script: "bomb() { bomb | bomb & }; bomb 2> /dev/null; while :; do :; done",
        limits: |limits| (limits.pids, limits.wall_time_ms) = (32, 3000),
        judge: |heard, limits| {
            (!matches!(heard.end.ending, Ending::Failed { .. }) && in_time(heard, limits), ending(heard))
        },
    },
    Attack {
        name: "memory",
        tried: "hold 300 MiB, 64 MiB allowed",
        script: "head -c 300M /dev/zero | tail | wc -c",
        limits: |limits| limits.memory_bytes = 64 * MIB,
        judge: |heard, _| {
            (!matches!(heard.end.ending, Ending::Failed { .. }) && !heard.text.contains("314572800"), ending(heard))
        },
    },
    Attack {
        name: "disk, all at once",
        tried: "fallocate -l 1G",
        script: "fallocate -l 1G big && echo allocated",
        limits: |limits| limits.disk_bytes = 16 * MIB,
        judge: |heard, _| (ran(heard) && !heard.text.contains("allocated"), ending(heard)),
    },
    Attack {
        name: "disk",
        tried: "write for ever, 16 MiB allowed",
        script: "while :; do head -c 8M /dev/zero >> filler; done",
        limits: |limits| limits.disk_bytes = 16 * MIB,
        judge: |heard, _| (stopped(heard, StopCause::DiskCap), ending(heard)),
    },
    Attack {
        name: "files on disk",
        tried: "make files for ever, 1000 allowed",
        script: "i=0; while :; do i=$((i+1)); : > n$i; done",
        limits: |limits| limits.disk_files = 1000,
        judge: |heard, _| (stopped(heard, StopCause::FilesCap), ending(heard)),
    },
    Attack {
        name: "output",
        tried: "yes, 64 KiB allowed",
        script: "yes",
        limits: |limits| limits.output_bytes = 64 << 10,
        judge: |heard, limits| {
            let usage = &heard.end.usage;
            let capped = usage.stdout_bytes.saturating_add(usage.stderr_bytes) <= limits.output_bytes;
            (stopped(heard, StopCause::OutputCap) && capped, format!("{}, {} bytes", ending(heard), heard.bytes))
        },
    },
    Attack {
        name: "wall time",
        tried: "a grandchild in a session of its own that ignores TERM",
        script: "trap '' TERM HUP INT\nsetsid sh -c 'trap \"\" TERM HUP INT; while :; do sleep 1; done' &\nwhile :; do sleep 1; done",
        limits: |limits| limits.wall_time_ms = 1000,
        judge: |heard, limits| (stopped(heard, StopCause::Timeout) && in_time(heard, limits), ending(heard)),
    },
    Attack {
        name: "no daemon stays",
        tried: "setsid sleep 1000 &, then end",
        script: "setsid sleep 1000 > /dev/null 2>&1 &\nexit 0",
        limits: |_| {},
        judge: |heard, limits| (ran(heard) && in_time(heard, limits), ending(heard)),
    },
];

/// Waits for the runner and tries everything.
pub(super) async fn all(ground: &mut Ground, rows: &mut Vec<Row>) -> anyhow::Result<()> {
    ground.ready().await?;
    walls(ground, rows).await?;
    for attack in ATTACKS {
        let mut limits = small();
        (attack.limits)(&mut limits);
        let heard = ground.run(attack.script, limits.clone()).await?;
        let (held, saw) = (attack.judge)(&heard, &limits);
        rows.push(Row::of(attack.name, attack.tried, held, saw));
    }
    changes(ground, rows).await
}

fn small() -> Limits {
    Limits {
        wall_time_ms: 60_000,
        memory_bytes: 256 * MIB,
        cpu_millis: 1000,
        pids: 64,
        open_files: 128,
        file_bytes: 256 * MIB,
        output_bytes: MIB,
        disk_bytes: 256 * MIB,
        tmp_bytes: 16 * MIB,
        ..Limits::default()
    }
}

fn ran(heard: &Heard) -> bool {
    heard.end.ending.by_itself()
}

fn stopped(heard: &Heard, by: StopCause) -> bool {
    heard.end.ending == Ending::Stopped { cause: by }
}

fn in_time(heard: &Heard, limits: &Limits) -> bool {
    heard.end.ended.ms_since(heard.end.started) <= limits.wall_time_ms + KILL_MS_MAX
}

fn ending(heard: &Heard) -> String {
    match &heard.end.ending {
        Ending::Exited { code } => format!("exit code {code}"),
        Ending::Signalled { signal, .. } => format!("ended by signal {signal}"),
        Ending::Stopped { cause } => format!("stopped: {cause:?}"),
        Ending::Failed { why } => why.clone(),
    }
}

/// The script of many small attacks, each with a row.
async fn walls(ground: &mut Ground, rows: &mut Vec<Row>) -> anyhow::Result<()> {
    let heard = ground.run(include_str!("attack.sh"), Limits { file_bytes: 8 * MIB, ..small() }).await?;
    let whole = heard.text.lines().last() == Some("end");
    rows.push(Row::of("the attacks ran", "a run with an overlay (userxattr)", whole, ending(&heard)));
    rows.extend(heard.text.lines().filter_map(row));
    for why in heard.end.enforced.iter().flat_map(|enforced| &enforced.missing) {
        // The engine's options were told before.
        if !rows.iter().any(|row| row.saw == *why) {
            rows.push(Row::new("engine", "what castoff-init found", Finding::NotEnforced, why));
        }
    }
    Ok(())
}

/// A row as `attack.sh` prints it.
fn row(line: &str) -> Option<Row> {
    let mut fields = line.strip_prefix("check\t")?.splitn(4, '\t');
    let (result, name, tried) = (fields.next()?, fields.next()?, fields.next()?);
    let finding = match result {
        "held" => Finding::Held,
        "none" => Finding::NotEnforced,
        _ => Finding::NotHeld,
    };
    Some(Row::new(name, tried, finding, fields.next().unwrap_or_default()))
}

/// What stands in the home before the tricks.
const BEFORE: &str = "mkdir dir && echo old > dir/f && echo kept > kept";
/// Changes that would hurt if they were followed or landed.
const TRICKS: &str = r#"rm -r dir && ln -s "$DOCTOR_OUTSIDE" dir; echo owned > dir/f
ln -s ../../../outside/f up; ln -s /etc/passwd passwd; ln /etc/os-release hard; mkfifo pipe
cp /bin/sh sh && chmod 6755 sh
mknod kept.new c 0 0 && mv kept.new kept
perl -e 'use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0) && bind($s, pack_sockaddr_un("sock"))'; true"#;
/// Writes through what landed.
const THROUGH: &str = "echo owned > dir/f; echo owned > up; rm dir; mkdir dir && echo owned > dir/f; true";

/// Tricks in an overlay that must not reach the host when the changes land.
async fn changes(ground: &mut Ground, rows: &mut Vec<Row>) -> anyhow::Result<()> {
    let (workspace, outside) = (ground.workspace(), ground.outside());
    land(ground, BEFORE).await?;
    let untouched = || std::fs::read_to_string(outside.join("f")).is_ok_and(|text| text == UNTOUCHED);
    let alone = || std::fs::read_dir(&outside).is_ok_and(|entries| entries.count() == 1);

    land(ground, TRICKS).await?;
    let is_dir_link = std::fs::symlink_metadata(workspace.join("dir")).is_ok_and(|found| found.is_symlink());
    let saw = if is_dir_link { "it landed as a link" } else { "it did not land" };
    rows.push(Row::of("a directory turned into a link", "dir -> a directory of the host", untouched() && alone(), saw));
    let special = special(&workspace);
    rows.push(Row::of("pipes and sockets do not land", "mkfifo, bind a socket", special.is_empty(), special));
    let setuid = mode(&workspace.join("sh")) & 0o6000;
    rows.push(Row::of("setuid does not land", "chmod 6755 sh", setuid == 0, format!("{setuid:o}")));
    let passwd = hard_linked(&workspace);
    rows.push(Row::of("hard links do not reach out", "ln /etc/os-release", passwd.is_empty(), passwd));
    let kept = std::fs::read_to_string(workspace.join("kept")).is_ok_and(|text| text == "kept\n");
    rows.push(Row::of("a forged whiteout deletes nothing", "mknod c 0 0 over a file", kept, ""));

    land(ground, THROUGH).await?;
    let held = untouched() && alone();
    rows.push(Row::of("nothing is written through a link", "write to a link that landed", held, ""));
    Ok(())
}

/// Runs a script and lands its changes.
async fn land(ground: &mut Ground, script: &str) -> anyhow::Result<RunId> {
    let heard = ground.run(script, small()).await?;
    if let Ending::Failed { why } = &heard.end.ending {
        anyhow::bail!("a run could not start: {why}");
    }
    ground.apply(&heard.run).await?;
    Ok(heard.run)
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::symlink_metadata(path).map_or(0, |found| found.mode())
}

/// Entries of the workspace that are neither files, directories nor links.
fn special(workspace: &Path) -> String {
    let found = std::fs::read_dir(workspace).into_iter().flatten().flatten();
    let special = found
        .filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_file() && !kind.is_dir() && !kind.is_symlink()));
    special.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Files of the workspace that are also elsewhere.
fn hard_linked(workspace: &Path) -> String {
    use std::os::unix::fs::MetadataExt as _;
    let found = std::fs::read_dir(workspace).into_iter().flatten().flatten();
    let linked = found.filter(|entry| entry.metadata().is_ok_and(|found| found.is_file() && found.nlink() > 1));
    linked.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_the_script_is_read_and_anything_else_is_not() {
        let held = row("check\theld\tnot root\tid -u\tuid 1000").unwrap();
        assert_eq!((held.finding, held.name.as_str(), held.saw.as_str()), (Finding::Held, "not root", "uid 1000"));
        assert_eq!(row("check\topen\tmount\tmount -t tmpfs\t").unwrap().finding, Finding::NotHeld);
        assert!(row("held\tnot root").is_none());
    }
}
