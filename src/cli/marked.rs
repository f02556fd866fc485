//! A script as `castoff policy explain` prints it: lines with numbers, and what decided underlined.

use std::io::Write;
use std::ops::Range;

use crate::domain::text::visible;

/// Most lines that are printed: of a longer script those around what decided.
const LINES_MAX: usize = 40;
/// Lines before what decided, in a long script.
const LINES_BEFORE: usize = 5;

/// Writes `script` with `marked` (offsets in characters) underlined; nothing is marked for `None`.
///
/// # Errors
/// When `out` cannot be written.
pub(super) fn write(script: &str, marked: Option<&Range<usize>>, out: &mut impl Write) -> std::io::Result<()> {
    let mut start = 0;
    let lines: Vec<(usize, &str)> = script
        .split('\n')
        .map(|line| {
            let at = start;
            start += line.chars().count() + 1;
            (at, line)
        })
        .collect();
    let first_marked = marked.and_then(|marked| lines.iter().rposition(|(at, _)| *at <= marked.start)).unwrap_or(0);
    let long = lines.len() > LINES_MAX;
    let first = if long { first_marked.saturating_sub(LINES_BEFORE) } else { 0 };
    let last = lines.len().min(first + LINES_MAX);
    let width = last.to_string().len().max(3);
    if first > 0 {
        writeln!(out, "{:width$} | … {first} lines before", "")?;
    }
    for (number, (at, line)) in lines.iter().enumerate().take(last).skip(first) {
        writeln!(out, "{:width$} | {}", number + 1, visible(line))?;
        let part = |from: usize, to: usize| -> String { line.chars().skip(from).take(to - from).collect() };
        let length = line.chars().count();
        let range = marked.map(|marked| (marked.start.saturating_sub(*at), marked.end.saturating_sub(*at).min(length)));
        if let Some((from, to)) = range.filter(|(from, to)| from < to) {
            // Indentation of a line in the middle of what is marked is not underlined.
            let inner = part(from, to);
            let from = from + inner.chars().take_while(|c| c.is_whitespace()).count();
            let before = visible(&part(0, from)).chars().count();
            let under = visible(&part(from, to)).chars().count();
            if under > 0 {
                writeln!(out, "{:width$} | {}{}", "", " ".repeat(before), "^".repeat(under))?;
            }
        }
    }
    if last < lines.len() {
        writeln!(out, "{:width$} | … {} lines more", "", lines.len() - last)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(script: &str, marked: Option<&Range<usize>>) -> String {
        let mut out = Vec::new();
        write(script, marked, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_decided_is_underlined_on_each_of_its_lines() {
        assert_eq!(shown("a; bc", Some(&(3..5))), "  1 | a; bc\n    |    ^^\n");
        assert_eq!(shown("é\tb", Some(&(2..3))), "  1 | é    b\n    |      ^\n");
        assert_eq!(shown("a b \\\n  c; d", Some(&(2..9))), "  1 | a b \\\n    |   ^^^\n  2 |   c; d\n    |   ^\n");
        assert_eq!(shown("a", None), "  1 | a\n");
    }

    #[test]
    fn of_a_long_script_the_lines_around_are_printed() {
        let script: Vec<String> = (1..=100).map(|number| format!("l{number:03}")).collect();
        let shown = shown(&script.join("\n"), Some(&(250..254)));
        assert!(shown.starts_with("    | … 45 lines before\n 46 | l046\n"), "{shown}");
        assert!(shown.contains(" 51 | l051\n    | ^^^^\n"), "{shown}");
        assert!(shown.ends_with(" 85 | l085\n    | … 15 lines more\n"), "{shown}");
    }
}
