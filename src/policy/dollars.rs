//! Dollar signs that brush-parser 0.4.0 puts to what follows them, and bash to what is before: in `$${x}` it has the
//! number of the shell, and `{x}` is text; in `\$'a'` the quotes are plain ones.

/// Whether the parser reads a `$` of the word `text` otherwise than bash does.
pub(super) fn misread(text: &str) -> bool {
    (text.contains("\\$") || text.matches('$').count() > 1) && is_odd(text, false)
}

/// Whether it does so in the text of a here-document.
pub(super) fn misread_document(text: &str) -> bool {
    text.contains("$$") && is_odd(&text.replace('\'', " "), true)
}

/// Whether it may do so in `text`, where quotes are not followed if it is `blind`.
fn is_odd(text: &str, mut blind: bool) -> bool {
    // `$` for `$'…'`.
    let mut quote = None;
    // How many `$` stand right before, and whether a `\` takes the meaning from the last of them.
    let (mut dollars, mut escaped) = (0_usize, false);
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (None | Some('"' | '$'), '\\') => match rest.next() {
                // Lines are joined first.
                Some('\n') if quote != Some('$') => {}
                next => (dollars, escaped) = (0, next == Some('$')),
            },
            (Some('\'' | '$'), '\'') | (Some('"'), '"') => (quote, dollars, escaped) = (None, 0, false),
            (Some('\'' | '$'), _) => {}
            (_, '$') => (dollars, escaped) = (dollars + 1, false),
            (None, '\'') => {
                let wrong = if dollars > 0 { dollars % 2 == 0 } else { escaped };
                if wrong && rest.as_str().split('\'').next().is_some_and(|inside| inside.contains('\\')) {
                    return true;
                }
                quote = Some(if dollars % 2 == 0 { '\'' } else { '$' }).filter(|_| !blind);
                (dollars, escaped) = (0, false);
            }
            (_, '{' | '(' | '[') if dollars > 0 && dollars % 2 == 0 => return true,
            // Where they begin and end is not looked for inside of substitutions.
            (_, '{' | '(' | '[') if dollars > 0 => (blind, quote, dollars) = (true, None, 0),
            (_, '`') => (blind, quote, dollars, escaped) = (true, None, 0, false),
            (None, '"') if !blind => (quote, dollars, escaped) = (Some('"'), 0, false),
            _ => (dollars, escaped) = (0, false),
        }
    }
    false
}
