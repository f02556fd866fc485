//! Text with styles, and how it is written as Telegram's HTML.
//!
//! A text is a row of runs, each with its whole style; so it can be cut anywhere, and every part
//! opens and closes what it needs. Between two blocks stands a border.

use std::rc::Rc;

use super::text::{blank, clean, escape, escaped_bytes, units};

/// How a run looks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Style {
    pub(super) bold: bool,
    pub(super) italic: bool,
    pub(super) underline: bool,
    pub(super) strike: bool,
    pub(super) code: bool,
    /// Inside a quotation.
    pub(super) quote: bool,
    /// In a block of code; its language, which may be empty.
    pub(super) pre: Option<Rc<str>>,
    /// Where it leads: http or https.
    pub(super) link: Option<Rc<str>>,
}

/// A stretch of text in one style.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) text: String,
    pub(super) style: Style,
    /// Whether it only parts two blocks: newlines, the best place for a cut.
    pub(super) border: bool,
}

/// What a message part takes of Telegram's limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// UTF-16 units after the tags are taken out.
    pub(super) units: usize,
    /// Bytes of HTML, at most.
    pub(super) bytes: usize,
    /// Entities, at most.
    pub(super) entities: usize,
}

impl Size {
    /// Both together.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            units: self.units.saturating_add(other.units),
            bytes: self.bytes.saturating_add(other.bytes),
            entities: self.entities.saturating_add(other.entities),
        }
    }

    /// Whether it is within `most` in every respect.
    pub(super) fn fits(self, most: Self) -> bool {
        self.units <= most.units && self.bytes <= most.bytes && self.entities <= most.entities
    }

    /// Of a text, without the tags around it.
    pub(super) fn of(text: &str) -> Self {
        Self { units: units(text), bytes: text.chars().map(escaped_bytes).sum(), entities: 0 }
    }
}

impl Style {
    /// In code, other styles have no meaning; a link's text cannot be code.
    fn tags(&self) -> Vec<Tag> {
        let mut tags = Vec::new();
        if self.quote {
            tags.push(Tag::Quote);
        }
        if let Some(language) = &self.pre {
            tags.push(Tag::Pre(Rc::clone(language)));
            return tags;
        }
        match &self.link {
            Some(link) => tags.push(Tag::Link(Rc::clone(link))),
            None if self.code => {
                tags.push(Tag::Plain("code"));
                return tags;
            }
            None => {}
        }
        let flags = [(self.bold, "b"), (self.italic, "i"), (self.underline, "u"), (self.strike, "s")];
        tags.extend(flags.iter().filter(|(on, _)| *on).map(|(_, name)| Tag::Plain(name)));
        tags
    }

    /// What the tags take.
    pub(super) fn size(&self) -> Size {
        let tags = self.tags();
        let mut html = String::new();
        tags.iter().for_each(|tag| tag.open(&mut html));
        tags.iter().for_each(|tag| tag.close(&mut html));
        Size { units: 0, bytes: html.len(), entities: tags.len() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Tag {
    Quote,
    Pre(Rc<str>),
    Link(Rc<str>),
    Plain(&'static str),
}

impl Tag {
    fn open(&self, html: &mut String) {
        match self {
            Self::Quote => html.push_str("<blockquote>"),
            Self::Pre(language) if language.is_empty() => html.push_str("<pre>"),
            Self::Pre(language) => {
                html.push_str("<pre><code class=\"language-");
                escape(html, language);
                html.push_str("\">");
            }
            Self::Link(link) => {
                html.push_str("<a href=\"");
                escape(html, link);
                html.push_str("\">");
            }
            Self::Plain(name) => {
                html.push('<');
                html.push_str(name);
                html.push('>');
            }
        }
    }

    fn close(&self, html: &mut String) {
        match self {
            Self::Quote => html.push_str("</blockquote>"),
            Self::Pre(language) if language.is_empty() => html.push_str("</pre>"),
            Self::Pre(_) => html.push_str("</code></pre>"),
            Self::Link(_) => html.push_str("</a>"),
            Self::Plain(name) => {
                html.push_str("</");
                html.push_str(name);
                html.push('>');
            }
        }
    }
}

/// Runs in the making.
#[derive(Debug, Default)]
pub(super) struct Rich {
    pub(super) runs: Vec<Run>,
}

impl Rich {
    /// Appends cleaned text.
    pub(super) fn push(&mut self, text: &str, style: &Style) {
        let text = clean(text);
        match self.runs.last_mut() {
            _ if text.is_empty() => {}
            Some(last) if !last.border && last.style == *style => last.text.push_str(&text),
            Some(_) | None => self.runs.push(Run { text, style: style.clone(), border: false }),
        }
    }

    /// Appends text in no style.
    pub(super) fn say(&mut self, text: &str) {
        self.push(text, &Style::default());
    }

    /// Appends bold text.
    pub(super) fn bold(&mut self, text: &str) {
        self.push(text, &Style { bold: true, ..Style::default() });
    }

    /// Appends text in italics.
    pub(super) fn italic(&mut self, text: &str) {
        self.push(text, &Style { italic: true, ..Style::default() });
    }

    /// Appends code within a line.
    pub(super) fn code(&mut self, text: &str) {
        self.push(text, &Style { code: true, ..Style::default() });
    }

    /// Appends a block of code, without its last newline.
    pub(super) fn pre(&mut self, text: &str, language: &str) {
        let style = Style { pre: Some(Rc::from(language)), ..Style::default() };
        self.push(text.strip_suffix('\n').unwrap_or(text), &style);
    }

    /// Parts two blocks by so many newlines; nothing at the very beginning.
    pub(super) fn border(&mut self, newlines: usize, quote: bool) {
        if !self.runs.is_empty() {
            let style = Style { quote, ..Style::default() };
            self.runs.push(Run { text: "\n".repeat(newlines), style, border: true });
        }
    }

    /// What all of it takes.
    pub(super) fn size(&self) -> Size {
        self.runs.iter().fold(Size::default(), |sum, run| sum.plus(run.style.size()).plus(Size::of(&run.text)))
    }

    /// All of it as HTML.
    pub(super) fn html(&self) -> String {
        html(&self.runs)
    }
}

/// Whether a reader sees anything of these runs.
pub(super) fn visible(runs: &[Run]) -> bool {
    runs.iter().any(|run| run.text.chars().any(|character| !blank(character)))
}

/// The runs as Telegram's HTML: tags stay open across runs that share them, and nest properly.
pub(super) fn html(runs: &[Run]) -> String {
    let mut html = String::new();
    let mut open: Vec<Tag> = Vec::new();
    for run in runs {
        let tags = run.style.tags();
        let shared = open.iter().zip(&tags).take_while(|(one, other)| one == other).count();
        open.drain(shared..).rev().for_each(|tag| tag.close(&mut html));
        for tag in tags.into_iter().skip(shared) {
            tag.open(&mut html);
            open.push(tag);
        }
        escape(&mut html, &run.text);
    }
    open.drain(..).rev().for_each(|tag| tag.close(&mut html));
    html
}
