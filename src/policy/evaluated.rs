//! Texts that the shell evaluates when it runs: of arithmetic, and of names that it is given in variables, a subscript
//! runs commands, as in `x='a[$(id)]'; ((x))`.

use std::collections::HashSet;

use super::carry::is_shell;
use super::facts::{Assignment, Command, Facts, Unknown, base_name};
use super::usual;
use super::walk::Walk;
use super::word::Word;

/// Variables that are numbers: what they are given is evaluated.
const NUMBERS: &[&str] = &["RANDOM", "SECONDS", "LINENO", "OPTIND", "HISTCMD", "SRANDOM", "EPOCHSECONDS", "BASHPID"];

/// Whether a variable is a number to the shell.
pub(super) fn is_number(name: &str) -> bool {
    NUMBERS.contains(&name)
}

/// Adds what a text of the script may run where it is evaluated; that of a command's output only a strict policy minds.
pub(super) fn doubts(facts: &mut Facts) {
    let number = |assignment: &Assignment| {
        let plain = |value: &String| value.bytes().all(|byte| byte.is_ascii_digit());
        is_number(&assignment.name) && !assignment.value.as_ref().is_some_and(plain)
    };
    facts.evaluates |= facts.commands.iter().any(evaluates) || facts.assignments.iter().any(number);
    let globs = facts.commands.iter().filter(|command| names_files(command)).map(|command| command.span.clone());
    let what = "what the name of a file runs, where a builtin evaluates it";
    facts.unknowns.extend(globs.map(|span| Unknown { what: what.to_owned(), span }));
    if !facts.evaluates {
        return;
    }
    let what = "what a subscript runs, where that text is evaluated";
    let functions: HashSet<&str> = facts.functions.iter().map(|function| function.name.as_str()).collect();
    // Words that are known are looked at with the command.
    let is_runner = |command: &&Command| {
        command.arguments().iter().any(|word| !word.known && runs(word) || word.known && is_begun(&word.fixed))
            || given(command, &functions).into_iter().any(keeps_substitution)
            || puts_dollar(command)
    };
    let commands = facts.commands.iter().filter(is_runner).map(|command| command.span.clone());
    // A part of a text that is put together is enough.
    let is_part =
        |word: &Word| !word.raw.contains('\n') && (keeps_substitution(word) || word.known && is_begun(&word.fixed));
    let held = facts.held.iter().filter(|word| runs(word) || is_part(word)).map(|_| None);
    let assigned = facts.assignments.iter().filter(|assignment| match &assignment.value {
        Some(value) => substitutes(value) || is_begun(value),
        None => is_subscripted(&unquoted(&assignment.raw)),
    });
    let spans: Vec<_> = commands.chain(held).chain(assigned.map(|assignment| assignment.span.clone())).collect();
    if facts.substitutes || is_open(facts, &functions) {
        let what = "what a text from elsewhere runs, where it is evaluated".to_owned();
        facts.unread.push(Unknown { what, span: None });
    }
    facts.unknowns.extend(spans.into_iter().map(|span| Unknown { what: what.to_owned(), span }));
}

/// Whether a variable or a parameter may hold a text that the script does not tell.
fn is_open(facts: &Facts, functions: &HashSet<&str>) -> bool {
    let mut values = facts.assignments.iter().filter_map(|assignment| assignment.value.as_deref());
    let holds = |word: &Word| word.glob || word.dollar && !word.raw.contains('\n');
    let from_elsewhere = |command: &Command| {
        matches!(command.name(), Some("read" | "mapfile" | "readarray"))
            || given(command, functions).iter().any(|word| word.dollar || word.glob)
            || evaluates(command) && command.arguments().iter().any(|word| word.glob)
    };
    values.any(|value| value.contains('$'))
        || facts.held.iter().any(holds)
        || facts.commands.iter().any(from_elsewhere)
        || is_of_a_file(facts, functions)
}

/// The words of a command that are evaluated, or that variables or parameters may come to hold.
fn taken<'a>(command: &'a Command, functions: &HashSet<&str>) -> Vec<&'a Word> {
    if evaluates(command) { command.arguments().iter().collect() } else { given(command, functions) }
}

/// Whether a variable or a parameter may hold the name of a file that the script does not tell: the shell remembers
/// it, or puts it in for a glob that a variable holds.
fn is_of_a_file(facts: &Facts, functions: &HashSet<&str>) -> bool {
    let words: Vec<&Word> = facts.commands.iter().flat_map(|command| taken(command, functions)).collect();
    let all = || words.iter().copied().chain(&facts.held);
    let moves = |command: &Command| command.arguments().iter().any(|word| word.glob) || usual::moves(command);
    let remembered = facts.places || all().any(|word| is_of_shell(&word.raw));
    let glob = |text: &str| text.contains(['*', '?', '[']);
    let mut values = facts.assignments.iter().filter_map(|assignment| assignment.value.as_deref());
    remembered && facts.commands.iter().any(moves)
        || all().any(|word| word.splits) && (values.any(glob) || all().any(|word| glob(&word.fixed)))
}

