//! Redirections: their files, here-documents and what is substituted in them. A part of `walk`.

use brush_parser::ast::{
    self, CommandPrefixOrSuffixItem as Item, IoFileRedirectKind, IoFileRedirectTarget, IoRedirect, RedirectList,
    SimpleCommand,
};
use brush_parser::{ParserOptions, word};

use super::dollars;
use super::facts::Redirect;
use super::misread::joined;
use super::walk::{Walk, excerpt};
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

    /// Notes which files a compound command overwrites, which it does before anything in it runs.
    pub(super) fn overwrites(&mut self, redirects: Option<&RedirectList>) {
        for redirect in redirects.into_iter().flat_map(|list| &list.0) {
            let (IoRedirect::File(_, _, IoFileRedirectTarget::Filename(word) | IoFileRedirectTarget::Duplicate(word))
            | IoRedirect::OutputAndError(word, _)) = redirect
            else {
                continue;
            };
            Word::read(&word.value, &self.options).iter().for_each(|target| self.written.changed(target));
        }
    }

    pub(super) fn redirect(&mut self, redirect: &IoRedirect) {
        match redirect {
            IoRedirect::HereDocument(_, document) => self.facts.held.push(Word::of(&document.doc.value)),
            IoRedirect::HereString(_, word) => self.hold(&word.value),
            IoRedirect::File(..) | IoRedirect::OutputAndError(..) => {}
        }
        match redirect {
            IoRedirect::File(number, kind, target) => {
                let writes = !matches!(kind, IoFileRedirectKind::Read | IoFileRedirectKind::DuplicateInput);
                match target {
                    IoFileRedirectTarget::Filename(word) => self.file(&word.value, writes),
                    IoFileRedirectTarget::Duplicate(word) if is_descriptor(&word.value) => {}
                    IoFileRedirectTarget::Duplicate(word) => {
                        let twice = matches!(number, None | Some(1)) && writes;
                        if word.value.starts_with('-') || twice && !self.is_plain_target(&word.value) {
                            self.unknown(format!("what the shell makes of `&{}`", excerpt(&word.value)));
                        }
                        self.file(&word.value, writes);
                    }
                    IoFileRedirectTarget::ProcessSubstitution(_, shell) => {
                        self.written.repeats += 1;
                        self.apart(&shell.list);
                    }
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
                if dollars::misread_document(&joined(&document.doc.value)) {
                    self.unknown("what `$$` and a bracket are in a here-document");
                }
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

    /// Whether the shell, which expands the file of `>&file` twice, finds nothing to expand the second time.
    fn is_plain_target(&self, raw: &str) -> bool {
        let plain = |c: char| c.is_alphanumeric() || "-_./:,+@%=^~".contains(c);
        let words = Word::read(raw, &self.options);
        words.iter().all(|word| word.text().is_some_and(|text| text.chars().all(plain)))
    }

    pub(super) fn file(&mut self, raw: &str, writes: bool) {
        self.word(raw);
        for target in Word::read(raw, &self.options) {
            let next = self.facts.commands.len();
            self.facts.redirects.push(Redirect { target, writes, of: next..next + 1, span: self.span.clone() });
        }
    }
}

/// Whether what follows `>&` names an open file, or closes or moves one. Behind `-` bash begins another word.
fn is_descriptor(word: &str) -> bool {
    let number = word.strip_suffix('-').unwrap_or(word);
    !word.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
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
    /// What it is, or, where the shell may change something in it, how it is written.
    pub(super) text: String,
    /// Whether the shell changes nothing in it.
    pub(super) exact: bool,
}

/// All redirections of a command, in the order in which the shell makes them.
pub(super) fn all(simple: &SimpleCommand) -> Vec<&IoRedirect> {
    let prefix = simple.prefix.iter().flat_map(|prefix| &prefix.0);
    let items = prefix.chain(simple.suffix.iter().flat_map(|suffix| &suffix.0));
    items.filter_map(|item| if let Item::IoRedirect(redirect) = item { Some(redirect) } else { None }).collect()
}

/// The text that redirections make the input of a command; `None` where the last of them that is about its input
/// makes it something else.
pub(super) fn input(redirects: &[&IoRedirect], options: &ParserOptions) -> Option<Input> {
    let of_input = |redirect: &&&IoRedirect| match redirect {
        IoRedirect::File(Some(number), ..)
        | IoRedirect::HereDocument(Some(number), _)
        | IoRedirect::HereString(Some(number), _) => *number == 0,
        IoRedirect::File(None, kind, _) => reads(kind),
        IoRedirect::HereDocument(None, _) | IoRedirect::HereString(None, _) => true,
        IoRedirect::OutputAndError(..) => false,
    };
    match redirects.iter().rev().find(of_input)? {
        IoRedirect::HereDocument(_, document) => {
            let text = document.doc.value.clone();
            Some(Input { exact: !document.requires_expansion || !text.contains(['$', '`', '\\']), text })
        }
        IoRedirect::HereString(_, word) => Some(match Word::single(&word.value, options) {
            Some(word) if word.known => Input { text: word.fixed, exact: true },
            Some(_) | None => Input { text: word.value.clone(), exact: false },
        }),
        IoRedirect::File(..) | IoRedirect::OutputAndError(..) => None,
    }
}

fn reads(kind: &IoFileRedirectKind) -> bool {
    matches!(kind, IoFileRedirectKind::Read | IoFileRedirectKind::ReadAndWrite | IoFileRedirectKind::DuplicateInput)
}

/// The file that becomes what the input is: of `cat` without words, with one here-text and one plain output.
pub(super) fn copied<'a>(simple: &SimpleCommand, redirects: &[&'a IoRedirect]) -> Option<&'a ast::Word> {
    let is_cat = simple.word_or_name.as_ref().is_some_and(|word| word.value == "cat");
    let items =
        simple.prefix.iter().map(|prefix| prefix.0.len()).chain(simple.suffix.iter().map(|suffix| suffix.0.len()));
    let is_text =
        |redirect: &&&IoRedirect| matches!(redirect, IoRedirect::HereDocument(..) | IoRedirect::HereString(..));
    let target = redirects.iter().find_map(|redirect| {
        let IoRedirect::File(None | Some(1), kind, IoFileRedirectTarget::Filename(word)) = redirect else {
            return None;
        };
        matches!(kind, IoFileRedirectKind::Write | IoFileRedirectKind::Clobber).then_some(word)
    });
    let only = redirects.len() == 2 && items.sum::<usize>() == 2 && redirects.iter().filter(is_text).count() == 1;
    target.filter(|_| is_cat && only)
}
