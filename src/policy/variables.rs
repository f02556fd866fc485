//! What a word may become when its variables hold what the script itself gave them. Only ever makes
//! a verdict stricter: a word that is not known stays so for what permits.

use super::facts::Facts;
use super::word::Word;

/// Most values that are tried for one word.
const VALUES_MAX: usize = 16;
/// Most variables inside one another.
const DEPTH_MAX: usize = 4;

/// The words that `word` may become; none when a part of it comes from elsewhere.
pub(crate) fn possible(word: &Word, facts: &Facts) -> Vec<Word> {
    if word.known || !word.raw.contains('$') {
        return Vec::new();
    }
    expand(&word.raw, facts, DEPTH_MAX).iter().map(|text| Word { raw: word.raw.clone(), ..Word::of(text) }).collect()
}

fn expand(raw: &str, facts: &Facts, depth: usize) -> Vec<String> {
    let text: String = raw.chars().filter(|c| !matches!(c, '"' | '\'')).collect();
    let mut parts = text.split('$');
    let mut heads = vec![parts.next().unwrap_or_default().to_owned()];
    for part in parts {
        let Some((name, rest)) = variable(part) else { return Vec::new() };
        let values: Vec<String> = match name {
            "HOME" => vec!["~".to_owned()],
            _ if depth == 0 => Vec::new(),
            _ => {
                let own = facts.assignments.iter().filter(|assignment| assignment.name == name);
                own.flat_map(|assignment| match &assignment.value {
                    Some(value) => vec![value.clone()],
                    None => expand(&assignment.raw, facts, depth - 1),
                })
                .collect()
            }
        };
        let all = heads.iter().flat_map(|head| values.iter().map(move |value| format!("{head}{value}{rest}")));
        heads = all.take(VALUES_MAX).collect();
    }
    heads.retain(|text| !text.is_empty());
    heads
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
