//! sed: its scripts, as far as needed to see that they run nothing and which files they write.

use super::carry::Carried;
use super::facts::Command;
use super::word::Word;

/// Long options, with what their values are.
const LONG: &[(&str, Value)] = &[
    ("expression", Value::Script),
    ("file", Value::File),
    ("line-length", Value::Other),
    ("in-place", Value::Attached),
    ("quiet", Value::None),
    ("silent", Value::None),
    ("debug", Value::None),
    ("follow-symlinks", Value::None),
    ("posix", Value::None),
    ("regexp-extended", Value::None),
    ("separate", Value::None),
    ("sandbox", Value::None),
    ("unbuffered", Value::None),
    ("null-data", Value::None),
    ("zero-terminated", Value::None),
    ("binary", Value::None),
    ("help", Value::None),
    ("version", Value::None),
];

/// What the value of an option is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    None,
    Attached,
    Other,
    Script,
    File,
}

/// What a `sed` runs and writes.
pub(super) fn sed(command: &Command, found: &mut Vec<Carried>) {
    let Some(scripts) = scripts(command.arguments()) else {
        return found.push(Carried::Unknown("what the sed script in a file or behind an option runs".to_owned()));
    };
    for script in scripts {
        let text = if script.known { script.text().map(str::to_owned) } else { blanked(&script.raw) };
        match text.and_then(|text| effects(&text)) {
            Some(files) => found.extend(files.iter().map(|file| Carried::Writes(Word::of(file)))),
            None => found.push(Carried::Unknown("what this sed script runs".to_owned())),
        }
    }
}

/// The scripts among the words; `None` where an option is not known or names a file of them.
fn scripts(arguments: &[Word]) -> Option<Vec<Word>> {
    let (mut scripts, mut first, mut ended) = (Vec::new(), None, false);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let text = word.fixed.as_str();
        if ended || !text.starts_with('-') || text == "-" {
            first.get_or_insert_with(|| word.clone());
            continue;
        }
        if text == "--" {
            ended = true;
            continue;
        }
        let (value, attached) = option(text)?;
        // Also a glob, which may become several words.
        if value != Value::Script && word.text().is_none() {
            return None;
        }
        match (value, attached) {
            (Value::None | Value::Attached, _) | (Value::Other, Some(_)) => {}
            (Value::Other, None) => {
                words.next().filter(|value| !value.is_loose())?;
            }
            (Value::Script, None) if word.known => scripts.extend(words.next().cloned()),
            (Value::Script, script) => {
                // As written, where a part of it is not known.
                let start = if text.starts_with("--") { '=' } else { 'e' };
                let raw = word.raw.split_once(start).map_or("", |(_, rest)| rest).to_owned();
                scripts.push(Word { fixed: script.unwrap_or_default().to_owned(), raw, ..word.clone() });
            }
            (Value::File, _) => return None,
        }
    }
    if scripts.is_empty() {
        scripts.extend(first);
    }
    Some(scripts)
}

/// What the value of an option is, and the one that stands in the same word.
fn option(text: &str) -> Option<(Value, Option<&str>)> {
    if let Some(long) = text.strip_prefix("--") {
        let (name, attached) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
        let mut fits = LONG.iter().filter(|(known, _)| known.starts_with(name)).map(|(_, value)| *value);
        let value = fits.next()?;
        return fits.all(|other| other == value).then_some((value, attached));
    }
    let cluster = text.strip_prefix('-')?.trim_start_matches(['n', 'E', 'r', 's', 'u', 'z', 'b']);
    let Some(letter) = cluster.chars().next() else { return Some((Value::None, None)) };
    let value = match letter {
        'e' => Value::Script,
        'f' => Value::File,
        'l' => Value::Other,
        'i' => Value::Attached,
        _ => return None,
    };
    Some((value, cluster.get(1..).filter(|rest| !rest.is_empty())))
}

