//! The part of the decision that is about files that programs of the host obey: what a script writes there, also from
//! a directory that it goes to first, and, where no review follows, whatever may write there unseen.

use std::path::{Path, PathBuf};

use crate::domain::obeyed::{is_obeyed, is_repository, may_hold_obeyed};
use crate::domain::plan::{Access, Review};
use crate::domain::record::Verdict;

use super::facts::{Command, Facts};
use super::judge::Draft;
use super::paths::{candidates, normal};
use super::tables::READERS;
use super::variables::Variables;
use super::word::Word;

/// Most places of a script that are looked at.
const PLACES_MAX: usize = 8;
/// Longest place that is followed, in bytes.
const PLACE_BYTES_MAX: usize = 256;
/// Longest path of Linux, in bytes.
const PATH_BYTES_MAX: usize = 4096;

impl Draft<'_> {
    /// Looks at where the script goes before it is judged.
    pub(super) fn stand(&mut self, facts: &Facts, variables: &mut Variables<'_>) {
        let spec = &self.policy.spec;
        let raises = |effect: &String| matches!(effect.as_str(), "delete" | "bulk" | "obeyed" | "overwrite");
        let reviewed = spec.review > Review::Never || spec.effects.iter().any(raises);
        let direct = self.policy.mounts(self.principal).iter().any(|mount| mount.access == Access::Direct);
        self.unreviewed = direct || !reviewed;
        let (mut place, mut lost) = (PathBuf::new(), false);
        for command in facts.commands.iter().filter(|command| matches!(command.name(), Some("cd" | "pushd"))) {
            for word in command.positionals() {
                for possible in self.possible(word, variables).iter().chain([word]) {
                    // Where it cannot go it stays where it was.
                    let path = Path::new(&possible.fixed);
                    for known in self.places.clone() {
                        self.go_to(&normal(&known.join(path)));
                    }
                    place = behind(&place, path);
                    lost |= place.as_os_str().len() > PLACE_BYTES_MAX;
                    self.go_to(&place);
                }
            }
        }
        if self.places.len() > PLACES_MAX || lost {
            self.places.clear();
            self.cannot_tell("where it writes: it goes to too many directories");
        }
        let held = |word: &&Word| !word.fixed.contains(char::is_whitespace) && is_one(word);
        if let Some(word) = facts.held.iter().filter(|_| self.unreviewed).find(held) {
            self.asks_about(word);
        }
    }

    /// Remembers a place in which something may be obeyed.
    fn go_to(&mut self, place: &Path) {
        let known = self.places.len() > PLACES_MAX || self.places.iter().any(|known| known == place);
        if !known && may_hold_obeyed(&place.to_string_lossy()) {
            self.places.push(place.to_owned());
        }
    }

    /// What `command` writes, or may write, of what is obeyed.
    pub(super) fn obeyed_by_words(&mut self, command: &Command, word: &Word, writes: bool) {
        let name = command.name().unwrap_or_default();
        let keeps = matches!(name, "rm" | "rmdir" | "unlink" | "mkdir" | "chmod" | "chown");
        if keeps && word.glob && !is_one(word) {
            return;
        }
        if writes && !(keeps && is_repository(Path::new(&word.fixed))) {
            return self.obeyed(word);
        }
        let named = || candidates(word).is_none_or(|parts| parts.iter().chain([word]).any(is_one));
        if self.unreviewed && !writes && !reads(command) && named() {
            self.asks_about(word);
        }
    }

    /// What a small program of an `awk` names, where no review follows.
    pub(super) fn obeyed_by_text(&mut self, word: &Word) {
        let parts = word.fixed.split(|c: char| c.is_whitespace() || "\"'()<>|;,{}".contains(c));
        if self.unreviewed && parts.into_iter().any(is_obeyed) {
            self.asks_about(word);
        }
    }

    /// Asks before `word` is written, when programs obey it.
    pub(super) fn obeyed(&mut self, word: &Word) {
        let relative = !word.fixed.starts_with(['/', '~']) && (1..PATH_BYTES_MAX).contains(&word.fixed.len());
        let below = |place: &PathBuf| is_obeyed(&place.join(&word.fixed).to_string_lossy());
        // What a glob finds is known when it is too late, unless a review follows.
        let found = self.unreviewed && word.glob;
        if is_one(word) || found || relative && self.places.iter().any(below) {
            self.asks_about(word);
        }
    }

    fn asks_about(&mut self, word: &Word) {
        self.effect("obeyed");
        self.add(Verdict::Ask, "obeyed", format!("`{}` is obeyed by programs that run later", word.raw));
    }
}

/// Where a script is that goes from `place` to `path`, behind the last directory that tells by itself; empty where there
/// is none.
fn behind(place: &Path, path: &Path) -> PathBuf {
    if may_hold_obeyed(&path.to_string_lossy()) {
        return normal(path);
    }
    let stays = !place.as_os_str().is_empty() && place.as_os_str().len() <= PLACE_BYTES_MAX && !path.starts_with("~");
    if stays { normal(&place.join(path)) } else { PathBuf::new() }
}

fn is_one(word: &Word) -> bool {
    is_obeyed(&word.fixed)
}

/// Whether `command` only reads the files that it names, as far as is known of its program.
fn reads(command: &Command) -> bool {
    let name = command.name().unwrap_or_default();
    let words = command.positionals();
    let part = words.first().and_then(|word| word.text()).unwrap_or_default();
    match name {
        "sort" => !command.has_option('o', "output"),
        "uniq" => words.len() < 2,
        "sed" => !command.has_option('i', "in-place"),
        "tree" => !command.has_option('o', "output"),
        "git" => {
            matches!(part, "add" | "blame" | "diff" | "log" | "show" | "status" | "ls-files")
                && !command.arguments().iter().any(|word| word.fixed.starts_with("--o") || !word.known)
        }
        "cp" | "rsync" | "install" => !command.has_option('t', "target-directory"),
        _ => READERS.contains(name),
    }
}
