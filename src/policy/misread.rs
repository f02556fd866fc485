//! Where brush-parser 0.4.0 cuts a script into words otherwise than bash does: a program that it leaves out of a word,
//! or takes for a part of one, would be seen by nobody. Found by comparing it with bash; each is an unknown.

use std::panic::{AssertUnwindSafe, catch_unwind};

use brush_parser::ast::Word;
use brush_parser::{ParserOptions, Token, uncached_tokenize_str};

use super::dollars;
use super::facts::Span;
use super::walk::{Walk, excerpt, span_of};

/// What in `source`, which the parser has cut into `tokens`, bash reads otherwise, for people; `None` for nothing.
pub(super) fn misread(source: &str, tokens: &[Token]) -> Option<String> {
    if let Some(what) = tokens.windows(4).find_map(odd_document) {
        return Some(what);
    }
    if !source.contains(['$', '(', '[']) {
        return None;
    }
    let source: Vec<char> = source.chars().collect();
    if let Some(place) = left_out(&source, tokens) {
        return Some(format!("what `{}` is to the shell", excerpt(&source.get(place)?.iter().collect::<String>())));
    }
    if let Some(word) = tokens.windows(3).find_map(glued) {
        return Some(format!("what `{}(…)` is to the shell", excerpt(word)));
    }
    let (mut array, mut before): (Option<usize>, _) = (None, "");
    // Where the last array ends.
    let mut after_array = usize::MAX;
    // Words that are of a here-document: its end, its text, and its end again; and whether more of its line follows.
    let (mut document, mut pending) = (0_usize, false);
    for token in tokens {
        let text = token.to_str();
        match token {
            Token::Operator(operator, _) => match operator.as_str() {
                "(" => array = array.map(|depth| depth + 1).or_else(|| before.ends_with('=').then_some(1)),
                ")" => {
                    let ends = array == Some(1);
                    array = array.map(|depth| depth - 1).filter(|depth| *depth > 0);
                    if ends {
                        after_array = token.location().end.index;
                        if is_comment_at(&source, after_array) {
                            return Some("what `#` is, right behind an array,".to_owned());
                        }
                    }
                }
                "<<" | "<<-" if pending => return Some("which of the here-documents of a line is which".to_owned()),
                "<<" | "<<-" => (document, pending) = (3, true),
                "\n" => pending = false,
                _ => {}
            },
            Token::Word(..) if document > 0 => document -= 1,
            Token::Word(..) if token.location().start.index == after_array => {
                return Some(format!("what `{}` is, right behind an array,", excerpt(text)));
            }
            // Its text begins behind the next end of a line, wherever that is.
            Token::Word(..) if pending && (text.contains(['\n', '`']) || text.contains("$(")) => {
                return Some("what follows a here-document in its line".to_owned());
            }
            Token::Word(..) => {
                let location = token.location();
                let place = location.start.index..location.end.index;
                let raw: String = source.get(place).unwrap_or_default().iter().collect();
                let wrong = is_cut(&raw, text) || is_quoted_group(text) || is_open_subscript(text, array.is_some());
                if wrong || dollars::misread(text) {
                    return Some(format!("what `{}` is to the shell", excerpt(&raw)));
                }
            }
        }
        before = text;
    }
    None
}

/// A here-document whose end bash may see in another line: it looks for the end without all quotes, which the parser
/// takes off otherwise, and where nothing is quoted it joins lines before.
fn odd_document(tokens: &[Token]) -> Option<String> {
    let [Token::Operator(operator, _), end @ Token::Word(..), text @ Token::Word(..), Token::Word(..)] = tokens else {
        return None;
    };
    if !matches!(operator.as_str(), "<<" | "<<-") {
        return None;
    }
    let (end, text) = (end.to_str(), text.to_str());
    let pair = |quote| end.strip_prefix(quote).and_then(|rest: &str| rest.strip_suffix(quote));
    let quoted = pair('\'').or_else(|| pair('"')).or_else(|| end.strip_prefix('\\'));
    let name = quoted.unwrap_or(end);
    let is_plain = |c: char| c.is_alphanumeric() || "_-.+!%:@#=,/".contains(c) || c == ' ' && quoted.is_some();
    if name.is_empty() || !name.chars().all(is_plain) {
        return Some(format!("where the here-document ends that `{}` should end", excerpt(end)));
    }
    let joined = joined(text);
    let ends = |line: &str| line == name || operator == "<<-" && line.trim_start_matches('\t') == name;
    // Tabs at the front of a line that is joined to another are kept, which the parser takes off.
    let tabs = operator == "<<-" && text.lines().any(|line| trailing(line, '\\') % 2 == 1);
    let odd = !joined.is_empty() && !joined.ends_with('\n') || joined.lines().any(ends) || tabs;
    (quoted.is_none() && odd).then(|| format!("where the here-document ends that `{name}` should end"))
}

