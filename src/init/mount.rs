//! Lines of proc_pid_mountinfo(5).

use crate::protocol::init::MountInfo;

/// Every mount of a mountinfo text; lines that are not understood make it `None`, so that none is missed.
pub fn parse(text: &str) -> Option<Vec<MountInfo>> {
    text.lines().map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<MountInfo> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut fields = mount.splitn(7, ' ').skip(2);
    let mut field = || fields.next().map(unescape);
    let (device, root, target, options) = (field()?, field()?, field()?, field()?);
    let propagation = field().unwrap_or_default();
    let mut fields = file_system.splitn(3, ' ').map(unescape);
    let (fs_type, source, super_options) = (fields.next()?, fields.next()?, fields.next()?);
    Some(MountInfo { device, root, target, options, propagation, fs_type, source, super_options })
}

/// Undoes the octal escapes of the kernel: space, tab, line feed, backslash and number sign.
fn unescape(field: &str) -> String {
    let mut parts = field.split('\\');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let byte = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(u8::is_ascii);
        match (byte, part.get(3..)) {
            (Some(byte), Some(rest)) => {
                text.push(char::from(byte));
                text.push_str(rest);
            }
            (Some(_) | None, _) => {
                text.push('\\');
                text.push_str(part);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_with_and_without_optional_fields_and_escapes_undone() {
        let text = "36 35 98:0 /mnt\\0401 /a\\040b\\134c\\011 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue\n\
                    40 36 0:52 / /proc ro - proc proc rw\n";
        let mounts = parse(text).unwrap();
        let first = MountInfo {
            device: "98:0".into(),
            root: "/mnt 1".into(),
            target: "/a b\\c\t".into(),
            options: "rw,noatime".into(),
            propagation: "master:1 shared:2".into(),
            fs_type: "ext3".into(),
            source: "/dev/root".into(),
            super_options: "rw,errors=continue".into(),
        };
        assert_eq!(mounts.first(), Some(&first));
        assert_eq!(mounts.get(1).map(|mount| (mount.target.as_str(), mount.propagation.as_str())), Some(("/proc", "")));
        assert_eq!(parse("nonsense"), None);
    }
}
