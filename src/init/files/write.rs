//! Writing and editing a file: all of the new content, or nothing of it, by a temporary file and
//! rename(2) in the same directory.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::{FILE_BYTES_MAX, FileError, Place};

/// Most symbolic links that are followed, as by the kernel (path_resolution(7)).
const LINKS_MAX: usize = 40;
/// Names that are tried for the temporary file.
const NAMES_MAX: usize = 16;

/// Longest file that is received, in bytes.
const RECEIVE_BYTES_MAX: u64 = 32 << 20;
/// Files of one name, numbered.
const NUMBERS_MAX: u32 = 100;

/// What an edit does.
#[derive(Debug)]
pub(super) struct Change<'a> {
    pub(super) old: &'a str,
    pub(super) new: &'a str,
    pub(super) all: bool,
}

/// Makes a file, with the directories that are missing, or replaces its content and keeps its mode.
pub(super) fn write(place: &Place, text: &str, out: &mut impl Write) -> Result<Option<String>, FileError> {
    let target = Target::find(place)?;
    target.put(place, text.as_bytes())?;
    let what = if target.mode.is_some() { "replaced" } else { "new" };
    writeln!(out, "wrote `{}`: {} bytes, {what}", place.shown, text.len()).map_err(FileError::Answer)?;
    Ok(None)
}

/// Makes a file of what comes; where one is already the new one gets a number.
pub(super) fn receive(
    place: &Place,
    from: &mut impl io::Read,
    out: &mut impl Write,
) -> Result<Option<String>, FileError> {
    let mut bytes = Vec::new();
    from.take(RECEIVE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(place.failed("receive"))?;
    if bytes.len() as u64 > RECEIVE_BYTES_MAX {
        let (path, most) = (place.shown.clone(), RECEIVE_BYTES_MAX);
        return Err(FileError::TooLong { path, bytes: bytes.len() as u64, most, done: "received" });
    }
    let stem = place.path.file_stem().ok_or_else(|| FileError::NoName(place.shown.clone()))?.to_os_string();
    let mut path = place.path.clone();
    for number in 2..=NUMBERS_MAX {
        if fs::symlink_metadata(&path).is_err() {
            break;
        }
        let mut name = stem.clone();
        name.push(format!("-{number}"));
        if let Some(extension) = place.path.extension() {
            name.push(".");
            name.push(extension);
        }
        path = place.path.with_file_name(name);
    }
    let name = path.display().to_string();
    let target = Target { path, mode: None };
    if fs::symlink_metadata(&target.path).is_ok() {
        return Err(place.failed("receive")(io::ErrorKind::AlreadyExists.into()));
    }
    target.put(place, &bytes)?;
    writeln!(out, "received `{name}`: {} bytes", bytes.len()).map_err(FileError::Answer)?;
    Ok(None)
}

/// Replaces what stands in a file once, or everywhere it stands.
pub(super) fn edit(place: &Place, change: &Change<'_>, out: &mut impl Write) -> Result<Option<String>, FileError> {
    let path = || place.shown.clone();
    let (file, found) = place.open()?;
    let before = text(place, file, found.len())?;
    if change.old == change.new {
        return Err(FileError::Same(path()));
    }
    let count = if change.all { before.matches(change.old).count() } else { count(&before, change.old) };
    if count == 0 {
        return Err(FileError::NotThere(path()));
    }
    if count > 1 && !change.all {
        return Err(FileError::Ambiguous { path: path(), count });
    }
    let grown = (change.new.len() as u64).saturating_mul(count as u64).saturating_add(before.len() as u64);
    if grown > 2 * FILE_BYTES_MAX {
        return Err(FileError::TooLong { path: path(), bytes: grown, most: 2 * FILE_BYTES_MAX, done: "written" });
    }
    let after = before.replace(change.old, change.new);
    Target::find(place)?.put(place, after.as_bytes())?;
    let places = if count == 1 { "in one place".to_owned() } else { format!("in {count} places") };
    writeln!(out, "edited `{}` {places}: {} bytes now", place.shown, after.len()).map_err(FileError::Answer)?;
    Ok(None)
}

fn text(place: &Place, file: File, bytes: u64) -> Result<String, FileError> {
    let mut content = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut content).map_err(place.failed("read"))?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(FileError::TooLong { path: place.shown.clone(), bytes, most: FILE_BYTES_MAX, done: "edited" });
    }
    let no_text = |_| FileError::Binary { path: place.shown.clone(), kind: "binary data", bytes };
    String::from_utf8(content).map_err(no_text)
}

/// How often `old` stands in `text`; where two of them overlap it is more than once, too.
fn count(text: &str, old: &str) -> usize {
    let count = text.matches(old).count();
    let first = text.find(old);
    let after_first = first.and_then(|at| text.get(at..)).map(|rest| {
        let mut rest = rest.chars();
        rest.next();
        rest.as_str()
    });
    let overlaps = count == 1 && after_first.is_some_and(|rest| rest.contains(old));
    if overlaps { 2 } else { count }
}

/// The file that is written: where symbolic links at the end of the path lead.
struct Target {
    path: PathBuf,
    /// Permission bits of the file that is there.
    mode: Option<u32>,
}

impl Target {
    fn find(place: &Place) -> Result<Self, FileError> {
        let mut path = place.path.clone();
        for _ in 0..LINKS_MAX {
            let found = match fs::symlink_metadata(&path) {
                Ok(found) => found,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let is_directory = place.shown.ends_with('/') || path.file_name().is_none();
                    let unnamed = FileError::NoName(place.shown.clone());
                    return if is_directory { Err(unnamed) } else { Ok(Self { path, mode: None }) };
                }
                Err(error) => return Err(place.failed("look at")(error)),
            };
            if found.is_symlink() {
                let target = fs::read_link(&path).map_err(place.failed("follow"))?;
                path = path.parent().unwrap_or(Path::new("")).join(target);
                continue;
            }
            if !found.is_file() {
                return Err(place.unfit(found.file_type(), "a file"));
            }
            // A file that may only be read stays as it is, though rename(2) would replace it.
            if rustix::fs::access(&path, Access::WRITE_OK).is_err() {
                return Err(FileError::ReadOnly(place.shown.clone()));
            }
            return Ok(Self { path, mode: Some(found.permissions().mode() & 0o777) });
        }
        Err(place.failed("follow")(rustix::io::Errno::LOOP.into()))
    }

    fn put(&self, place: &Place, bytes: &[u8]) -> Result<(), FileError> {
        let failed = place.failed("write");
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(parent).map_err(place.failed("make the directory of"))?;
        let (mut file, temporary) = temporary(parent).map_err(&failed)?;
        let written = file
            .write_all(bytes)
            .and_then(|()| self.mode.map_or(Ok(()), |mode| file.set_permissions(Permissions::from_mode(mode))))
            .and_then(|()| fs::rename(&temporary, &self.path));
        written.map_err(|error| {
            // The run's changes would name it.
            fs::remove_file(&temporary).ok();
            failed(error)
        })
    }
}

/// A new file in `directory`.
fn temporary(directory: &Path) -> io::Result<(File, PathBuf)> {
    for number in 0..NAMES_MAX {
        let path = directory.join(format!(".castoff-new-{number}"));
        match OpenOptions::new().write(true).create_new(true).mode(0o666).open(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_occurrences_are_more_than_one() {
        for (text, old, expected) in
            [("", "a", 0), ("xax", "a", 1), ("aaa", "aa", 2), ("éé", "é", 2), ("abab", "ab", 2), ("aa", "aa", 1)]
        {
            assert_eq!(count(text, old), expected, "{text} {old}");
        }
    }
}
