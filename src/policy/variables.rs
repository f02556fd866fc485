//! What a word may become when its variables hold what the script itself gave them. Only ever makes
//! a verdict stricter: a word that is not known stays so for what permits.

use std::collections::HashMap;

use super::facts::{Assignment, Facts};
use super::word::Word;

/// Most values that are tried for one word.
const VALUES_MAX: usize = 16;
/// Most variables inside one another.
const DEPTH_MAX: usize = 4;
/// Longest value that is tried, in bytes; no path is longer.
const VALUE_BYTES_MAX: usize = 4096;
/// Most bytes that are put together for one script, each value counted as 16 more.
const BYTES_MAX: usize = 1 << 18;

/// The variables of a script.
#[derive(Debug)]
pub(crate) struct Variables<'a> {
    given: HashMap<&'a str, Vec<&'a Assignment>>,
    /// What a variable may hold, as far as so many inside one another tell.
    held: HashMap<(&'a str, usize), Vec<String>>,
    /// Bytes that may still be put together.
    left: usize,
}

impl<'a> Variables<'a> {
    /// Those that `facts` gives values.
    pub(crate) fn new(facts: &'a Facts) -> Self {
        let mut given: HashMap<&str, Vec<&Assignment>> = HashMap::new();
        for assignment in &facts.assignments {
            given.entry(&assignment.name).or_default().push(assignment);
        }
        Self { given, held: HashMap::new(), left: BYTES_MAX }
    }

    /// The words that `word` may become, none when a part of it comes from elsewhere; `None` when that is too much to
    /// find out.
    pub(crate) fn possible(&mut self, word: &Word) -> Option<Vec<Word>> {
        if word.known || !word.raw.contains('$') || self.given.is_empty() && !word.raw.contains("HOME") {
            return Some(Vec::new());
        }
        let found = self.expand(&word.raw, DEPTH_MAX);
        let words = || found.iter().map(|text| Word { raw: word.raw.clone(), ..Word::of(text) }).collect();
        (self.left > 0).then(words)
    }

    fn expand(&mut self, raw: &str, depth: usize) -> Vec<String> {
        let text: String = raw.chars().filter(|c| !matches!(c, '"' | '\'')).collect();
        let mut parts = text.split('$');
        let mut heads = vec![parts.next().unwrap_or_default().to_owned()];
        for part in parts {
            let Some((name, rest)) = variable(part) else { return Vec::new() };
            let values = if name == "HOME" { vec!["~".to_owned()] } else { self.values(name, depth) };
            let longest = |head: &str, value: &str| head.len() + value.len() + rest.len() <= VALUE_BYTES_MAX;
            let pairs = heads.iter().flat_map(|head| values.iter().map(move |value| (head, value)));
            let all = pairs.filter(|(head, value)| longest(head, value));
            heads = all.take(VALUES_MAX).map(|(head, value)| format!("{head}{value}{rest}")).collect();
            // Each is looked at later, which takes longer than to make it.
            self.left = self.left.saturating_sub(heads.iter().map(|head| head.len() + 16).sum::<usize>() + 1);
            if heads.is_empty() || self.left == 0 {
                return Vec::new();
            }
        }
        heads.retain(|text| !text.is_empty());
        heads
    }

    /// What the script gives the variable `name`.
    fn values(&mut self, name: &str, depth: usize) -> Vec<String> {
        let Some((&name, given)) = self.given.get_key_value(name).filter(|_| depth > 0) else { return Vec::new() };
        if let Some(known) = self.held.get(&(name, depth)) {
            return known.clone();
        }
        let mut values: Vec<String> = Vec::new();
        for assignment in given.clone() {
            let more = match &assignment.value {
                Some(value) => vec![value.clone()],
                None => self.expand(&assignment.raw, depth - 1),
            };
            for value in more {
                if values.len() < VALUES_MAX && !values.contains(&value) {
                    values.push(value);
                }
            }
            if values.len() >= VALUES_MAX || self.left == 0 {
                break;
            }
        }
        self.held.insert((name, depth), values.clone());
        values
    }
}

/// The name at the front of what follows a `$`, and the rest.
fn variable(part: &str) -> Option<(&str, &str)> {
    if let Some(inner) = part.strip_prefix('{') {
        let (name, rest) = inner.split_once('}')?;
        return name.chars().all(|c| c.is_alphanumeric() || c == '_').then_some((name, rest));
    }
    let end = part.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(part.len());
    part.split_at_checked(end).filter(|(name, _)| !name.is_empty())
}
