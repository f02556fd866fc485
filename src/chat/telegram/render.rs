//! What a model wrote (Markdown, or anything) as Telegram's HTML.
//!
//! Emphasis, code, quotations and links to http and https are shown as such. What Telegram has no
//! form for is written plainly: headings in bold, lists with bullets, tables as aligned text, images
//! as links, other links with their address beside them, HTML as it was typed. No word is dropped.

use std::rc::Rc;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use super::rich::{Rich, Style, html};
use super::split::{MESSAGE_MAX, split};
use super::table::Table;

/// Longest address of a link, in bytes; a longer one is written as text.
const LINK_BYTES_MAX: usize = 2000;
/// Longest name of a language, in bytes.
const LANGUAGE_BYTES_MAX: usize = 32;
/// Deepest list that is still indented.
const INDENT_MAX: usize = 8;

/// The messages that show this text, in order: HTML that Telegram's parser accepts, each of 1 to
/// 4096 UTF-16 units after parsing and at most 32,000 bytes. None when nothing of it can be seen.
pub fn render(markdown: &str) -> Vec<String> {
    split(&rich(markdown).runs, MESSAGE_MAX).iter().map(|part| html(part)).collect()
}

/// The same, in one piece and before it is cut.
pub(super) fn rich(markdown: &str) -> Rich {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut writer = Writer::default();
    for event in Parser::new_ext(markdown, options) {
        writer.event(event);
    }
    writer.rich
}

/// A link or image that is open, and the text inside it so far.
#[derive(Debug)]
struct Link {
    address: String,
    shown: String,
}

#[derive(Debug, Default)]
struct Writer {
    rich: Rich,
    /// How many of each are open in Markdown, then in the HTML of this block.
    bold: u32,
    italic: u32,
    strike: u32,
    typed: Typed,
    quotes: usize,
    links: Vec<Link>,
    /// The number of the next item of each open list, if it counts.
    lists: Vec<Option<u64>>,
    /// Newlines that are due before the next text.
    gap: usize,
    /// What the next text of an item begins with.
    bullet: Option<String>,
    /// The language and text of the block of code that is open.
    code: Option<(String, String)>,
    table: Option<Table>,
}

/// Tags that were typed as HTML and not closed yet.
#[derive(Debug, Default)]
struct Typed {
    bold: bool,
    italic: bool,
    underline: bool,
    strike: bool,
    code: bool,
}

