//! What the parser is given: brush-parser 0.4.0 takes long over some shapes and much stack over others.
//! What passes here is to take it less than a tenth of a second: `tests/policy_judged/hostile.rs` and `fuzz` try both.

/// Most commands, counted by what may end one.
const ENDS_MAX: usize = 4096;
/// Most words.
const WORDS_MAX: usize = 10_000;
/// Most open subscripts in one word: the parser tries each in two ways.
const SUBSCRIPTS_MAX: usize = 4;
/// Most subscripts of parameters inside one another, whatever is between: it tries each in twenty ways.
const PARAMETER_SUBSCRIPTS_MAX: usize = 2;
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

/// Why a script is not given to the parser, for people.
pub(super) fn tangled(text: &str) -> Option<&'static str> {
    let ends = text.bytes().filter(|byte| matches!(byte, b';' | b'&' | b'|' | b'\n')).count();
    if ends > ENDS_MAX || text.split_ascii_whitespace().count() > WORDS_MAX {
        return Some("what so long a script does: it has more commands than are looked at");
    }
    if text.matches("<<").count() > HEREDOCS_MAX {
        return Some("what so many here-documents do");
    }
    let (mut open, mut before) = (0_usize, b' ');
    for byte in text.bytes() {
        match byte {
            b'[' if before.is_ascii_alphanumeric() || matches!(before, b'_' | b']' | b'$') => open += 1,
            b']' => open = open.saturating_sub(1),
            byte if byte.is_ascii_whitespace() => open = 0,
            _ => {}
        }
        if open > SUBSCRIPTS_MAX {
            return Some("what subscripts inside one another do");
        }
        before = byte;
    }
    if open_subscripts(text) > PARAMETER_SUBSCRIPTS_MAX {
        return Some("what subscripts inside one another do");
    }
    let (mut cases, mut loops) = (0_usize, 0_usize);
    for word in text.split(|c: char| c.is_ascii_whitespace() || matches!(c, ';' | '&' | '|' | '(' | ')' | '`')) {
        match word {
            "case" => cases += 1,
            "esac" => cases = cases.saturating_sub(1),
            "while" | "until" | "for" | "select" | "time" | "coproc" | "elif" => loops += 1,
            "done" | "fi" => loops = loops.saturating_sub(1),
            _ => {}
        }
        if cases > CASES_MAX || loops > LOOPS_MAX {
            return Some("what so many blocks inside one another do");
        }
    }
    None
}

/// The most subscripts of parameters that are open at once, as in `${a[${b[1]}]}`.
fn open_subscripts(text: &str) -> usize {
    let (mut open, mut most) = (0_usize, 0);
    for part in text.split("${").skip(1) {
        let subscript = part.trim_start_matches(|c: char| c.is_alphanumeric() || "_!#@*".contains(c)).starts_with('[');
        open += usize::from(subscript);
        most = most.max(open);
        open = open.saturating_sub(part.matches(']').count());
    }
    most
}

/// Whether a script is parsed in less stack than any thread of ours has.
pub(super) fn is_small(text: &str) -> bool {
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
