//! A word of the shell as far as it is known before the shell runs. Owns quoting, brace expansion
//! and `$'…'`; guesses nothing: what is not fixed by the text alone is dynamic.

use brush_parser::ParserOptions;
use brush_parser::word::{self, Parameter, ParameterExpr, TildeExpr, WordPiece, WordPieceWithSource};

/// Most words that one word may expand to by braces; beyond that it counts as dynamic.
const BRACES_MAX: usize = 64;

/// Most words inside one another that are looked into for a `$` that is none to the shell.
const INSIDE_MAX: usize = 4;

/// Where pieces of a word stand.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Between double quotes.
    quoted: bool,
    /// In a word that may be several even there.
    lists: bool,
    /// In so many others.
    depth: usize,
}

/// A word.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Word {
    /// As written.
    pub(crate) raw: String,
    /// What the shell will make of it, up to the first part that is not known.
    pub(crate) fixed: String,
    /// Whether `fixed` is all of it.
    pub(crate) known: bool,
    /// Whether an unquoted `*`, `?` or `[` stands in it, or the start of an extended pattern, as `@(`.
    pub(crate) glob: bool,
    /// Whether a part that is not known may become several words, or none.
    pub(crate) splits: bool,
    /// Whether a `$` or a backquote stands in it, or is put in by it, that the shell keeps as it is.
    pub(crate) dollar: bool,
    /// Whether it is one word only where `IFS` and the working directory are plain: `$PWD`, `$(date +%F)`.
    pub(crate) usual: bool,
}

impl Word {
    /// The whole text, when it is known; a glob is not.
    pub(crate) fn text(&self) -> Option<&str> {
        (self.known && !self.glob).then_some(self.fixed.as_str())
    }

    /// The text as written by a glob or a known word; `None` when a part is dynamic.
    pub(crate) fn pattern(&self) -> Option<&str> {
        self.known.then_some(self.fixed.as_str())
    }

    /// Whether it may become several words, or none.
    pub(crate) fn is_loose(&self) -> bool {
        self.splits || self.glob
    }

    /// Whether the program may read it as an option, or one that follows from it: `"$x"`, `a$x`, `*`, but not `./*`.
    pub(crate) fn may_be_option(&self) -> bool {
        let open = self.fixed.is_empty() || self.fixed.starts_with('-');
        self.splits || !self.known && open || self.glob && (open || glob_at(&self.fixed) == Some(0))
    }

    /// The known part before a glob begins.
    pub(crate) fn front(&self) -> &str {
        let end = glob_at(&self.fixed).filter(|_| self.glob).unwrap_or(self.fixed.len());
        self.fixed.get(..end).unwrap_or_default()
    }

    /// A word of known text.
    pub(crate) fn of(text: &str) -> Self {
        let dollar = text.contains(['$', '`']);
        Self { fixed: text.to_owned(), known: true, splits: false, dollar, ..Self::unknown(text) }
    }

    /// A word of which nothing is known.
    pub(crate) fn unknown(raw: &str) -> Self {
        Self {
            raw: raw.to_owned(),
            fixed: String::new(),
            known: false,
            glob: false,
            splits: true,
            dollar: false,
            usual: false,
        }
    }

    /// The word that `raw` is where braces make no words, as in an assignment; `None` where it holds some.
    pub(crate) fn single(raw: &str, options: &ParserOptions) -> Option<Self> {
        Self::plain(raw).or_else(|| first_brace(raw).is_none().then(|| Self::read_one(raw, options)))
    }

    /// The words that `raw` expands to by braces, each as far as it is known.
    pub(crate) fn read(raw: &str, options: &ParserOptions) -> Vec<Self> {
        if let Some(word) = Self::plain(raw) {
            return vec![word];
        }
        let mut expanded = vec![String::new()];
        if !expand_braces(raw, &mut expanded) {
            return vec![Self::unknown(raw)];
        }
        // What braces leave without text or quotes is no word.
        let is_word = |text: &&String| !text.replace("\\\n", "").is_empty();
        expanded.iter().filter(is_word).map(|text| Self::read_one(text, options)).collect()
    }

    /// The word, when all that is special in it are plain quotes and globs; the parser takes longer.
    fn plain(raw: &str) -> Option<Self> {
        let fixed = String::with_capacity(raw.len());
        let mut word = Self { fixed, known: true, splits: false, ..Self::unknown(raw) };
        let mut rest = raw.chars();
        while let Some(c) = rest.next() {
            match c {
                '\'' | '"' => loop {
                    match rest.next()? {
                        '$' | '`' | '\\' if c == '"' => return None,
                        end if end == c => break,
                        inner => {
                            word.dollar |= matches!(inner, '$' | '`');
                            word.fixed.push(inner);
                        }
                    }
                },
                '*' | '?' => {
                    word.glob = true;
                    word.fixed.push(c);
                }
                c if c.is_ascii_alphanumeric() || "-_./:,+@%=^".contains(c) => word.fixed.push(c),
                _ => return (raw == "{}").then(|| Self::of(raw)),
            }
        }
        Some(word)
    }