impl Writer {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) | Event::Html(text) => self.text(&text),
            Event::Code(text) | Event::InlineMath(text) | Event::DisplayMath(text) => {
                let style = Style { code: true, ..self.style() };
                self.write(&text, &style);
            }
            Event::InlineHtml(tag) => self.inline_html(&tag),
            Event::FootnoteReference(name) => self.text(&format!("[{name}]")),
            Event::SoftBreak | Event::HardBreak => self.text("\n"),
            Event::Rule => {
                self.block(2);
                self.text("———");
                self.block(2);
            }
            Event::TaskListMarker(done) => self.text(if done { "☑ " } else { "☐ " }),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph
            | Tag::HtmlBlock
            | Tag::FootnoteDefinition(_)
            | Tag::DefinitionList
            | Tag::DefinitionListTitle
            | Tag::DefinitionListDefinition
            | Tag::MetadataBlock(_) => self.block(2),
            Tag::Heading { .. } => {
                self.block(2);
                self.bold += 1;
            }
            Tag::BlockQuote(_) => {
                self.block(2);
                self.quotes += 1;
            }
            Tag::CodeBlock(kind) => {
                self.block(2);
                let language = match kind {
                    CodeBlockKind::Indented => String::new(),
                    CodeBlockKind::Fenced(words) => language(&words),
                };
                self.code = Some((language, String::new()));
            }
            Tag::List(first) => {
                self.block(2);
                self.lists.push(first);
            }
            Tag::Item => self.item(),
            Tag::Table(_) => {
                self.block(2);
                self.table = Some(Table::default());
            }
            Tag::TableHead | Tag::TableRow => self.table.iter_mut().for_each(Table::row),
            Tag::TableCell => self.table.iter_mut().for_each(Table::cell),
            Tag::Emphasis => self.italic += 1,
            Tag::Strong => self.bold += 1,
            Tag::Strikethrough => self.strike += 1,
            Tag::Superscript | Tag::Subscript => {}
            Tag::Link { dest_url, .. } => {
                self.links.push(Link { address: dest_url.into_string(), shown: String::new() });
            }
            Tag::Image { dest_url, .. } => {
                self.text("🖼 ");
                self.links.push(Link { address: dest_url.into_string(), shown: String::new() });
            }
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph
            | TagEnd::HtmlBlock
            | TagEnd::FootnoteDefinition
            | TagEnd::DefinitionList
            | TagEnd::DefinitionListTitle
            | TagEnd::DefinitionListDefinition
            | TagEnd::MetadataBlock(_) => self.block(2),
            TagEnd::Heading(_) => {
                self.bold = self.bold.saturating_sub(1);
                self.block(2);
            }
            TagEnd::BlockQuote(_) => {
                self.quotes = self.quotes.saturating_sub(1);
                self.block(2);
            }
            TagEnd::CodeBlock => self.end_code(),
            TagEnd::List(_) => {
                self.lists.pop();
                self.block(2);
            }
            TagEnd::Item => {
                if self.bullet.is_some() {
                    self.text("\u{a0}");
                }
                self.typed = Typed::default();
            }
            TagEnd::Table => {
                if let Some(table) = self.table.take() {
                    self.end_table(&table);
                }
            }
            TagEnd::TableCell => self.typed = Typed::default(),
            TagEnd::TableHead | TagEnd::TableRow | TagEnd::Superscript | TagEnd::Subscript => {}
            TagEnd::Emphasis => self.italic = self.italic.saturating_sub(1),
            TagEnd::Strong => self.bold = self.bold.saturating_sub(1),
            TagEnd::Strikethrough => self.strike = self.strike.saturating_sub(1),
            TagEnd::Link | TagEnd::Image => self.end_link(),
        }
    }

    /// The next text begins a block of its own: so many newlines before it, one inside a list.
    fn block(&mut self, newlines: usize) {
        self.typed = Typed::default();
        if self.bullet.is_none() {
            self.gap = self.gap.max(if self.lists.is_empty() { newlines } else { 1 });
        }
    }

    fn item(&mut self) {
        self.gap = self.gap.max(1);
        let indent = "   ".repeat(self.lists.len().saturating_sub(1).min(INDENT_MAX));
        let mark = match self.lists.last_mut() {
            Some(Some(number)) => {
                let mark = format!("{number}.");
                *number = number.saturating_add(1);
                mark
            }
            Some(None) | None => "•".to_owned(),
        };
        self.bullet = Some(format!("{indent}{mark} "));
    }

    fn end_code(&mut self) {
        let Some((language, text)) = self.code.take() else { return };
        let text = text.trim_end_matches('\n');
        let style = Style { pre: Some(Rc::from(language.as_str())), quote: self.quotes > 0, ..Style::default() };
        if let Some(bullet) = self.bullet.take() {
            self.bullet = Some(bullet.trim_end().to_owned());
            self.text("");
            self.gap = self.gap.max(1);
        }
        self.write(text, &style);
        self.block(2);
    }

    fn end_table(&mut self, table: &Table) {
        let quote = self.quotes > 0;
        let style = match table.narrow() {
            true => Style { pre: Some(Rc::from("")), quote, ..Style::default() },
            false => Style { quote, ..Style::default() },
        };
        self.write(&table.text(), &style);
        self.block(2);
    }

    fn end_link(&mut self) {
        let Some(Link { address, shown }) = self.links.pop() else { return };
        let empty = shown.trim().is_empty();
        if empty && linkable(&address) && self.table.is_none() {
            let style = Style { link: Some(Rc::from(address.as_str())), ..self.style() };
            self.write(&address, &style);
        } else if empty {
            self.text(&address);
        } else if !address.is_empty()
            && shown != address
            && format!("mailto:{shown}") != address
            && (!linkable(&address) || self.table.is_some())
        {
            self.text(&format!(" ({address})"));
        }
    }

    /// Tags of HTML that have a form in Telegram are obeyed until the end of the block; others are
    /// shown as they were typed.
    fn inline_html(&mut self, tag: &str) {
        let typed = &mut self.typed;
        match tag.to_ascii_lowercase().as_str() {
            "<b>" | "<strong>" => typed.bold = true,
            "</b>" | "</strong>" => typed.bold = false,
            "<i>" | "<em>" => typed.italic = true,
            "</i>" | "</em>" => typed.italic = false,
            "<u>" | "<ins>" => typed.underline = true,
            "</u>" | "</ins>" => typed.underline = false,
            "<s>" | "<del>" | "<strike>" => typed.strike = true,
            "</s>" | "</del>" | "</strike>" => typed.strike = false,
            "<code>" | "<kbd>" => typed.code = true,
            "</code>" | "</kbd>" => typed.code = false,
            "<br>" | "<br/>" | "<br />" => self.text("\n"),
            _ => self.text(tag),
        }
    }

    fn style(&self) -> Style {
        let link = self.links.last().filter(|link| linkable(&link.address));
        Style {
            bold: self.bold > 0 || self.typed.bold,
            italic: self.italic > 0 || self.typed.italic,
            underline: self.typed.underline,
            strike: self.strike > 0 || self.typed.strike,
            code: self.typed.code,
            quote: self.quotes > 0,
            pre: None,
            link: link.map(|link| Rc::from(link.address.as_str())),
        }
    }

    fn text(&mut self, text: &str) {
        match &mut self.code {
            Some((_, code)) => code.push_str(text),
            None => self.write(text, &self.style()),
        }
    }

    fn write(&mut self, text: &str, style: &Style) {
        if let Some(table) = &mut self.table {
            table.push(text);
            self.links.iter_mut().for_each(|link| link.shown.push_str(text));
            return;
        }
        if text.is_empty() && self.bullet.is_none() {
            return;
        }
        let plain = Style { quote: self.quotes > 0, ..Style::default() };
        if self.gap > 0 {
            self.rich.border(self.gap, plain.quote && self.rich.runs.last().is_some_and(|run| run.style.quote));
            self.gap = 0;
            if self.bullet.is_none() && style.pre.is_none() {
                let indent = "   ".repeat(self.lists.len().min(INDENT_MAX));
                self.rich.push(&indent, &plain);
            }
        }
        if let Some(bullet) = self.bullet.take() {
            self.rich.push(&bullet, &plain);
        }
        self.rich.push(text, style);
        self.links.iter_mut().for_each(|link| link.shown.push_str(text));
    }
}

/// Whether Telegram makes a link of this address, and we let it.
fn linkable(address: &str) -> bool {
    let Some(rest) = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://")) else {
        return false;
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let name = host.split(':').next().unwrap_or_default();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let dotted = name.trim_matches('.').contains('.') && !name.contains("..");
    address.len() <= LINK_BYTES_MAX
        && dotted
        && name.bytes().all(fits)
        && host.matches(':').count() <= 1
        && address.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The language that a fence names, if it can be one.
fn language(words: &str) -> String {
    let name = words.split([' ', ',', '{', '\t']).next().unwrap_or_default();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'#' | b'.' | b'_');
    if name.len() <= LANGUAGE_BYTES_MAX && name.bytes().all(fits) { name.to_owned() } else { String::new() }
}
