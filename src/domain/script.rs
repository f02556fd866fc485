//! The shell text of an exec call. Checked once, when it is made; its bytes never change afterwards.

use serde::{Deserialize, Serialize};

use super::text::invisible;

/// Longest script, in bytes.
pub const SCRIPT_BYTES_MAX: usize = 64 * 1024;

/// Shell text that holds nothing which a reader could miss: no NUL, no control characters but tab
/// and newline, no bidirectional or zero-width characters, at most [`SCRIPT_BYTES_MAX`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Script(String);

/// Why a text is not a script. Bad input (exit code 65), never a question to a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadScript {
    /// Nothing but white space.
    #[error("the script is empty")]
    Empty,
    /// More than [`SCRIPT_BYTES_MAX`] bytes.
    #[error("the script has {bytes} bytes; at most {SCRIPT_BYTES_MAX} are read")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// A character that a reader could miss.
    #[error("line {line} of the script holds {what} (U+{code:04X}), which nobody can see")]
    Invisible {
        /// Counted from 1.
        line: usize,
        /// What it is, for people.
        what: &'static str,
        /// The code point.
        code: u32,
    },
    /// Nested deeper than the parser may follow.
    #[error("the script is nested too deeply ({what}, at most {most})")]
    TooDeep {
        /// What is nested.
        what: &'static str,
        /// The limit.
        most: usize,
    },
}

impl Script {
    /// The script of `text`.
    ///
    /// # Errors
    /// [`BadScript`] when the text is empty, too long or holds invisible characters.
    pub fn new(text: String) -> Result<Self, BadScript> {
        if text.len() > SCRIPT_BYTES_MAX {
            return Err(BadScript::TooLong { bytes: text.len() });
        }
        if text.trim().is_empty() {
            return Err(BadScript::Empty);
        }
        for (index, line) in text.split('\n').enumerate() {
            if let Some((character, what)) = line.chars().find_map(|c| invisible(c).map(|what| (c, what))) {
                return Err(BadScript::Invisible { line: index + 1, what, code: u32::from(character) });
            }
        }
        check_nesting(&text)?;
        Ok(Self(text))
    }

    /// The text, byte for byte as it will run.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Script {
    type Error = BadScript;

    fn try_from(text: String) -> Result<Self, BadScript> {
        Self::new(text)
    }
}

impl From<Script> for String {
    fn from(script: Script) -> Self {
        script.0
    }
}

/// Most parentheses inside one another: the parser backtracks exponentially beyond 22.
const PARENS_MAX: usize = 16;
/// What the text of a here-document counts as: a level in it takes the parser many times as long.
const HEREDOC_PARENS: usize = 4;
/// What a parenthesis that is still open where a here-document ends counts as.
const OPEN_AT_END: usize = 2;
/// Most blocks (`{`, `if`, `case`, `do`, `${`) inside one another.
const BLOCKS_MAX: usize = 64;
/// Most openers in all, nested or not: what the parser's stack surely holds.
const OPENERS_MAX: usize = 2000;

fn check_nesting(text: &str) -> Result<(), BadScript> {
    let openers = text.bytes().filter(|byte| matches!(byte, b'(' | b'{' | b'`')).count();
    let words = || text.split(|c: char| c.is_whitespace() || matches!(c, ';' | '&' | '|' | '(' | ')' | '`'));
    let blocks = words().filter(|word| matches!(*word, "if" | "case" | "do")).count();
    if openers.saturating_add(blocks) > OPENERS_MAX {
        return Err(BadScript::TooDeep { what: "openers in all", most: OPENERS_MAX });
    }
    let mut depth = 0_usize;
    for word in words() {
        match word {
            "{" | "if" | "case" | "do" => depth += 1,
            "}" | "fi" | "esac" | "done" => depth = depth.saturating_sub(1),
            _ => depth = (depth + word.matches("${").count()).saturating_sub(word.matches('}').count()),
        }
        if depth > BLOCKS_MAX {
            return Err(BadScript::TooDeep { what: "blocks", most: BLOCKS_MAX });
        }
    }
    let (deepest, unsure) = Nesting::new(text, true).scan();
    if deepest > PARENS_MAX || (unsure && Nesting::new(text, false).scan().0 > PARENS_MAX) {
        return Err(BadScript::TooDeep { what: "parentheses", most: PARENS_MAX });
    }
    Ok(())
}

/// What a character stands in, for the scan of parentheses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frame {
    /// `(` … `)`, with the number of open `case`s, whose patterns close nothing, and whether it may be arithmetic: its
    /// `(` follows another at once.
    Paren(usize, bool),
    /// `"` … `"`.
    Double,
    /// The text of a here-document.
    Heredoc,
    /// `` ` `` … `` ` ``.
    Backquote,
}