/// Whether a text has a variable that the shell itself sets to the name of a file, a directory or the last word.
fn is_of_shell(text: &str) -> bool {
    let part = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    let of_shell = |name: &str| matches!(name, "_" | "PWD" | "OLDPWD" | "DIRSTACK" | "BASH_SOURCE" | "BASH_ARGV0");
    let tilde = |rest: &str| rest.starts_with(|c: char| c == '+' || c == '-' || c.is_ascii_digit());
    text.contains("$0") || text.contains("${0") || text.split(part).any(of_shell) || text.split('~').skip(1).any(tilde)
}

/// Whether a builtin takes for a name, or for arithmetic, what the name of a file may be.
fn names_files(command: &Command) -> bool {
    // What is a number in brackets, or one character of any kind, runs nothing.
    let wide = |text: &str| text.contains(['*', '(', '$', '`']) || text.matches(['?', '[']).count() > 1;
    let named = |word: &Word| word.glob && wide(&word.fixed);
    let words = command.arguments();
    let text = |at: usize| words.get(at).map_or("", |word| word.fixed.as_str());
    match command.program() {
        // `let x*=2` is no file to those who write it.
        Some("let") => words.iter().any(|word| named(word) && !word.fixed.contains('=')),
        Some("test" | "[") => {
            words.iter().any(|word| matches!(word.text(), Some("-v" | "-R"))) && words.iter().any(named)
        }
        Some("printf") => text(0).starts_with("-v") && words.iter().take(2).any(named),
        Some("getopts") => words.get(1 + usize::from(text(0) == "--")).is_some_and(named),
        Some("read" | "wait" | "mapfile" | "readarray" | "unset") => words.iter().any(named),
        Some("declare" | "typeset" | "local" | "export" | "readonly") => {
            words.iter().any(|word| named(word) && !word.front().contains('='))
        }
        _ => false,
    }
}

/// The words of a command that variables or parameters may come to hold.
fn given<'a>(command: &'a Command, functions: &HashSet<&str>) -> Vec<&'a Word> {
    match command.program() {
        Some("set" | "declare" | "typeset" | "local" | "export" | "readonly") => command.arguments().iter().collect(),
        Some("printf") if command.arguments().first().is_some_and(|word| word.fixed.starts_with("-v")) => {
            command.arguments().iter().collect()
        }
        Some("getopts") => command.arguments().iter().skip(2).collect(),
        Some(name) if functions.contains(name) => command.arguments().iter().collect(),
        // Behind the text or the file that it runs.
        Some(name) if is_shell(base_name(name)) => command.positionals().into_iter().skip(1).collect(),
        Some(_) | None => Vec::new(),
    }
}

/// Whether a word holds a substitution as a text.
fn keeps_substitution(word: &Word) -> bool {
    substitutes(&word.fixed) || word.dollar && substitutes(&unquoted(&word.raw))
}

/// Whether a `printf` may put a `$` or a backquote into a variable.
fn puts_dollar(command: &Command) -> bool {
    let makes = |word: &Word| word.dollar || makes_dollar(&word.fixed) || !word.known && word.raw.contains('\\');
    command.program() == Some("printf") && evaluates(command) && command.arguments().iter().any(makes)
}

/// Whether a `\` in the text of `printf` may stand for a `$` or a backquote: `\x24`, `\44`, `\u0060`.
fn makes_dollar(text: &str) -> bool {
    text.split('\\').skip(1).any(|rest| {
        let (digits, radix, most) = match rest.chars().next() {
            Some('x') => (rest.get(1..), 16, 2),
            Some('u') => (rest.get(1..), 16, 4),
            Some('U') => (rest.get(1..), 16, 8),
            Some(_) | None => (Some(rest), 8, 4),
        };
        let code = |length: usize| u32::from_str_radix(digits?.get(..length)?, radix).ok();
        (1..=most).filter_map(code).any(|code| matches!(code % 256, 0x24 | 0x60))
    })
}

