//! Listing a directory.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::time::UNIX_EPOCH;

use super::{FileError, Place, what};
use crate::domain::text::visible_line;
use crate::domain::time::Timestamp;

/// Most entries that are shown.
const ENTRIES_MAX: usize = 1000;
/// Most entries that are looked at.
const ENTRIES_READ_MAX: usize = 100_000;

/// Writes a line for each entry, sorted by name: type, size, time of the last change, name.
pub(super) fn list(place: &Place, out: &mut impl Write) -> Result<Option<String>, FileError> {
    let kind = place.look()?.file_type();
    if !kind.is_dir() {
        return Err(place.unfit(kind, "a directory"));
    }
    let failed = place.failed("list");
    let mut names: Vec<OsString> = Vec::new();
    for entry in fs::read_dir(&place.path).map_err(&failed)?.take(ENTRIES_READ_MAX) {
        names.push(entry.map_err(&failed)?.file_name());
    }
    names.sort();
    for name in names.iter().take(ENTRIES_MAX) {
        writeln!(out, "{}", line(place, name)).map_err(FileError::Answer)?;
    }
    Ok(match names.len() {
        0 => Some(format!("`{}` is empty", place.shown)),
        1..=ENTRIES_MAX => None,
        ENTRIES_READ_MAX.. => Some(format!("{ENTRIES_MAX} of at least {ENTRIES_READ_MAX} entries are shown")),
        count => Some(format!("{ENTRIES_MAX} of {count} entries are shown; search, or a script, finds the others")),
    })
}

fn line(place: &Place, name: &OsString) -> String {
    let path = place.path.join(name);
    let shown = visible_line(&name.to_string_lossy());
    // Something may be gone since its name was read.
    let Ok(found) = fs::symlink_metadata(&path) else { return format!("{:<6} {:>12} {:<20} {shown}", "?", "?", "?") };
    let kind = found.file_type();
    let since_epoch = found.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let time = since_epoch.and_then(|time| u64::try_from(time.as_millis()).ok()).map(Timestamp::from_ms);
    let time = time.map_or_else(|| "?".to_owned(), |time| time.to_string());
    let (word, size, end) = if kind.is_file() {
        ("file", found.len().to_string(), String::new())
    } else if kind.is_dir() {
        ("dir", "-".to_owned(), "/".to_owned())
    } else if kind.is_symlink() {
        let target = fs::read_link(&path).map(|target| visible_line(&target.to_string_lossy()));
        ("link", "-".to_owned(), format!(" -> {}", target.unwrap_or_default()))
    } else {
        ("other", "-".to_owned(), format!(" ({})", what(kind)))
    };
    format!("{word:<6} {size:>12} {time:<20} {shown}{end}")
}
