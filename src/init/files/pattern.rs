//! Name patterns: `*` and `?` within a name, `**` for any directories. Nothing else is known, and what
//! looks like more is refused.

use std::path::Path;

/// A name pattern; with a `/` it is one of paths below the directory that is searched.
#[derive(Debug)]
pub(super) struct Glob {
    parts: Vec<Vec<char>>,
    is_path: bool,
}

impl Glob {
    /// The pattern of `text`; `None` when it holds `[` or `{`.
    pub(super) fn new(text: &str) -> Option<Self> {
        let parts = text.split('/').map(|part| part.chars().collect()).collect();
        (!text.contains(['[', '{'])).then(|| Self { parts, is_path: text.contains('/') })
    }

    /// Whether the file at `path`, relative to the directory that is searched, is meant.
    pub(super) fn fits(&self, path: &Path) -> bool {
        let names = path.iter().map(|name| name.to_string_lossy().chars().collect::<Vec<char>>());
        let mut names: Vec<Vec<char>> = names.collect();
        if !self.is_path {
            names = names.pop().into_iter().collect();
        }
        fits(&self.parts, &names, |part| part.as_slice() == ['*', '*'], |part, name| name_fits(part, name))
    }
}

fn name_fits(part: &[char], name: &[char]) -> bool {
    fits(part, name, |c| *c == '*', |expected, c| *expected == '?' || expected == c)
}

/// Matches from the left; after a mismatch the last part that stands for many takes one more.
fn fits<P, T>(pattern: &[P], text: &[T], is_many: impl Fn(&P) -> bool, is_one: impl Fn(&P, &T) -> bool) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while let Some(item) = text.get(from) {
        match (pattern.get(at), back) {
            (Some(part), _) if is_many(part) => {
                at += 1;
                back = Some((at, from));
            }
            (Some(part), _) if is_one(part, item) => {
                at += 1;
                from += 1;
            }
            (Some(_) | None, Some((after, taken))) => {
                at = after;
                from = taken + 1;
                back = Some((after, from));
            }
            (Some(_) | None, None) => return false,
        }
    }
    pattern.iter().skip(at).all(is_many)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_or_a_path_fits_its_pattern() {
        for (glob, path, fit) in [
            ("*.rs", "a.rs", true),
            ("*.rs", "deep/er/a.rs", true),
            ("*.rs", "a.rsx", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a*b*c", "axxbxbxc", true),
            ("*", "x", true),
            ("src/*.rs", "src/a.rs", true),
            ("src/*.rs", "src/b/a.rs", false),
            ("src/**/*.rs", "src/b/c/a.rs", true),
            ("src/**/*.rs", "src/a.rs", true),
            ("**/a", "a", true),
            ("**/x/**", "a/x/b/c", true),
            ("**/x/**", "a/y/b/c", false),
            ("é*", "éa", true),
        ] {
            assert_eq!(Glob::new(glob).unwrap().fits(Path::new(path)), fit, "{glob} {path}");
        }
        assert!(Glob::new("*.{a,b}").is_none() && Glob::new("[ab]").is_none());
        // Backtracks to the last star alone: an adversary's pattern takes no exponential time.
        let slow = Glob::new(&"*a".repeat(500)).unwrap();
        assert!(!slow.fits(Path::new(&format!("{}b", "a".repeat(250)))));
    }
}