/// Whether a builtin takes a word for a name, or for arithmetic, that is not plain to see.
fn evaluates(command: &Command) -> bool {
    let arguments = command.arguments();
    let number = |word: &Word| is_number(&word.fixed);
    let named = |word: &Word| !word.known && !word.fixed.contains('=') || number(word) || is_element(&word.fixed);
    let split = |word: &Word| !word.known && !word.raw.starts_with('"');
    match command.program() {
        Some("let") => true,
        Some("test" | "[") => arguments.iter().any(|word| split(word) || matches!(word.fixed.as_str(), "-v" | "-R")),
        Some("printf") => arguments.iter().take(1).any(|word| word.fixed.starts_with("-v") || split(word)),
        Some("read") => arguments.iter().enumerate().any(|(at, word)| {
            // The value of an option is no name.
            let before = at.checked_sub(1).and_then(|at| arguments.get(at)).map_or("", |word| word.fixed.as_str());
            let value = before.starts_with('-') && before.ends_with(['d', 'i', 'n', 'N', 'p', 't', 'u']);
            let plain = word.raw.starts_with('"') || word.text().is_some();
            named(word) && !(value && plain) && !(word.fixed.starts_with('-') && word.known)
        }),
        Some("mapfile" | "readarray" | "getopts" | "unset" | "wait") => arguments.iter().any(named),
        Some("declare" | "typeset" | "local" | "export" | "readonly") => {
            command.has_option('i', "") || command.has_option('n', "") || arguments.iter().any(named)
        }
        _ => false,
    }
}

/// Whether a name, perhaps with a value, has a subscript that is no number, or the value has some: `a[x]`, `a=([x]=1)`.
fn is_element(text: &str) -> bool {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let index = name.split_once('[').map(|(_, rest)| rest.trim_end_matches(['+', ']']));
    let number = |index: &str| index.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    index.is_some_and(|index| !number(index)) || value.starts_with('(') && value.contains('[')
}

/// Whether a word may hold a text that runs something when it is evaluated.
fn runs(word: &Word) -> bool {
    is_subscripted(&word.fixed) || !word.known && is_subscripted(&unquoted(&word.raw))
}

/// A word as written without its quotes, when some of it is quoted so that the shell keeps it.
fn unquoted(raw: &str) -> String {
    if !raw.contains(['\'', '\\']) {
        return String::new();
    }
    raw.chars().filter(|c| !matches!(c, '\'' | '"' | '\\')).collect()
}

/// Whether a text runs something when it is evaluated as arithmetic: `a[$(id)]`.
pub(super) fn is_subscripted(text: &str) -> bool {
    if !text.contains("$(") && !text.contains('`') {
        return false;
    }
    let of_name =
        |at: usize| text.get(..at).is_some_and(|name| name.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_'));
    text.match_indices('[').any(|(at, _)| {
        let inside = subscript(text.get(at + 1..).unwrap_or_default());
        (inside.contains("$(") || inside.contains('`')) && (of_name(at) || inside.starts_with(['$', '`']))
    })
}

/// Whether a text is the front of one that runs something when it is evaluated: `a[$`.
fn is_begun(text: &str) -> bool {
    text.match_indices('[').any(|(at, _)| {
        let (before, rest) = text.split_at_checked(at).unwrap_or_default();
        !before.ends_with('\\') && !rest.contains([']', '\n']) && rest.contains(['$', '`'])
    })
}

/// What stands before the `]` that ends a subscript; all of the line, where quotes may hide which one does.
fn subscript(text: &str) -> &str {
    let mut open = 1_usize;
    for (at, c) in text.char_indices() {
        match c {
            '[' => open += 1,
            ']' => open -= 1,
            '\'' | '"' | '\\' => return text.lines().next().unwrap_or_default(),
            _ => {}
        }
        if open == 0 {
            return text.get(..at).unwrap_or_default();
        }
    }
    text
}

/// Whether a source names variables by others, as in `${!x}`; `${!x[@]}` and `${!x*}` list names.
pub(super) fn is_indirect(source: &str) -> bool {
    source.split("${!").skip(1).any(|rest| {
        let rest = rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
        !["[@]}", "[*]}", "@}", "*}"].iter().any(|end| rest.starts_with(end))
    })
}

/// Whether a source may make words of the output of a command.
pub(super) fn substitutes(source: &str) -> bool {
    source.contains('`') || source.match_indices("$(").any(|(at, _)| source.get(at + 2..at + 3) != Some("("))
}

impl Walk {
    /// Notes what a text holds that is evaluated, or may be later.
    pub(super) fn evaluable(&mut self, raw: &str) {
        self.facts.places |= is_of_shell(raw);
    }

    /// Remembers a word that a variable may come to hold.
    pub(super) fn hold(&mut self, raw: &str) {
        self.evaluable(raw);
        self.facts.held.extend(Word::read(raw, &self.options));
    }

    /// What an assignment of `raw` gives, if that is known.
    pub(super) fn given(&mut self, raw: &str) -> Option<String> {
        self.evaluable(raw);
        let word = Word::single(raw, &self.options)?;
        if word.known {
            return Some(word.fixed);
        }
        if word.dollar {
            self.facts.held.push(Word { glob: false, ..word });
        }
        None
    }
}
