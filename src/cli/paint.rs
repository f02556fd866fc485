//! What people read at a terminal: nothing that it would act on or that a reader could miss, in colours
//! where those are wanted. What goes into a pipe is never painted.

use std::io::IsTerminal;

use anstyle::{AnsiColor, Effects, Style};

use crate::domain::text::visible;

const GREEN: Style = AnsiColor::Green.on_default();
const RED: Style = AnsiColor::Red.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default().effects(Effects::BOLD);
const CYAN: Style = AnsiColor::Cyan.on_default();
const BOLD: Style = Style::new().effects(Effects::BOLD);
const DIM: Style = Style::new().effects(Effects::DIMMED);

/// Columns of a terminal that does not say.
const COLUMNS_DEFAULT: u16 = 80;

/// How a text of ours that has a colour begins.
const HEADS: &[(&str, Style)] = &[
    ("this needs a yes", YELLOW),
    ("from now on", YELLOW),
    ("not applied", YELLOW),
    ("held", YELLOW),
    ("discarded", YELLOW),
    ("applied", GREEN),
    ("taken back", GREEN),
    ("refused", RED),
    ("conflict", RED),
    ("not taken back", RED),
];

/// Whether a text gets colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    /// Left as it is.
    Plain,
    /// Coloured.
    Colours,
}

impl Paint {
    /// For what is written there: coloured at a terminal that can, unless `NO_COLOR` is set.
    pub(super) fn of(stream: &impl IsTerminal) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|name| name == "dumb");
        if stream.is_terminal() && !refused && !dumb { Self::Colours } else { Self::Plain }
    }

    fn styled(self, style: Style, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Colours => format!("{style}{text}{style:#}"),
        }
    }

    /// A text beside what was asked for.
    pub(super) fn dim(self, text: &str) -> String {
        self.styled(DIM, text)
    }

    /// A text of ours, visible in all its characters; a verdict or question at its head stands out.
    pub(super) fn said(self, text: &str) -> String {
        let text = visible(text);
        let (before, rest) = match text.strip_prefix("castoff: ") {
            Some(rest) => ("castoff: ", rest),
            None => ("", text.as_str()),
        };
        let Some((head, style)) = HEADS.iter().find(|(head, _)| rest.starts_with(head)) else { return text };
        let after = rest.strip_prefix(head).unwrap_or_default();
        format!("{before}{}{after}", self.styled(*style, head))
    }

    /// A unified diff, visible in all its characters.
    pub(super) fn diff(self, text: &str) -> String {
        let mut in_hunk = false;
        let lines = visible(text);
        let painted = lines.split_inclusive('\n').map(|line| {
            // Within a hunk the first character decides: a removed `-- a` is no header.
            let style = match line.chars().next() {
                Some('d') => {
                    in_hunk = false;
                    BOLD
                }
                Some('@') => {
                    in_hunk = true;
                    CYAN
                }
                Some('+') if in_hunk => GREEN,
                Some('-') if in_hunk => RED,
                Some(' ' | '\\' | '…' | '\n') => return line.to_owned(),
                Some(_) | None => BOLD,
            };
            let end = if line.ends_with('\n') { "\n" } else { "" };
            format!("{}{end}", self.styled(style, line.trim_end_matches('\n')))
        });
        painted.collect()
    }
}

/// Columns of the terminal at standard output; `None` when there is none.
pub(super) fn columns() -> Option<u16> {
    let out = std::io::stdout();
    if !out.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&out).ok();
    Some(size.map(|size| size.ws_col).filter(|columns| *columns > 0).unwrap_or(COLUMNS_DEFAULT))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF: &str =
        "diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n same\n--- old\n-\u{1b}[2Kgone\n+\u{202e}new\n";

    #[test]
    fn a_diff_hides_nothing_and_its_lines_have_their_colours() {
        let plain =
            "diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n same\n--- old\n-<U+001B>[2Kgone\n+<U+202E>new\n";
        assert_eq!(Paint::Plain.diff(DIFF), plain);
        let painted = "\u{1b}[1mdiff --git a/f b/f\u{1b}[0m\n\u{1b}[1m--- a/f\u{1b}[0m\n\u{1b}[1m+++ b/f\u{1b}[0m\n\
                       \u{1b}[36m@@ -1,3 +1,3 @@\u{1b}[0m\n same\n\u{1b}[31m--- old\u{1b}[0m\n\
                       \u{1b}[31m-<U+001B>[2Kgone\u{1b}[0m\n\u{1b}[32m+<U+202E>new\u{1b}[0m\n";
        assert_eq!(Paint::Colours.diff(DIFF), painted);
    }

    #[test]
    fn a_verdict_stands_out_and_what_it_names_is_visible() {
        let text = "castoff: refused: `a\u{200b}b`";
        assert_eq!(Paint::Plain.said(text), "castoff: refused: `a<U+200B>b`");
        assert_eq!(Paint::Colours.said(text), "castoff: \u{1b}[31mrefused\u{1b}[0m: `a<U+200B>b`");
        assert_eq!(Paint::Colours.said("stopped"), "stopped");
    }
}