/// A scan that follows quotes, comments, here-documents and `case` patterns, so that nothing that
/// only looks like a closing parenthesis hides the depth.
struct Nesting<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    frames: Vec<Frame>,
    word: String,
    previous: char,
    /// Open `[` and `${`.
    brackets: usize,
    /// Whether `<<` is a redirection at all.
    follows: bool,
    /// Whether quotes and comments hide anything: in arithmetic they do not.
    quotes: bool,
    /// Ends of the here-documents that begin with the next line, and whether their text is taken as it is.
    heredocs: Vec<(String, bool)>,
    /// What is around `rest`.
    around: usize,
    deepest: usize,
    /// Whether a `<<` may have been none.
    unsure: bool,
}

impl<'a> Nesting<'a> {
    fn new(text: &'a str, follows: bool) -> Self {
        Self {
            rest: text.chars().peekable(),
            frames: Vec::new(),
            word: String::new(),
            previous: '\n',
            brackets: 0,
            follows,
            quotes: true,
            heredocs: Vec::new(),
            around: 0,
            deepest: 0,
            unsure: false,
        }
    }

    /// How deep it goes, and whether that is sure.
    fn scan(mut self) -> (usize, bool) {
        let mut top_cases = 0;
        while let Some(character) = self.rest.next() {
            match self.frames.last() {
                Some(quoted @ (Frame::Double | Frame::Heredoc)) => self.in_double(character, *quoted),
                Some(Frame::Paren(..) | Frame::Backquote) | None => self.in_code(character, &mut top_cases),
            }
            self.previous = character;
            self.deepest = self.deepest.max(self.depth());
            if self.deepest > PARENS_MAX {
                break;
            }
        }
        if self.frames.first() == Some(&Frame::Heredoc) {
            let open = self.depth() - self.around;
            self.deepest = self.deepest.max(self.around + OPEN_AT_END * open);
        }
        (self.deepest, self.unsure)
    }

    fn depth(&self) -> usize {
        let open = self.frames.iter().filter(|frame| matches!(frame, Frame::Paren(..) | Frame::Backquote));
        self.around + open.count()
    }

    fn in_double(&mut self, character: char, frame: Frame) {
        match character {
            '\\' => drop(self.rest.next()),
            '"' if frame == Frame::Double => drop(self.frames.pop()),
            '`' => self.backquote(),
            '$' if self.rest.next_if_eq(&'(').is_some() => self.frames.push(Frame::Paren(0, false)),
            _ => {}
        }
    }

    fn backquote(&mut self) {
        match self.frames.iter().rposition(|frame| *frame == Frame::Backquote) {
            Some(at) => self.frames.truncate(at),
            None => self.frames.push(Frame::Backquote),
        }
    }

    fn in_code(&mut self, character: char, top_cases: &mut usize) {
        if character.is_alphanumeric() {
            self.word.push(character);
            return;
        }
        let word = std::mem::take(&mut self.word);
        let cases = match self.frames.last_mut() {
            Some(Frame::Paren(cases, _)) => cases,
            Some(Frame::Double | Frame::Heredoc | Frame::Backquote) | None => top_cases,
        };
        match word.as_str() {
            "case" => *cases += 1,
            "esac" => *cases = cases.saturating_sub(1),
            _ => {}
        }
        let in_case = *cases > 0;
        match character {
            '\\' if !self.quotes => drop(self.rest.next_if_eq(&')')),
            '\'' | '"' | '#' if !self.quotes => {}
            '\\' => self.word.extend(self.rest.next().map(|_| '\\')),
            '\'' => self.single_quote(),
            '"' => self.frames.push(Frame::Double),
            '`' => self.backquote(),
            '(' => self.frames.push(Frame::Paren(0, self.previous == '(')),
            ')' if !in_case && matches!(self.frames.last(), Some(Frame::Paren(..))) => drop(self.frames.pop()),
            '[' => self.brackets += 1,
            '{' if self.previous == '$' => self.brackets += 1,
            ']' | '}' => self.brackets = self.brackets.saturating_sub(1),
            '<' if self.follows && self.rest.next_if_eq(&'<').is_some() => self.heredoc_mark(),
            ' ' | '\t' | ';' | '&' | '|' if self.quotes && self.rest.peek() == Some(&'#') => {
                let backquoted = self.backquoted();
                while self.rest.next_if(|c| *c != '\n' && !(backquoted && *c == '`')).is_some() {}
            }
            '\n' => self.heredoc_bodies(),
            _ => {}
        }
    }

