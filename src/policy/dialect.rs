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
/// inside.
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
        _ => return None,
    };
    Some(format!("what `{name}` makes of {what}"))
}
