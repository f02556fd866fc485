//! What the parser is given: brush-parser 0.4.0 takes long over some shapes and much stack over others.
//! What passes here is to take it less than a tenth of a second: `tests/policy_judged/hostile.rs` and `fuzz` try both.

use brush_parser::Token;

use crate::domain::script::Script;

/// Most commands, counted by what may end one.
const ENDS_MAX: usize = 4096;
/// Most words.
const WORDS_MAX: usize = 10_000;
/// Most open subscripts in one word: the parser tries each in two ways.
const SUBSCRIPTS_MAX: usize = 4;
/// Most of them in a text, whatever stands between: inside of arithmetic a word does not end at a space.
const OPEN_SUBSCRIPTS_MAX: usize = 3;
/// Most subscripts of parameters inside one another, whatever is between: it tries each in twenty ways.
const PARAMETER_SUBSCRIPTS_MAX: usize = 2;
/// Most expressions that end within a parenthesis of theirs, as `$[x(]` and `${a:x(}` do: it tries each in two ways.
const UNBALANCED_MAX: usize = 6;
/// Most `case` inside one another: it tries each in two ways.
const CASES_MAX: usize = 8;
/// Most loops without their end.
const LOOPS_MAX: usize = 200;
/// Most here-documents.
const HEREDOCS_MAX: usize = 1000;
/// Longest script that is parsed on the caller's stack, in bytes.
const SMALL_BYTES: usize = 4096;
/// Most openers of such a script.
const SMALL_OPENERS: usize = 12;

/// Why a text is not given to the parser, for people.
pub(super) fn tangled(text: &str) -> Option<String> {
    let why = |text: &str| {
        let guarded = Script::new(text.to_owned()).map_err(|error| error.to_string());
        guarded.err().or_else(|| tangled_here(text).map(str::to_owned))
    };
    // The shell joins lines first: the `\` before the end of one may stand inside of any word.
    why(text).or_else(|| joined(text).and_then(|text| why(&text)))
}

/// `text` with its lines joined, if that is another text and any is left.
fn joined(text: &str) -> Option<String> {
    text.contains("\\\n").then(|| text.replace("\\\n", "")).filter(|text| !text.trim().is_empty())
}

fn tangled_here(text: &str) -> Option<&'static str> {
    let ends = text.bytes().filter(|byte| matches!(byte, b';' | b'&' | b'|' | b'\n')).count();
    if ends > ENDS_MAX || text.split_ascii_whitespace().count() > WORDS_MAX {
        return Some("what so long a script does: it has more commands than are looked at");
    }
    if text.matches("<<").count() > HEREDOCS_MAX {
        return Some("what so many here-documents do");
    }
    let (mut open, mut all, mut before) = (0_usize, 0_usize, b' ');
    for byte in text.bytes() {
        match byte {
            b'[' if before.is_ascii_alphanumeric() || matches!(before, b'_' | b']' | b'$') => {
                (open, all) = (open + 1, all + 1);
            }
            b']' => (open, all) = (open.saturating_sub(1), all.saturating_sub(1)),
            byte if byte.is_ascii_whitespace() => open = 0,
            _ => {}
        }
        if open > SUBSCRIPTS_MAX || all > OPEN_SUBSCRIPTS_MAX {
            return Some("what subscripts inside one another do");
        }
        before = byte;
    }
    if open_subscripts(text) > PARAMETER_SUBSCRIPTS_MAX {
        return Some("what subscripts inside one another do");
    }
    if unbalanced(text) > UNBALANCED_MAX {
        return Some("what so many expressions without their closing parenthesis do");
    }
    None
}

/// Whether blocks that the parser tries in several ways are too deep inside one another. What only looks like the end
/// of one, as in `: esac`, ends none.
pub(super) fn is_too_deep(tokens: &[Token]) -> bool {
    let (mut cases, mut loops, mut array) = (0_usize, 0_usize, false);
    let mut before = "";
    for (at, token) in tokens.iter().enumerate() {
        let text = token.to_str();
        let next = tokens.get(at + 1).map_or("", Token::to_str);
        let ends = matches!(before, "" | ";" | "\n" | "&" | ";;" | ";&" | ";;&" | ")" | "esac" | "done" | "fi" | "}");
        let ends = ends && !array && !matches!(next, ")" | "|");
        match text {
            "(" if before.ends_with('=') => array = true,
            ")" => array = false,
            "case" => cases += 1,
            "esac" if ends => cases = cases.saturating_sub(1),
            "while" | "until" | "for" | "select" | "time" | "coproc" | "elif" => loops += 1,
            "done" | "fi" if ends => loops = loops.saturating_sub(1),
            _ => {}
        }
        if cases > CASES_MAX || loops > LOOPS_MAX {
            return true;
        }
        before = text;
    }
    false
}

/// The most subscripts of parameters that are open at once, as in `${a[${b[1]}]}`. What stands after a `\` or within a
/// parenthesis ends none.
fn open_subscripts(text: &str) -> usize {
    let (mut open, mut most) = (0_usize, 0);
    for part in text.split("${").skip(1) {
        let subscript = part.trim_start_matches(|c: char| c.is_alphanumeric() || "_!#@*".contains(c)).starts_with('[');
        open += usize::from(subscript);
        most = most.max(open);
        let (mut parens, mut escaped) = (0_usize, false);
        for byte in part.bytes() {
            match byte {
                _ if escaped => {}
                b'(' => parens += 1,
                b')' => parens = parens.saturating_sub(1),
                b']' if parens == 0 => open = open.saturating_sub(1),
                _ => {}
            }
            escaped = byte == b'\\' && !escaped;
        }
    }
    most
}

/// How many of `${ }`, `$[ ]` and `a[ ]` end, if at all, before what they open with `(`.
fn unbalanced(text: &str) -> usize {
    let (mut open, mut all, mut before) = (Vec::new(), 0, b' ');
    for byte in text.bytes() {
        match (byte, open.last_mut()) {
            (b'{', _) if before == b'$' => open.push((b'}', 0_usize)),
            (b'[', _) if before.is_ascii_alphanumeric() || matches!(before, b'_' | b'$') => open.push((b']', 0)),
            (b'(', Some((_, parens))) => *parens += 1,
            (b')', Some((_, parens))) => *parens = parens.saturating_sub(1),
            (byte, Some((end, parens))) if byte == *end => {
                all += usize::from(*parens > 0);
                open.pop();
            }
            _ => {}
        }
        before = byte;
    }
    all + open.iter().filter(|(_, parens)| *parens > 0).count()
}

/// Whether a text is parsed in less stack than any thread of ours has.
pub(super) fn is_small(text: &str) -> bool {
    is_small_here(text) && joined(text).is_none_or(|text| is_small_here(&text))
}

fn is_small_here(text: &str) -> bool {
    let openers = text.bytes().filter(|byte| matches!(byte, b'(' | b'{' | b'[' | b'`' | b'!')).count();
    let words = || text.split(|c: char| !c.is_ascii_alphanumeric());
    let blocks = words().filter(|word| {
        matches!(
            *word,
            "if" | "elif" | "case" | "do" | "while" | "until" | "for" | "select" | "time" | "coproc" | "function"
        )
    });
    text.len() <= SMALL_BYTES && openers + blocks.count() <= SMALL_OPENERS
}