    /// Whether a `` ` `` ends something, whatever quote or comment it stands in.
    fn backquoted(&self) -> bool {
        self.frames.contains(&Frame::Backquote)
    }

    fn single_quote(&mut self) {
        let (escapes, backquoted) = (self.previous == '$', self.backquoted());
        while let Some(character) = self.rest.next_if(|c| !(backquoted && *c == '`')) {
            match character {
                '\'' => return,
                '\\' if escapes => drop(self.rest.next()),
                _ => {}
            }
        }
    }

    fn heredoc_mark(&mut self) {
        if self.rest.next_if_eq(&'<').is_some() {
            return;
        }
        let arithmetic = self.frames.iter().any(|frame| matches!(frame, Frame::Paren(_, true)));
        self.unsure |= self.brackets > 0 || self.backquoted() || arithmetic;
        while self.rest.next_if(|c| matches!(c, '-' | ' ' | '\t')).is_some() {}
        let (mut mark, mut literal) = (String::new(), false);
        while let Some(c) =
            self.rest.next_if(|c| !c.is_whitespace() && !matches!(c, ';' | '&' | '|' | '(' | ')' | '<' | '>'))
        {
            if matches!(c, '\'' | '"' | '\\') {
                literal = true;
            } else {
                mark.push(c);
            }
        }
        self.heredocs.push((mark, literal));
    }

    fn heredoc_bodies(&mut self) {
        for (mark, literal) in std::mem::take(&mut self.heredocs) {
            let (mut body, mut ended) = (String::new(), false);
            while !ended && self.rest.peek().is_some() {
                let line: String = self.rest.by_ref().take_while(|c| *c != '\n').collect();
                ended = line.trim_start_matches('\t') == mark;
                body.push_str(&line);
                body.push('\n');
            }
            self.unsure |= !ended;
            let around = self.depth() + HEREDOC_PARENS;
            if !literal && around <= PARENS_MAX {
                for quotes in [true, false] {
                    let inside =
                        Nesting { frames: vec![Frame::Heredoc], around, quotes, ..Nesting::new(&body, quotes) };
                    let (deepest, unsure) = inside.scan();
                    self.deepest = self.deepest.max(deepest);
                    self.unsure |= unsure;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_counted_before_anything_is_parsed() {
        let deep = BadScript::TooDeep { what: "parentheses", most: PARENS_MAX };
        for text in [
            "( ".repeat(17),
            format!("echo {}", "$(".repeat(10_000)),
            "( \")\" ".repeat(17),
            "( case a in a) ".repeat(17),
            "( # )\n".repeat(17),
            format!("cat <<E\n{}\nE", "$( ".repeat(13)),
            format!("cat <<E\n$(cat <<F\n{}\nF\n)\nE", "$( ".repeat(9)),
            format!("cat <<E\n$((('{}\nE", "(".repeat(10)),
            format!("cat <<E\n$({}\nE", "(".repeat(6)),
            format!("echo $((1<<2))\n{}", "(".repeat(17)),
            format!("echo $((1<<2))\n{}\n2))", "( ".repeat(17)),
            format!("echo $[1<<2]\n{}\n2]", "( ".repeat(17)),
            format!("echo ${{a:1<<2}}\n{}\n2}}", "( ".repeat(17)),
            format!("cat <<E\n{}", "( ".repeat(17)),
            format!("`'`\n{}", "(".repeat(17)),
            format!("`: #`\n{}", "(".repeat(17)),
            format!("`cat <<E`\n{}", "(".repeat(17)),
            format!("echo $'\\''\n{}", "(".repeat(17)),
        ] {
            let refused = Script::new(text.clone());
            assert!(matches!(refused, Err(BadScript::TooDeep { .. })), "{text:.40}");
        }
        assert_eq!(Script::new("echo $( ".repeat(17)), Err(deep));
        assert!(matches!(Script::new("{ ".repeat(65)), Err(BadScript::TooDeep { what: "blocks", .. })));
        assert!(matches!(Script::new("if a; then ".repeat(65)), Err(BadScript::TooDeep { .. })));
        for fine in [
            "echo $(date); ".repeat(100),
            "echo ':-((((((((((((((((((((((('".to_owned(),
            "f() { a; }\n".repeat(99),
            format!("cat <<E\n{}\nE", "( ".repeat(99)),
        ] {
            assert!(Script::new(fine.clone()).is_ok(), "{fine:.40}");
        }
    }
}
