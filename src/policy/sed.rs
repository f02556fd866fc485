//! sed scripts, as far as needed to see that they run nothing and which files they write.

/// The files that a sed script writes; `None` when it runs commands or is not understood.
pub(crate) fn effects(script: &str) -> Option<Vec<String>> {
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
            'a' | 'i' | 'c' | 'r' | 'R' | '#' => drop(line(&mut rest)),
            'b' | 't' | 'T' | ':' | 'q' | 'Q' | 'l' | 'L' => {
                while rest.next_if(|c| !matches!(c, ';' | '\n' | '}')).is_some() {}
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

fn line(rest: &mut Rest<'_>) -> String {
    let mut text = String::new();
    for c in rest.by_ref() {
        if c == '\n' && !text.ends_with('\\') {
            break;
        }
        text.push(c);
    }
    text
}
