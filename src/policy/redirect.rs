//! Redirections: their files, here-documents and what is substituted in them. A part of `walk`.

use brush_parser::ast::{
    CommandPrefixOrSuffixItem as Item, IoFileRedirectKind, IoFileRedirectTarget, IoRedirect, RedirectList,
};
use brush_parser::word;

use super::facts::Redirect;
use super::misread::joined;
use super::walk::Walk;
use super::word::Word;

/// Most substitutions in a here-document that are looked at.
const HEREDOC_SUBSTITUTIONS_MAX: usize = 6;

impl Walk {
    pub(super) fn redirects(&mut self, redirects: Option<&RedirectList>) {
        redirects.into_iter().flat_map(|list| &list.0).for_each(|redirect| self.redirect(redirect));
    }

    /// Redirections of all commands since `first`.
    pub(super) fn redirects_of(&mut self, first: usize, redirects: Option<&RedirectList>) {
        let known = self.facts.redirects.len();
        let end = self.facts.commands.len();
        self.redirects(redirects);
        self.facts.redirects.iter_mut().skip(known).for_each(|redirect| redirect.of = first..end);
    }

    pub(super) fn redirect(&mut self, redirect: &IoRedirect) {
        match redirect {
            IoRedirect::File(_, kind, target) => {
                let writes = !matches!(kind, IoFileRedirectKind::Read | IoFileRedirectKind::DuplicateInput);
                match target {
                    IoFileRedirectTarget::Filename(word) => self.file(&word.value, writes),
                    IoFileRedirectTarget::Duplicate(word) => {
                        if !word.value.trim_end_matches('-').bytes().all(|byte| byte.is_ascii_digit()) {
                            self.file(&word.value, writes);
                        }
                    }
                    IoFileRedirectTarget::ProcessSubstitution(_, shell) => self.list(&shell.list),
                    IoFileRedirectTarget::Fd(_) => {}
                }
            }
            // brush-parser 0.4.0 backtracks exponentially over substitutions that a body leaves open.
            IoRedirect::HereDocument(_, document)
                if document.requires_expansion && nested_openers(&document.doc.value) > HEREDOC_SUBSTITUTIONS_MAX =>
            {
                self.unknown("what the many substitutions of a here-document run");
            }
            IoRedirect::HereDocument(_, document) if document.requires_expansion => {
                match word::parse_heredoc(&joined(&document.doc.value), &self.options) {
                    Ok(pieces) => self.pieces(pieces),
                    Err(_) => self.unknown("a here-document cannot be parsed"),
                }
            }
            IoRedirect::HereDocument(..) => {}
            IoRedirect::HereString(_, word) => self.word(&word.value),
            IoRedirect::OutputAndError(word, _) => self.file(&word.value, true),
        }
    }

    pub(super) fn file(&mut self, raw: &str, writes: bool) {
        self.word(raw);
        for target in Word::read(raw, &self.options) {
            let next = self.facts.commands.len();
            self.facts.redirects.push(Redirect { target, writes, of: next..next + 1, span: self.span.clone() });
        }
    }
}

/// Openers that may hold others: all but a plain `${NAME}`.
fn nested_openers(text: &str) -> usize {
    let plain = |rest: &str| {
        rest.split_once('}').is_some_and(|(name, _)| name.chars().all(|c| c.is_alphanumeric() || c == '_'))
    };
    let braces = text.split("${").skip(1).filter(|rest| !plain(rest)).count();
    braces + text.matches("$(").count() + text.matches("$[").count() + text.matches('`').count()
}

/// The word of a redirection.
pub(super) fn word_of(redirect: &IoRedirect) -> Option<&brush_parser::ast::Word> {
    match redirect {
        IoRedirect::File(_, _, IoFileRedirectTarget::Filename(word) | IoFileRedirectTarget::Duplicate(word))
        | IoRedirect::HereString(_, word)
        | IoRedirect::OutputAndError(word, _) => Some(word),
        IoRedirect::File(_, _, IoFileRedirectTarget::ProcessSubstitution(..) | IoFileRedirectTarget::Fd(_))
        | IoRedirect::HereDocument(..) => None,
    }
}

/// A text that is the input of a command.
#[derive(Debug, Clone)]
pub(super) struct Input {
    /// As written.
    pub(super) text: String,
    /// Whether the shell changes nothing in it.
    pub(super) exact: bool,
}

/// The text that a redirection makes the input of a command.
pub(super) fn input(item: &Item) -> Option<Input> {
    match item {
        Item::IoRedirect(IoRedirect::HereDocument(_, document)) => {
            Some(Input { text: document.doc.value.clone(), exact: !document.requires_expansion })
        }
        Item::IoRedirect(IoRedirect::HereString(_, word)) => Some(Input { text: word.value.clone(), exact: false }),
        Item::IoRedirect(IoRedirect::File(..) | IoRedirect::OutputAndError(..))
        | Item::Word(_)
        | Item::AssignmentWord(..)
        | Item::ProcessSubstitution(..) => None,
    }
}
