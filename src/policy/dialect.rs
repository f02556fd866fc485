//! Text for a shell that is not bash: it is parsed as bash would, so what the other may read otherwise
//! cannot be told.

use super::carry::Carried;

/// What the shell called `name` runs of `text`.
pub(super) fn text_for(name: &str, text: &str) -> Vec<Carried> {
    let doubt = differs(name, text).map(Carried::Unknown);
    doubt.into_iter().chain([Carried::Source(text.to_owned())]).collect()
}

/// Words that begin a command of bash, and that are programs to another shell.
const OWN_WORDS: &str = "bind builtin caller compgen complete compopt coproc declare dirs disown enable function help let \
                         logout mapfile popd pushd readarray select shopt source suspend time typeset";

/// What the shell called `name` may read otherwise than bash. POSIX (Shell Command Language) has none of what is looked
/// for here, so that `sh` takes `[[` for a program, `((` for subshells, `&>` for `&` and `>`, and the others for words.
pub(super) fn differs(name: &str, text: &str) -> Option<String> {
    if matches!(name, "bash" | "rbash") {
        return None;
    }
    if matches!(name, "fish" | "csh" | "tcsh" | "zsh") {
        return Some(format!("what `{name}` makes of text that is not for bash"));
    }
    let blank = |rest: &str| rest.starts_with(|c: char| c.is_whitespace() || c == '\\');
    let test = text.match_indices("[[").any(|(at, found)| text.get(at + found.len()..).is_some_and(blank));
    let before = |at: usize| text.get(..at).unwrap_or_default();
    let arithmetic = || text.match_indices("((").any(|(at, _)| !before(at).ends_with('$'));
    let marks = ["&>", "$[", "$'", "$\"", "}>", "}<"];
    let what = if test {
        "[["
    } else if arithmetic() {
        "(("
    } else {
        let code = code(text);
        match marks.into_iter().find(|mark| code.contains(mark)) {
            Some(mark) => mark,
            None => own_word(&code)?,
        }
    };
    Some(format!("what `{name}` makes of `{what}`, which bash has"))
}

/// A word of `code` that is bash's alone.
fn own_word(code: &str) -> Option<&'static str> {
    let is_end = |c: char| c.is_whitespace() || ";&|()`".contains(c);
    for word in code.split(is_end) {
        let (head, _) = word.split_once('=').unwrap_or((word, ""));
        let named = head.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if named && word.contains('=') && head.ends_with(['+', ']']) {
            return Some("+=");
        }
        let digits = word.trim_start_matches(|c: char| c.is_ascii_digit());
        if word.len() - digits.len() > 1 && digits.starts_with(['<', '>']) {
            return Some("10>");
        }
        let braces = word.match_indices('{').any(|(at, _)| {
            let (outer, inner) = word.split_at(at);
            !outer.ends_with('$') && inner.contains('}') && (inner.contains(',') || inner.contains(".."))
        });
        if braces {
            return Some("{a,b}");
        }
    }
    let commands = code.split([';', '&', '|', '(', '{', '\n', '`', '!']);
    commands.into_iter().find_map(|command| {
        let mut words = command.split_whitespace().skip_while(|word| {
            matches!(*word, "if" | "then" | "elif" | "else" | "while" | "until" | "do") || word.contains('=')
        });
        let first = words.next()?;
        OWN_WORDS.split_whitespace().find(|own| *own == first)
    })
}

/// `text` without what stands in quotes and comments; all of it where that cannot be told so simply.
fn code(text: &str) -> String {
    let (mut code, mut rest) = (String::new(), text.chars().peekable());
    // Whether each text inside of another is in double quotes, and whether one in them is none.
    let (mut quoted, mut nested) = (vec![false], false);
    while let Some(character) = rest.next() {
        let double = quoted.last() == Some(&true);
        match character {
            '\\' => drop(rest.next()),
            '\'' if !double => {
                code.push('\'');
                while rest.next().is_some_and(|c| c != '\'') {}
                code.push('\'');
            }
            '"' if double => {
                quoted.pop();
                code.push('"');
            }
            '"' => {
                quoted.push(true);
                code.push('"');
            }
            '$' if rest.peek() == Some(&'(') => {
                rest.next();
                nested |= double;
                quoted.push(false);
                code.push_str("$(");
            }
            '`' if double => return text.to_owned(),
            '(' if !double => {
                quoted.push(false);
                code.push('(');
            }
            ')' if !double => {
                if quoted.len() > 1 {
                    quoted.pop();
                }
                code.push(')');
            }
            '#' if !double && !code.ends_with(|c: char| !(c.is_whitespace() || ";&|()<>`".contains(c))) => {
                while rest.next_if(|c| *c != '\n').is_some() {}
            }
            _ if double => {}
            _ => code.push(character),
        }
    }
    // A pattern of `case` closes what it did not open, and a here-document has quotes that are none.
    let closes = text.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == "case");
    if nested && closes || text.contains("<<") { text.to_owned() } else { code }
}
