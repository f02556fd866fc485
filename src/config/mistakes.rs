//! What is wrong with a file of YAML, in the words of its writer.

use std::path::Path;

use serde_yaml::Error;

use super::errors::{LoadError, Source};
use crate::domain::text::{invisible, visible, visible_line};

/// The one of `known` that `word` was probably meant to be.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let most = match word.chars().count() {
        0..=3 => 0,
        4..=6 => 1,
        _ => 2,
    };
    let distance = |other: &&str| strsim::osa_distance(&word, other);
    known.map(|other| (distance(&other), other)).filter(|(far, _)| *far <= most).min().map(|(_, other)| other)
}

/// The text of a file's bytes: UTF-8, without characters that a reader could miss; with a mistake it is empty.
/// A byte order mark at its start and the carriage returns of another system's lines are taken for what they are.
pub(super) fn text(bytes: Vec<u8>, file: &Path) -> (Source, Option<LoadError>) {
    let source = |text: String| Source { file: file.to_owned(), text };
    let text = match String::from_utf8(bytes) {
        Ok(text) => text.replace("\r\n", "\n"),
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let before = String::from_utf8_lossy(error.as_bytes().get(..good).unwrap_or_default()).into_owned();
            let lossy = source(String::from_utf8_lossy(error.as_bytes()).into_owned());
            let error = lossy.error(Some(end_of(&before)), "this is not UTF-8", Some("save the file as UTF-8"));
            return (source(String::new()), Some(shown(error)));
        }
    };
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    let found = text.char_indices().find_map(|(at, c)| invisible(c).map(|what| (at, c, what)));
    let Some((at, character, what)) = found else { return (source(text), None) };
    let place = end_of(text.get(..at).unwrap_or_default());
    let message = format!("here is {what} (U+{:04X}), which nobody can see", u32::from(character));
    let error = source(text).error(Some(place), message, Some("remove it"));
    (source(String::new()), Some(shown(error)))
}

/// The same with nothing in its snippet that a terminal would act on.
fn shown(error: LoadError) -> LoadError {
    LoadError { snippet: visible(&error.snippet), ..error }
}

/// Line and column, counted from 1, of what follows `before`.
fn end_of(before: &str) -> (u64, u64) {
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line as u64, column as u64)
}

/// The mistake that the reader of YAML found, without its own words where they are about programs.
pub(super) fn mistake(source: &Source, error: &Error) -> LoadError {
    let at = error.location().map(|at| (at.line(), at.column()));
    let (message, hint) = words(error.without_snippet());
    let hint = hint.unwrap_or_else(|| "`castoff policy check DIR` checks the files of a directory".to_owned());
    source.error(at, message, Some(&hint))
}

fn words(error: &Error) -> (String, Option<String>) {
    let all = |known: &[&str]| known.iter().map(|one| format!("`{one}`")).collect::<Vec<_>>().join(", ");
    let meant = |word: &str, known: &[&'static str]| {
        let near = nearest(word, known.iter().copied());
        near.map_or_else(|| format!("there are {}", all(known)), |near| format!("did you mean `{near}`?"))
    };
    if let Error::AliasError { error, .. } | Error::WithSnippet { error, .. } = error {
        return words(error);
    }
    if let Error::SerdeUnknownField { field, expected, .. } = error {
        return (format!("there is no key `{}` here", visible_line(field)), Some(meant(field, expected)));
    }
    if let Error::SerdeUnknownVariant { variant, expected, .. } = error {
        return (format!("`{}` is no word that stands here", visible_line(variant)), Some(meant(variant, expected)));
    }
    if let Error::SerdeInvalidType { unexpected, expected, .. }
    | Error::SerdeInvalidValue { unexpected, expected, .. } = error
    {
        let found = unexpected.replace("sequence", "a list").replace("unit value", "nothing");
        let found = found.replace("map", "a mapping").replace("boolean", "the switch");
        let hint = unexpected.starts_with("boolean").then(|| {
            "`yes`, `no`, `on`, `off`, `true` and `false` are switches: put such a name into quotes".to_owned()
        });
        return (format!("{} is not {}", visible_line(&found), expected.replace("a sequence", "a list")), hint);
    }
    if let Error::DuplicateMappingKey { key, .. } = error {
        let key = key.as_deref().map_or_else(|| "a key".to_owned(), |key| format!("`{}`", visible_line(key)));
        return (format!("{key} stands here twice"), Some("put both into one, or remove one".to_owned()));
    }
    let bomb = matches!(
        error,
        Error::Budget { .. }
            | Error::AliasReplayLimitExceeded { .. }
            | Error::AliasExpansionLimitExceeded { .. }
            | Error::AliasReplayStackDepthExceeded { .. }
            | Error::AliasReplayCounterOverflow { .. }
            | Error::RecursiveReferencesRequireWeakTypes { .. }
    );
    if bomb {
        let hint = "write the values out; a policy needs no anchors".to_owned();
        return ("more is nested or repeated here than is read".to_owned(), Some(hint));
    }
    if let Error::Unexpected { expected, .. } = error {
        let expected = expected.replace("sequence start", "a list").replace("mapping start", "a mapping");
        return (format!("{} belongs here", expected), None);
    }
    let text = error.to_string();
    let text = text.split(" at line ").next().and_then(|text| text.lines().next());
    (visible_line(text.unwrap_or("it cannot be read")), None)
}