    fn read_one(raw: &str, options: &ParserOptions) -> Self {
        Self::read_inside(raw, options, 0)
    }

    /// The word that stands in `depth` others.
    fn read_inside(raw: &str, options: &ParserOptions, depth: usize) -> Self {
        let mut word = Self { known: true, splits: false, ..Self::unknown(raw) };
        // Also between double quotes: `"$@"`, `"${a[@]}"`, `"${!x}"`.
        let lists = ["$@", "${@", "[@]", "${!"].iter().any(|list| raw.contains(list));
        match word::parse(raw, options) {
            Ok(pieces) => word.pieces(pieces, Place { quoted: false, lists, depth }, options),
            Err(_) => word.known = false,
        }
        word
    }

    fn push(&mut self, text: &str) {
        self.dollar |= text.contains(['$', '`']);
        if self.known {
            self.fixed.push_str(text);
        }
    }

    /// Whether unquoted `text` behind what is known makes a glob.
    fn makes_glob(&self, text: &str) -> bool {
        glob_at(text).is_some() && self.raw != "[" || text.starts_with('(') && self.fixed.ends_with(['@', '+', '!'])
    }

    fn pieces(&mut self, pieces: Vec<WordPieceWithSource>, place: Place, options: &ParserOptions) {
        let Place { quoted, lists, depth } = place;
        for piece in pieces {
            match piece.piece {
                WordPiece::Text(text) => {
                    self.glob |= !quoted && self.makes_glob(&text);
                    self.push(&text);
                }
                WordPiece::SingleQuotedText(text) => self.push(&text),
                WordPiece::AnsiCQuotedText(text) => match ansi_c(&text) {
                    Some(text) => self.push(&text),
                    None => (self.known, self.dollar) = (false, true),
                },
                WordPiece::EscapeSequence(text) => {
                    let text = text.strip_prefix('\\').unwrap_or(&text);
                    if text != "\n" {
                        self.push(text);
                    }
                }
                WordPiece::DoubleQuotedSequence(pieces) | WordPiece::GettextDoubleQuotedSequence(pieces) => {
                    self.pieces(pieces, Place { quoted: true, ..place }, options);
                }
                WordPiece::TildeExpansion(TildeExpr::Home) => self.push("~"),
                WordPiece::ParameterExpansion(ParameterExpr::Parameter {
                    parameter: Parameter::Named(name),
                    indirect: false,
                }) if self.fixed.is_empty() && matches!(name.as_str(), "HOME" | "PWD") => {
                    self.usual |= !quoted;
                    self.push(if name == "HOME" { "~" } else { "." });
                }
                WordPiece::CommandSubstitution(source) if is_one_word(&source) => {
                    self.usual |= !quoted;
                    self.known = false;
                }
                WordPiece::ParameterExpansion(parameter) => {
                    let keeps = |text: &str| depth >= INSIDE_MAX || Self::read_inside(text, options, depth + 1).dollar;
                    self.dollar |= put_in(parameter).is_some_and(|text| text.contains(['$', '`']) && keeps(&text));
                    self.known = false;
                    self.splits |= !quoted || lists;
                }
                WordPiece::TildeExpansion(_)
                | WordPiece::CommandSubstitution(_)
                | WordPiece::BackquotedCommandSubstitution(_)
                | WordPiece::ArithmeticExpression(_) => {
                    self.known = false;
                    self.splits |= !quoted || lists;
                }
            }
        }
    }
}

/// Where the first glob of a text begins.
fn glob_at(text: &str) -> Option<usize> {
    let extended = ["@(", "+(", "!("].iter().filter_map(|group| text.find(group)).min();
    text.find(['*', '?', '[']).into_iter().chain(extended).min()
}

/// The text that a parameter may be replaced with, or in part.
fn put_in(parameter: ParameterExpr) -> Option<String> {
    use ParameterExpr as E;
    match parameter {
        E::UseDefaultValues { default_value: text, .. }
        | E::AssignDefaultValues { default_value: text, .. }
        | E::UseAlternativeValue { alternative_value: text, .. }
        | E::ReplaceSubstring { replacement: text, .. } => text,
        E::Parameter { .. }
        | E::ParameterLength { .. }
        | E::IndicateErrorIfNullOrUnset { .. }
        | E::RemoveSmallestSuffixPattern { .. }
        | E::RemoveLargestSuffixPattern { .. }
        | E::RemoveSmallestPrefixPattern { .. }
        | E::RemoveLargestPrefixPattern { .. }
        | E::Substring { .. }
        | E::Transform { .. }
        | E::UppercaseFirstChar { .. }
        | E::UppercasePattern { .. }
        | E::LowercaseFirstChar { .. }
        | E::LowercasePattern { .. }
        | E::VariableNames { .. }
        | E::MemberKeys { .. } => None,
    }
}