/// How many `c` are at the end of `text`.
fn trailing(text: &str, c: char) -> usize {
    text.len() - text.trim_end_matches(c).len()
}

/// Whether the parser takes what stands at `place` for a comment, perhaps behind lines that are joined.
fn is_comment_at(source: &[char], place: usize) -> bool {
    let mut rest = source.get(place..).unwrap_or_default();
    while let ['\\', '\n', after @ ..] = rest {
        rest = after;
    }
    rest.first() == Some(&'#')
}

/// A word that a process substitution is a part of: the parser takes that for another word.
fn glued(tokens: &[Token]) -> Option<&str> {
    let [word @ Token::Word(text, _), operator, group] = tokens else { return None };
    let touches = |one: &Token, next: &Token| one.location().end.index == next.location().start.index;
    let is_one = matches!(operator.to_str(), "<" | ">") && group.to_str() == "(";
    (is_one && touches(word, operator) && touches(operator, group)).then_some(text.as_str())
}

/// Where there is text that is in no token, and no comment either.
fn left_out(source: &[char], tokens: &[Token]) -> Option<Span> {
    let mut places: Vec<Span> =
        tokens.iter().map(|token| token.location().start.index..token.location().end.index).collect();
    places.sort_by_key(|place| place.start);
    places.push(Span { start: source.len(), end: source.len() });
    let mut end = 0;
    for place in places {
        let text: String = source.get(end..place.start).unwrap_or_default().iter().collect();
        let rest = text.trim_matches([' ', '\t', '\\', '\n']);
        let is_comment = rest.starts_with('#') && !rest.contains('\n');
        if !rest.is_empty() && !is_comment {
            return Some(end..place.start);
        }
        end = end.max(place.end);
    }
    None
}

impl Walk {
    /// What stands at `place` of the source that is being read.
    pub(super) fn text_at(&self, place: &Span) -> String {
        self.source.chars().skip(place.start).take(place.len()).collect()
    }