/// The files that a sed script writes; `None` when it runs commands or is not understood.
fn effects(script: &str) -> Option<Vec<String>> {
    let mut rest = script.chars().peekable();
    let mut files = Vec::new();
    loop {
        while rest.next_if(|c| c.is_whitespace() || matches!(c, ';' | '{' | '}' | '!')).is_some() {}
        addresses(&mut rest)?;
        let Some(command) = rest.next() else { return Some(files) };
        match command {
            's' => substitute(&mut rest, &mut files)?,
            'y' => {
                let delimiter = rest.next()?;
                skip_to(&mut rest, delimiter)?;
                skip_to(&mut rest, delimiter)?;
            }
            'w' | 'W' => files.push(line(&mut rest).trim().to_owned()),
            'a' | 'i' | 'c' => text(&mut rest),
            'r' | 'R' | '#' => drop(line(&mut rest)),
            'b' | 't' | 'T' | ':' | 'q' | 'Q' | 'l' | 'L' => {
                while rest.next_if(|c| *c == ' ').is_some() {}
                // Behind a label that a space ends stands the next command.
                while rest.next_if(|c| !c.is_whitespace() && !matches!(c, ';' | '}')).is_some() {}
            }
            'd' | 'D' | 'p' | 'P' | 'n' | 'N' | 'g' | 'G' | 'h' | 'H' | 'x' | 'z' | 'F' | '=' => {}
            _ => return None,
        }
    }
}

type Rest<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn addresses(rest: &mut Rest<'_>) -> Option<()> {
    loop {
        match rest.peek() {
            Some('/') => {
                rest.next();
                skip_to(rest, '/')?;
            }
            Some('\\') => {
                rest.next();
                let delimiter = rest.next()?;
                skip_to(rest, delimiter)?;
            }
            Some('0'..='9' | '$' | ',' | '~' | '+' | ' ' | '!' | '{' | 'I' | 'M') => drop(rest.next()),
            Some(_) | None => return Some(()),
        }
    }
}

fn skip_to(rest: &mut Rest<'_>, delimiter: char) -> Option<()> {
    let mut bracket = false;
    loop {
        match rest.next()? {
            '\\' => drop(rest.next()?),
            '[' if delimiter != '[' => bracket = true,
            ']' => bracket = false,
            c if c == delimiter && !bracket => return Some(()),
            // In a bracket the delimiter may end or not: GNU sed ends it for `s`, not for an address.
            c if c == delimiter => return None,
            _ => {}
        }
    }
}

fn substitute(rest: &mut Rest<'_>, files: &mut Vec<String>) -> Option<()> {
    let delimiter = rest.next()?;
    skip_to(rest, delimiter)?;
    loop {
        match rest.next()? {
            '\\' => drop(rest.next()?),
            c if c == delimiter => break,
            _ => {}
        }
    }
    loop {
        match rest.peek() {
            Some('g' | 'p' | 'i' | 'I' | 'm' | 'M' | '0'..='9') => drop(rest.next()),
            Some('w') => {
                rest.next();
                files.push(line(rest).trim().to_owned());
                return Some(());
            }
            Some(';' | '\n' | '}' | ' ') | None => return Some(()),
            Some(_) => return None,
        }
    }
}

/// The rest of the line, which a `\\` does not make longer.
fn line(rest: &mut Rest<'_>) -> String {
    rest.by_ref().take_while(|c| *c != '\n').collect()
}

/// Text that is put in: to the end of a line that no `\\` makes longer.
fn text(rest: &mut Rest<'_>) {
    while let Some(c) = rest.next().filter(|c| *c != '\n') {
        if c == '\\' {
            rest.next();
        }
    }
}

/// What stands for a variable: no command of sed.
const BLANK: char = '\u{1}';

/// A double-quoted text with a mark for each variable; `None` when commands or more stand in it.
fn blanked(raw: &str) -> Option<String> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains(['`', '"', '\\']) {
        return None;
    }
    let mut parts = inner.split('$');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        if let Some(command) = part.strip_prefix('(') {
            // What it runs is judged on its own.
            let (inside, rest) = command.split_once(')')?;
            if inside.contains(['(', '$']) {
                return None;
            }
            text.push(BLANK);
            text.push_str(rest);
            continue;
        }
        let (name, rest) = match part.strip_prefix('{') {
            Some(braced) => braced.split_once('}')?,
            None => {
                part.split_at_checked(part.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(part.len()))?
            }
        };
        text.push(if name.is_empty() { '$' } else { BLANK });
        text.push_str(rest);
    }
    Some(text)
}