/// Whether a substitution gives a number or a time, and no space: `$(nproc)`, `$(date +%F)`.
fn is_one_word(source: &str) -> bool {
    let format = source.trim().strip_prefix("date +").map(|format| format.trim_matches(['"', '\'']));
    // `%_H` begins with a space.
    let pads =
        |format: &str| format.split('%').skip(1).any(|rest| rest.trim_start_matches(['-', ':']).starts_with('_'));
    let plain = |format: &str| !format.is_empty() && format.chars().all(|c| "%YmdHMSFTjsNyu_:.-".contains(c));
    source.trim() == "nproc" || format.is_some_and(|format| plain(format) && !pads(format))
}

/// Appends every way that `raw` expands by unquoted `{a,b}` to each of `heads`; false when it is a
/// range or too much.
fn expand_braces(raw: &str, heads: &mut Vec<String>) -> bool {
    let Some((before, choices, after)) = first_brace(raw) else {
        heads.iter_mut().for_each(|head| head.push_str(raw));
        return true;
    };
    let Some(choices) = choices else { return false };
    let mut all = Vec::new();
    for choice in choices {
        let mut some: Vec<String> = heads.iter().map(|head| format!("{head}{before}")).collect();
        if some.len().saturating_add(all.len()) > BRACES_MAX || !expand_braces(&choice, &mut some) {
            return false;
        }
        all.extend(some);
    }
    if all.len() > BRACES_MAX {
        return false;
    }
    *heads = all;
    expand_braces(after, heads)
}

type Brace<'a> = (&'a str, Option<Vec<String>>, &'a str);

/// The first unquoted brace expansion: what is before it, its choices (`None` for a range), and
/// what is after it.
fn first_brace(raw: &str) -> Option<Brace<'_>> {
    let mut search = 0;
    while let Some(open) = next_open(raw, search) {
        if let Some((choices, range, end)) = close_brace(raw.get(open + 1..)?) {
            let after = raw.get(open + 1 + end..)?;
            if choices.len() > 1 {
                return Some((raw.get(..open)?, Some(choices), after));
            }
            if range {
                return Some((raw.get(..open)?, None, after));
            }
        }
        search = open + 1;
    }
    None
}

fn next_open(raw: &str, from: usize) -> Option<usize> {
    let (mut quote, mut escaped, mut dollar, mut depth) = (None, false, false, 0_usize);
    for (at, c) in raw.char_indices() {
        if escaped {
            escaped = false;
            continue;
        }
        match (quote, c) {
            (None | Some('"'), '\\') => escaped = true,
            (Some(q), c) if q == c => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"' | '`') => quote = Some(c),
            (None, '{' | '(') if dollar || depth > 0 => depth += 1,
            (None, '}' | ')') if depth > 0 => depth -= 1,
            (None, '{') if at >= from => return Some(at),
            (None, _) => {}
        }
        dollar = c == '$';
    }
    None
}

/// The parts between the commas up to the matching `}`, whether it is a `..` range, and the offset
/// after the brace.
fn close_brace(text: &str) -> Option<(Vec<String>, bool, usize)> {
    let (mut quote, mut escaped, mut depth) = (None, false, 0_usize);
    let mut choices = vec![String::new()];
    for (at, c) in text.char_indices() {
        let plain = !escaped && quote.is_none();
        match c {
            '}' if plain && depth == 0 => {
                let range = choices.len() == 1 && choices.iter().any(|choice| choice.contains(".."));
                return Some((choices, range, at + 1));
            }
            ',' if plain && depth == 0 => {
                choices.push(String::new());
                continue;
            }
            '{' | '(' if plain => depth += 1,
            '}' | ')' if plain => depth = depth.saturating_sub(1),
            '\'' | '"' if plain => quote = Some(c),
            c if !escaped && quote == Some(c) => quote = None,
            _ => {}
        }
        escaped = c == '\\' && !escaped && quote != Some('\'');
        choices.last_mut()?.push(c);
    }
    None
}

/// Decodes the inside of `$'…'` (bash(1), QUOTING); `None` for what it does not know.
fn ansi_c(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let number = |rest: &mut std::iter::Peekable<std::str::Chars<'_>>, radix: u32, most: usize, start: &str| {
            let mut digits = start.to_owned();
            while digits.len() < most {
                match rest.next_if(|c| c.is_digit(radix)) {
                    Some(digit) => digits.push(digit),
                    None => break,
                }
            }
            u32::from_str_radix(&digits, radix).ok().filter(|code| *code > 0).and_then(char::from_u32)
        };
        match rest.next()? {
            'n' => out.push('\n'),
            't' => out.push('\t'),
            c @ ('\\' | '\'' | '"' | '?') => out.push(c),
            'x' => out.push(number(&mut rest, 16, 2, "").filter(char::is_ascii)?),
            'u' => out.push(number(&mut rest, 16, 4, "")?),
            'U' => out.push(number(&mut rest, 16, 8, "")?),
            c @ '0'..='7' => out.push(number(&mut rest, 8, 3, &c.to_string()).filter(char::is_ascii)?),
            _ => return None,
        }
    }
    Some(out)
}