    /// Whether a word is the `{name}` of `{name}>file`, which gives the file a number of the shell's choice.
    pub(super) fn numbers_file(&self, word: &Word) -> bool {
        let name = word.value.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        // Perhaps of an array: `{name[1]}`.
        let named = name
            .and_then(|name| name.split('[').next())
            .is_some_and(|name| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_'));
        let after = span_of(word).filter(|_| named).and_then(|place| self.source.chars().nth(place.end));
        matches!(after, Some('<' | '>'))
    }

    /// A `\` before the end of a line inside of `$'…'` is left out; bash keeps both.
    pub(super) fn broken_lines(&mut self, word: &Word) {
        let Some(place) = span_of(word).filter(|_| word.value.contains("$'")) else { return };
        let text = self.text_at(&place);
        if text.contains("\\\n") {
            self.unknown(format!("what the lines inside of `{}` are", excerpt(&text)));
        }
    }
}

/// Whether a word with substitutions lost some of its text: comments and here-documents inside of it are left out, and
/// a comment that is kept has lost the end of its line.
fn is_cut(raw: &str, text: &str) -> bool {
    if !["$(", "${", "$["].iter().any(|opener| text.contains(opener)) {
        return false;
    }
    // Where a word stands is told two characters too early for each line that is joined before it.
    let plain =
        |text: &str| text.replace("\\\n", "").replace('\t', " ").trim_start_matches([' ', '\n', '\\']).to_owned();
    // In a parameter, `<<` begins no here-document.
    let documents = text.split("${").skip(1).any(|rest| rest.split('}').next().is_some_and(|rest| rest.contains("<<")));
    documents || plain(raw) != plain(text) || raw.contains("\\\n") && has_comment(raw)
}

/// Whether a comment may stand in `text`: a `#` that begins a word.
pub(super) fn has_comment(text: &str) -> bool {
    let begins = |at: usize| {
        let before = text.get(..at).unwrap_or_default().trim_end_matches("\\\n");
        before.is_empty() || before.ends_with(|c: char| c.is_whitespace() || ";&|()<>`".contains(c))
    };
    text.match_indices('#').any(|(at, _)| begins(at))
}

/// The tokens of `source`; `None` when it cannot be cut (brush-parser 0.4.0 panics at `99999999999>a`).
pub(super) fn tokens(source: &str, options: &ParserOptions) -> Option<Vec<Token>> {
    // Where no line follows a here-document whose end is the empty text, it makes tokens until there is no memory left.
    let ended = source.contains("<<").then(|| format!("{source}\n\n"));
    let cut = || uncached_tokenize_str(ended.as_deref().unwrap_or(source), &options.tokenizer_options());
    catch_unwind(AssertUnwindSafe(cut)).ok()?.ok()
}

/// Whether a comment runs to the end of `text`, and so over what follows it.
pub(super) fn ends_in_comment(text: &str, options: &ParserOptions) -> bool {
    let last = text.rsplit('\n').next().unwrap_or_default();
    last.contains('#')
        && tokens(text, options).is_none_or(|tokens| {
            let length = text.chars().count();
            let ends = tokens.iter().map(|token| token.location().end.index).filter(|end| *end <= length);
            text.chars().skip(ends.max().unwrap_or(0)).any(|c| c == '#')
        })
}

/// Whether `@(…)` or its like holds quotes, which the parser counts parentheses in.
fn is_quoted_group(text: &str) -> bool {
    let is_plain = |rest: &str| !rest.contains(['\'', '"', '`', '\\', '$', '#', '\n', ';', '<', '>']);
    let groups = ["@(", "?(", "*(", "+(", "!("];
    if !groups.iter().any(|group| text.contains(group)) {
        return false;
    }
    // Where quotes begin and end is not looked for inside of substitutions.
    if text.contains("$(") || text.contains('`') {
        return groups.iter().any(|group| text.split_once(group).is_some_and(|(_, rest)| !is_plain(rest)));
    }
    let (mut quote, mut escaped, mut before) = (None, false, ' ');
    for (at, c) in text.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (None | Some('"'), '\\') => escaped = true,
            (Some(open), c) if open == c => quote = None,
            (None, '\'' | '"' | '`') => quote = Some(c),
            (None, '(') if "@?*+!".contains(before) => {
                return !is_plain(text.get(at..).unwrap_or_default());
            }
            _ => {}
        }
        before = c;
    }
    false
}

/// Whether a word may hold a process substitution: `<(` or `>(` that is not quoted.
pub(super) fn starts_process(text: &str) -> bool {
    let starts = |text: &str| text.contains("<(") || text.contains(">(");
    if !starts(&text.replace("\\\n", "")) {
        return false;
    }
    let (mut quote, mut before) = (None, ' ');
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (quote, c) {
            // Where quotes begin and end is not looked for inside of substitutions.
            (None | Some('"'), '`') => return true,
            (None | Some('"'), '$') if rest.as_str().starts_with(['(', '{', '[', '\'']) => return true,
            (None | Some('"'), '\\') => {
                before = if rest.next() == Some('\n') { before } else { c };
                continue;
            }
            (Some(open), c) if open == c => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') if matches!(before, '<' | '>') => return true,
            _ => {}
        }
        before = c;
    }
    false
}

/// Whether a word begins with a subscript that does not end in it: it may end in a later word, whatever is between.
fn is_open_subscript(text: &str, in_array: bool) -> bool {
    let name = text.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let named = name.len() < text.len() || in_array;
    named && name.starts_with('[') && !name.contains(']')
}

/// The text of a here-document, its lines joined where they end in a `\`, as the shell does first.
pub(super) fn joined(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text.chars());
    while let Some(c) = rest.next() {
        match (c, rest.as_str().chars().next()) {
            ('\\', Some('\n')) => drop(rest.next()),
            ('\\', Some(next)) => {
                out.extend([c, next]);
                rest.next();
            }
            _ => out.push(c),
        }
    }
    out
}
