//! The expansions inside of words: substitutions, parameters, arithmetic. The other half of `walk`.

use brush_parser::word::{self, Parameter, ParameterExpr, WordPiece, WordPieceWithSource};

use super::environment;
use super::misread;
use super::walk::{DEPTH_MAX, Walk, excerpt};

impl Walk {
    pub(super) fn word(&mut self, raw: &str) {
        if !raw.contains(['$', '`', '<', '>']) {
            return;
        }
        if self.depth >= DEPTH_MAX {
            return self.unknown("more is nested here than is looked at");
        }
        self.depth += 1;
        match word::parse(raw, &self.options) {
            Ok(pieces) => self.pieces(pieces),
            Err(_) => self.unknown(format!("`{}` cannot be parsed", excerpt(raw))),
        }
        self.depth -= 1;
    }

    /// brush-parser 0.4.0 makes plain text of a `${…}` that it cannot parse (`${ cmd; }`): an
    /// opener that is left in plain text is unknown.
    pub(super) fn pieces(&mut self, pieces: Vec<WordPieceWithSource>) {
        let mut run = String::new();
        for piece in pieces {
            if let WordPiece::Text(text) = piece.piece {
                run.push_str(&text);
            } else {
                self.leftover(&run);
                run.clear();
                self.piece(piece.piece);
            }
        }
        self.leftover(&run);
    }

    fn leftover(&mut self, text: &str) {
        if ["${", "$(", "$[", "`"].iter().any(|opener| text.contains(opener)) {
            self.unknown(format!("`{}` cannot be parsed", excerpt(text)));
        }
    }

    fn piece(&mut self, piece: WordPiece) {
        match piece {
            WordPiece::DoubleQuotedSequence(pieces) | WordPiece::GettextDoubleQuotedSequence(pieces) => {
                self.pieces(pieces);
            }
            WordPiece::CommandSubstitution(source) => {
                if misread::ends_in_comment(&source, &self.options) {
                    self.unknown(format!("where `$({}` ends, a comment in it", excerpt(&source)));
                }
                self.source(&source);
            }
            WordPiece::BackquotedCommandSubstitution(source) => self.backquoted(&source),
            WordPiece::ArithmeticExpression(expression) => self.arithmetic(&expression.value),
            WordPiece::ParameterExpansion(expression) => self.parameter(expression),
            WordPiece::Text(_)
            | WordPiece::SingleQuotedText(_)
            | WordPiece::AnsiCQuotedText(_)
            | WordPiece::TildeExpansion(_)
            | WordPiece::EscapeSequence(_) => {}
        }
    }

    /// What is evaluated: quotes keep nothing in it from being substituted, and a subscript is expanded twice.
    pub(super) fn arithmetic(&mut self, raw: &str) {
        self.facts.evaluates = true;
        self.evaluable(raw);
        let mut open = 0_i32;
        // `$((cmd) )`, or what looks so to bash alone, is a substitution.
        let commands = raw.chars().any(|c| {
            open += i32::from(c == '(') - i32::from(c == ')');
            open < 0
        });
        if commands
            || raw.contains("\\$")
            || raw.contains("\\`")
            || environment::is_set_in(raw)
            || environment::is_set_through(raw)
        {
            self.unknown(format!("what `{}` evaluates", excerpt(raw)));
        }
        self.word(raw);
        if raw.contains('\'') {
            match word::parse_heredoc(raw, &self.options) {
                Ok(pieces) => self.pieces(pieces),
                Err(_) => self.unknown(format!("`{}` cannot be parsed", excerpt(raw))),
            }
        }
    }

    /// brush-parser 0.4.0 takes the backslash off a backquote alone; bash takes it off `\\` and `\$` too, and off
    /// `\"` where the whole stands between double quotes, which is not known here: both are read.
    fn backquoted(&mut self, source: &str) {
        let plain = unescaped(source, &['\\', '$']);
        let quoted = unescaped(source, &['\\', '$', '"']);
        self.source(&plain);
        if quoted != plain {
            self.source(&quoted);
        }
    }

    /// What `${parameter:=raw}` sets.
    fn assigned(&mut self, parameter: &Parameter, indirect: bool, raw: &str) {
        match parameter {
            Parameter::Named(name) | Parameter::NamedWithIndex { name, .. } if !indirect => {
                let value = self.given(raw);
                self.assign(name, value, raw.to_owned(), false);
            }
            Parameter::Named(_)
            | Parameter::NamedWithIndex { .. }
            | Parameter::NamedWithAllIndices { .. }
            | Parameter::Positional(_)
            | Parameter::Special(_) => self.unknown("which variable `${!…:=…}` sets"),
        }
    }

    fn parameter(&mut self, expression: ParameterExpr) {
        use ParameterExpr as E;
        if let E::AssignDefaultValues { parameter, indirect, default_value, .. } = &expression {
            self.assigned(parameter, *indirect, default_value.as_deref().unwrap_or_default());
        }
        let (parameter, first, second) = match expression {
            E::UseDefaultValues { parameter, default_value: text, .. }
            | E::AssignDefaultValues { parameter, default_value: text, .. }
            | E::IndicateErrorIfNullOrUnset { parameter, error_message: text, .. }
            | E::UseAlternativeValue { parameter, alternative_value: text, .. }
            | E::RemoveSmallestSuffixPattern { parameter, pattern: text, .. }
            | E::RemoveLargestSuffixPattern { parameter, pattern: text, .. }
            | E::RemoveSmallestPrefixPattern { parameter, pattern: text, .. }
            | E::RemoveLargestPrefixPattern { parameter, pattern: text, .. }
            | E::UppercaseFirstChar { parameter, pattern: text, .. }
            | E::UppercasePattern { parameter, pattern: text, .. }
            | E::LowercaseFirstChar { parameter, pattern: text, .. }
            | E::LowercasePattern { parameter, pattern: text, .. } => (Some(parameter), text, None),
            E::Substring { parameter, offset, length, .. } => {
                self.arithmetic(&offset.value);
                length.iter().for_each(|length| self.arithmetic(&length.value));
                (Some(parameter), None, None)
            }
            E::ReplaceSubstring { parameter, pattern, replacement, .. } => {
                (Some(parameter), Some(pattern), replacement)
            }
            E::Transform { parameter, .. } => {
                self.unknown("`${…@…}` may run what a variable holds");
                (Some(parameter), None, None)
            }
            E::Parameter { parameter, .. } | E::ParameterLength { parameter, .. } => (Some(parameter), None, None),
            E::VariableNames { .. } | E::MemberKeys { .. } => (None, None, None),
        };
        if let Some(Parameter::NamedWithIndex { index, .. }) = parameter {
            self.arithmetic(&index);
        }
        for text in [first, second].into_iter().flatten() {
            if text.contains("<(") || text.contains(">(") {
                self.unknown(format!("what `{}` runs", excerpt(&text)));
            }
            self.word(&text);
            // Between double quotes a single one is a character like others: `"${x-'$(id)'}"`.
            for piece in word::parse(&text, &self.options).into_iter().flatten() {
                if let WordPiece::SingleQuotedText(inner) | WordPiece::AnsiCQuotedText(inner) = piece.piece {
                    self.word(&inner);
                }
            }
        }
    }
}

/// `text` without the backslashes before `characters`.
fn unescaped(text: &str, characters: &[char]) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text.chars().peekable());
    while let Some(c) = rest.next() {
        let next = if c == '\\' { rest.next_if(|next| characters.contains(next)) } else { None };
        out.push(next.unwrap_or(c));
    }
    out
}
