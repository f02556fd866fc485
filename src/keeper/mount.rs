//! The mount that a path is seen through, from `/proc/self/mountinfo` (proc_pid_mountinfo(5)).

use std::path::Path;

use crate::protocol::init::MountInfo;

/// The mount of `path`; `None` where proc is not mounted or does not say.
pub(super) fn of(path: &Path) -> Option<MountInfo> {
    innermost(&std::fs::read_to_string("/proc/self/mountinfo").ok()?, path)
}

fn innermost(table: &str, path: &Path) -> Option<MountInfo> {
    // Of two mounts at one place the later one is seen.
    let mounts = table.lines().filter_map(parse).filter(|mount| path.starts_with(&mount.target));
    mounts.max_by_key(|mount| Path::new(&mount.target).components().count())
}

fn parse(line: &str) -> Option<MountInfo> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(2);
    let mut right = right.split(' ');
    let (device, root, target, options) = (left.next()?, left.next()?, left.next()?, left.next()?);
    Some(MountInfo {
        device: device.to_owned(),
        root: unescaped(root),
        target: unescaped(target),
        options: options.to_owned(),
        propagation: left.collect::<Vec<_>>().join(" "),
        fs_type: right.next()?.to_owned(),
        source: unescaped(right.next()?),
        super_options: right.next().unwrap_or_default().to_owned(),
    })
}

/// Space, tab, newline and backslash are written as `\` and three octal digits.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_counts_and_its_escapes_are_read() {
        let table = "1 0 8:1 / / rw shared:1 - ext4 /dev/a rw\n2 1 8:2 /p\\040q /home/p rw,nosuid - ext4 /dev/b rw,x\n";
        let mount = innermost(table, Path::new("/home/p/w")).unwrap();
        assert_eq!((mount.root.as_str(), mount.target.as_str(), mount.propagation.as_str()), ("/p q", "/home/p", ""));
        assert_eq!(innermost(table, Path::new("/home/pq")).unwrap().propagation, "shared:1");
    }
}
