//! Characters that a reader could miss, and texts in which none is missed.

/// What a character is, when it is one that a reader could miss (Unicode 16, general categories Cc
/// and Cf, and the fillers); tab and newline are not.
pub(crate) fn invisible(character: char) -> Option<&'static str> {
    match character {
        '\t' | '\n' => None,
        '\0' => Some("a NUL"),
        '\r' => Some("a carriage return"),
        '\u{1b}' => Some("an escape character"),
        c if c.is_control() => Some("a control character"),
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}' => {
            Some("a bidirectional control")
        }
        '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{feff}' | '\u{ad}' | '\u{180e}' | '\u{34f}' => {
            Some("a zero-width character")
        }
        '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{2800}' => Some("a blank filler"),
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}' => Some("an invisible tag"),
        _ => None,
    }
}

/// A text with every character that a terminal would act on, or a reader could miss, written out as
/// `<U+001B>`; a tab is four spaces.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | ' '..='~' => shown.push(c),
            '\t' => shown.push_str("    "),
            c if invisible(c).is_some() || c.is_whitespace() => shown.push_str(&format!("<U+{:04X}>", u32::from(c))),
            c => shown.push(c),
        }
    }
    shown
}

/// As [`visible`], on one line: a newline is written out too.
pub fn visible_line(text: &str) -> String {
    visible(text).replace('\n', "<U+000A>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_reader_could_miss_is_left() {
        let text = "a\tb\u{1b}[0m\u{202e}\u{200b}\u{3164}\u{a0}é\0\r\n";
        let shown = "a    b<U+001B>[0m<U+202E><U+200B><U+3164><U+00A0>é<U+0000><U+000D>\n";
        assert_eq!(visible(text), shown);
        assert_eq!(visible_line("a\nb"), "a<U+000A>b");
    }
}
