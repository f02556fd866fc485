//! Text for a shell that is not bash: it is parsed as bash would, so what the other may read otherwise
//! cannot be told.

use super::carry::Carried;

/// What the shell called `name` runs of `text`.
pub(super) fn text_for(name: &str, text: &str) -> Vec<Carried> {
    let doubt = differs(name, text).map(Carried::Unknown);
    doubt.into_iter().chain([Carried::Source(text.to_owned())]).collect()
}

/// What the shell called `name` may read otherwise than bash. POSIX (Shell Command Language, 2.9) has no `[[`, `((`
/// and `&>`, so that `sh` takes them for a program, for subshells, and for `&` and `>`; and no `$'…'` with a quote
/// inside. What stands behind `time` and its kind, or before `+=`, it takes for words of a program.
pub(super) fn differs(name: &str, text: &str) -> Option<String> {
    let blank = |rest: &str| rest.starts_with(|c: char| c.is_whitespace() || c == '\\');
    let test = || text.match_indices("[[").any(|(at, found)| text.get(at + found.len()..).is_some_and(blank));
    let before = |at: usize| text.get(..at).unwrap_or_default();
    let arithmetic = || text.match_indices("((").any(|(at, _)| !before(at).ends_with('$'));
    let what = match name {
        "bash" | "rbash" => return None,
        "fish" | "csh" | "tcsh" | "zsh" => "text that is not for bash",
        _ if test() => "`[[`, which bash has",
        _ if arithmetic() => "`((`, which bash has",
        _ if text.contains("&>") => "`&>`, which bash has",
        _ if text.contains("$'") && text.contains("\\'") => "`$'…'`, which bash has",
        _ => own_word(text)?,
    };
    Some(format!("what `{name}` makes of {what}"))
}

/// The word of bash alone that a command of `text` begins with, as far as can be told without parsing it.
fn own_word(text: &str) -> Option<&'static str> {
    let commands = text.split([';', '&', '|', '(', '{', '\n', '`']);
    commands.into_iter().find_map(|command| {
        let mut words = command.split_whitespace().skip_while(|word| {
            matches!(*word, "!" | "if" | "then" | "elif" | "else" | "while" | "until" | "do") || is_assignment(word)
        });
        Some(match words.next()? {
            // As a program it runs what bash would run, if that is a program.
            "time" if words.find(|word| !word.starts_with('-')).is_some_and(|word| word.contains('=')) => {
                "`time` before an assignment, which bash has"
            }
            "coproc" => "`coproc`, which bash has",
            "function" => "`function`, which bash has",
            word if word.split_once("+=").is_some_and(|(name, _)| is_name(name)) => "`+=`, which bash has",
            _ => return None,
        })
    })
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| is_name(name))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
