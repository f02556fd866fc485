//! Programs that run others: wrappers (`env`, `timeout`, `xargs`, `find -exec`, `sh -c`, …). Tells
//! what they run, or that it cannot be told; an option it does not know is such a case.

use super::dialect::text_for;
use super::facts::Command;
use super::options;
use super::tables;
use super::word::Word;
use super::wrappers::Wrapper;

/// What a command runs or does through its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Carried {
    /// Another command.
    Command(Vec<Word>),
    /// Shell text.
    Source(String),
    /// Shell text that a shell reads as its input, of which what it runs may read in turn.
    Fed(String),
    /// What stands in a file, for a shell called by this name.
    File(Word, String),
    /// Sets a variable of what it runs.
    Assignment(String, Option<String>),
    /// Writes a file.
    Writes(Word),
    /// Something that only a strict policy minds.
    Unread(String),
    /// Something that cannot be told.
    Unknown(String),
    /// It runs nothing, and that is known.
    Nothing,
}

/// Whether the program does nothing of its own but run what it carries.
pub(crate) fn is_carrier(command: &Command) -> bool {
    command.installed_name().is_some_and(|name| {
        is_shell(name)
            || matches!(
                name,
                "eval" | "trap" | "env" | "nice" | "nohup" | "builtin" | "command" | "exec" | "timeout" | "time"
            )
            || matches!(name, "stdbuf" | "setsid" | "ionice" | "taskset" | "chrt" | "xargs")
    })
}

/// Programs that read shell text.
pub(crate) fn is_shell(name: &str) -> bool {
    matches!(name, "sh" | "bash" | "dash" | "rbash" | "zsh" | "ksh" | "ash" | "mksh" | "fish" | "csh" | "tcsh")
}

/// What `command` runs through its arguments and its input.
pub(crate) fn carried(command: &Command) -> Vec<Carried> {
    let Some(name) = command.name() else { return Vec::new() };
    let arguments = command.arguments();
    let text = arguments.strip_prefix(&[Word::of("--")]).unwrap_or(arguments);
    match name {
        "eval" => vec![all_text(text).map_or_else(|| unknown("what `eval` runs"), Carried::Source)],
        "source" | "." if arguments.iter().take(1).any(super::shipped::is_activation) => {
            vec![Carried::Unread(format!("what the file of `{name}` runs"))]
        }
        "source" | "." => vec![unknown(&format!("what the file of `{name}` runs"))],
        "alias" if !arguments.is_empty() => vec![unknown("what `alias` makes of later words")],
        "hash" if arguments.iter().all(|word| matches!(word.text(), Some("-r" | "-l" | "-t" | "-d"))) => Vec::new(),
        "enable" | "hash"
            if arguments.iter().any(|word| word.text().is_none_or(|text| text.starts_with(['-', '/']))) =>
        {
            vec![unknown(&format!("what `{name}` puts in a command's place"))]
        }
        "trap" => trap(text),
        // A name that is not the program's, or, in POSIX (Shell Command Language, 2.14), the program itself.
        "exec" if arguments.iter().take(1).any(|word| word.fixed.starts_with('-')) => {
            let what = unknown("what `exec` with an option runs");
            Wrapper::of(name, None)
                .into_iter()
                .flat_map(|shape| wrapped(name, shape, arguments))
                .chain([what])
                .collect()
        }
        "find" => super::find::find(arguments),
        "flock" => flock(arguments),
        "script" => script(arguments),
        "parallel" => parallel(arguments),
        "command" if is_asked_about(arguments) => vec![Carried::Nothing],
        "jobs"
            if arguments
                .iter()
                .any(|word| word.text().is_none_or(|text| text.starts_with('-') && text.contains('x'))) =>
        {
            vec![unknown("what `jobs -x` runs")]
        }
        name if is_shell(name) => shell(name, command),
        name if tables::OPAQUE.contains(name) => vec![unknown(&format!("what `{name}` runs"))],
        name => match Wrapper::of(name, arguments.first().and_then(Word::text)) {
            Some(shape) if shape.has_command() => wrapped(name, shape, arguments.get(1..).unwrap_or_default()),
            Some(shape) => wrapped(name, shape, arguments),
            None if Wrapper::of_later(name, arguments) => vec![unknown(&format!("what `{name}` runs"))],
            None => options::executing(name, command),
        },
    }
}

/// Whether `command` only says what a name is: the options before it have a `v`, not those of what would run.
fn is_asked_about(arguments: &[Word]) -> bool {
    let options = arguments.iter().map_while(Word::text).take_while(|text| text.starts_with('-') && *text != "--");
    options.into_iter().any(|option| option.contains(['v', 'V']))
}

fn unknown(what: &str) -> Carried {
    Carried::Unknown(what.to_owned())
}

fn all_text(words: &[Word]) -> Option<String> {
    words.iter().map(Word::text).collect::<Option<Vec<_>>>().map(|words| words.join(" "))
}

fn trap(arguments: &[Word]) -> Vec<Carried> {
    match arguments.first() {
        Some(word) if matches!(word.text(), Some("-" | "-p" | "-l" | "")) => vec![Carried::Nothing],
        Some(word) => {
            vec![word.text().map_or_else(|| unknown("what `trap` runs"), |t| Carried::Source(t.to_owned()))]
        }
        None => vec![Carried::Nothing],
    }
}

/// Options of bash after which it reads a text as it does without: bash(1).
const SHELL_FLAGS: &str = "cefhlmnprstuvxoOC";
const SHELL_OPTIONS: &str =
    "errexit errtrace extglob globstar inherit_errexit monitor noclobber noexec noglob nounset pipefail verbose xtrace";

/// `sh -c TEXT`, `sh FILE`, or a shell that reads its input.
fn shell(name: &str, command: &Command) -> Vec<Carried> {
    let arguments = command.arguments();
    let mut command_text = false;
    let mut ended = false;
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let Some(text) = word.text() else { return vec![unknown(&format!("what `{name}` runs"))] };
        match text {
            _ if ended && command_text => return text_for(name, text),
            _ if ended => return vec![Carried::File(word.clone(), name.to_owned())],
            "--" | "-" => ended = true,
            "--version" | "--help" => return vec![Carried::Nothing],
            "--norc" | "--noprofile" | "--posix" | "--login" | "--restricted" | "--verbose" => {}
            _ if text.starts_with("--") => return vec![unknown(&format!("what `{name} {text}` runs"))],
            _ if text.starts_with(['-', '+']) && text.len() > 1 => {
                command_text |= text.starts_with('-') && text.contains('c');
                let values = text.matches(['o', 'O']).map(|_| words.next().and_then(Word::text)).collect::<Vec<_>>();
                let reads = values
                    .iter()
                    .all(|value| value.is_some_and(|value| SHELL_OPTIONS.split(' ').any(|known| known == value)));
                let flags = if text.starts_with('-') { SHELL_FLAGS } else { "ceuvxoOs" };
                if !reads || !text.chars().skip(1).all(|flag| flags.contains(flag)) {
                    return vec![unknown(&format!("what `{name} {text}` makes of a text"))];
                }
            }
            _ if command_text => return text_for(name, text),
            _ => return vec![Carried::File(word.clone(), name.to_owned())],
        }
    }
    match command.input.as_deref() {
        Some(text) if command.exact => {
            let fed = |item| if let Carried::Source(text) = item { Carried::Fed(text) } else { item };
            text_for(name, text).into_iter().map(fed).collect()
        }
        Some(_) | None => vec![unknown(&format!("what the input makes `{name}` run"))],
    }
}

/// Options of xargs(1) that end the replacing of an earlier one.
fn is_about_number(option: &str) -> bool {
    let long = |name: &str| option.len() > 5 && name.starts_with(option.split('=').next().unwrap_or_default());
    let short = !option.starts_with("--") && option.contains(['n', 'L', 'l']);
    short || long("--max-args") || long("--max-lines")
}

/// `flock FILE COMMAND`, `flock FILE -c TEXT`, or the number of an open file.
fn flock(arguments: &[Word]) -> Vec<Carried> {
    let mut words = arguments.iter();
    let lock = loop {
        match words.next().map(Word::text) {
            Some(Some("-w" | "--timeout" | "--wait" | "-E" | "--conflict-exit-code")) => drop(words.next()),
            Some(Some(
                "-s" | "--shared" | "-x" | "-e" | "--exclusive" | "-u" | "--unlock" | "-n" | "--nonblock" | "--nb"
                | "-o" | "--close" | "-F" | "--no-fork" | "--verbose",
            )) => {}
            Some(Some(text)) if text.starts_with('-') => return vec![unknown(&format!("what `flock {text}` runs"))],
            Some(Some(text)) => break text,
            Some(None) => return vec![unknown("what `flock` runs")],
            None => return vec![Carried::Nothing],
        }
    };
    let rest: Vec<Word> = words.cloned().collect();
    match rest.as_slice() {
        [] => vec![Carried::Nothing],
        [option, text, ..] if matches!(option.text(), Some("-c" | "--command")) => {
            text.text().map_or_else(|| vec![unknown("what `flock` runs")], |text| text_for("sh", text))
        }
        _ => vec![Carried::Writes(Word::of(lock)), Carried::Command(rest)],
    }
}

/// `script -c TEXT [FILE]`; without `-c` it is a shell that reads its input.
fn script(arguments: &[Word]) -> Vec<Carried> {
    let mut found = Vec::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.text() {
            Some("-c" | "--command") => found.push(words.next().and_then(Word::text).map(str::to_owned)),
            Some(text) if text.starts_with("--command=") => {
                found.push(text.strip_prefix("--command=").map(str::to_owned));
            }
            Some(text) if text.starts_with('-') && text.ends_with('c') && !text.starts_with("--") => {
                found.push(words.next().and_then(Word::text).map(str::to_owned));
            }
            Some("-q" | "-f" | "-e" | "-a" | "--quiet" | "--flush" | "--return" | "--append") => {}
            Some(text) if !text.starts_with('-') => {}
            Some(_) | None => return vec![unknown("what `script` runs")],
        }
    }
    if found.is_empty() {
        return vec![unknown("what the input makes `script` run")];
    }
    let of =
        |text: Option<String>| text.map_or_else(|| vec![unknown("what `script` runs")], |text| text_for("sh", &text));
    found.into_iter().flat_map(of).collect()
}

/// `parallel COMMAND ::: WORDS`: text for a shell, to which words are added.
fn parallel(arguments: &[Word]) -> Vec<Carried> {
    let mut words = arguments.iter().peekable();
    while let Some(word) = words.next_if(|word| word.fixed.starts_with('-')) {
        match word.text() {
            Some("-j" | "--jobs" | "-P" | "-n" | "-N" | "--max-args" | "--delay" | "--timeout" | "--joblog")
                if !words.peek().is_some_and(|value| value.is_loose()) =>
            {
                words.next();
            }
            Some("-k" | "--keep-order" | "--bar" | "-0" | "--null" | "--tag" | "--will-cite" | "-u" | "--ungroup") => {}
            Some(text) if text.starts_with("-j") => {}
            Some(_) | None => return vec![unknown("what `parallel` runs")],
        }
    }
    let own = |word: &&Word| !matches!(word.fixed.as_str(), ":::" | "::::" | ":::+" | "::::+");
    let command: Vec<Word> = words.take_while(own).cloned().collect();
    let Some(text) = all_text(&command).filter(|text| !text.is_empty()) else {
        return vec![unknown("what `parallel` runs")];
    };
    if text.contains(['|', ';', '&', '>', '<', '$', '`', '(', '{']) && !text.contains("{}") {
        return vec![Carried::Source(text)];
    }
    if text.contains(['|', ';', '&', '>', '<', '$', '`', '(']) || text.contains(' ') && command.len() == 1 {
        return vec![unknown("what a shell behind `parallel` runs")];
    }
    let mut command = command;
    command.push(Word::unknown("words of `parallel`"));
    vec![placeholder(command, "{}", "parallel")]
}

/// A command in which each word with `mark` becomes unknown; shell text with it cannot be told.
pub(super) fn placeholder(mut words: Vec<Word>, mark: &str, by: &str) -> Carried {
    let marked = |word: &Word| !mark.is_empty() && word.fixed.contains(mark);
    if words.first().is_some_and(marked) {
        return unknown(&format!("which program `{by}` runs"));
    }
    let shell = words.first().and_then(Word::text).is_some_and(|name| is_shell(super::facts::base_name(name)));
    if shell && words.iter().take(3).any(marked) {
        return unknown(&format!("what a shell behind `{by}` runs"));
    }
    for word in words.iter_mut().filter(|word| marked(word)) {
        let fixed = word.fixed.split_once(mark).map_or("", |(before, _)| before).to_owned();
        // What `find` puts in begins with one of its own words, which are no options.
        let raw = if by == "find" { mark.to_owned() } else { format!("words of `{by}`") };
        *word = Word { raw, fixed, known: false, ..word.clone() };
    }
    Carried::Command(words)
}

/// The text that `xargs` replaces, as its option `text` says with the `value` after it.
fn mark_of(text: &str, value: Option<&Word>) -> Option<String> {
    let (letter, attached) = match text.strip_prefix("--") {
        Some(long) => ('i', long.strip_prefix("replace")?.trim_start_matches('=')),
        None => {
            let at = text.find(['I', 'i', 'n', 'L', 'P', 'd', 'E', 'a', 's', 'l', 'e'])?;
            let rest = text.get(at..)?;
            (rest.chars().next()?, rest.get(1..)?)
        }
    };
    match letter {
        'I' | 'i' if !attached.is_empty() => Some(attached.to_owned()),
        'I' => Some(value.map_or_else(String::new, |word| word.fixed.clone())),
        'i' => Some("{}".to_owned()),
        _ => None,
    }
}

fn wrapped(name: &str, shape: &Wrapper, arguments: &[Word]) -> Vec<Carried> {
    let mut found = Vec::new();
    let mut mark = None;
    let mut words = arguments.iter().peekable();
    let sets = |word: &Word| shape.sets_variables() && word.fixed.contains('=') && !word.fixed.starts_with('-');
    // A lone dash is the `-i` of `env`.
    let least = usize::from(!shape.sets_variables());
    let option = |word: &Word| word.fixed.starts_with('-') && word.fixed.len() > least || !word.known;
    while let Some(word) = words.next_if(|word| option(word) && !sets(word)) {
        let Some(text) = word.text() else { return vec![unknown(&format!("what `{name}` runs"))] };
        if text == "--" {
            break;
        }
        let Some(takes) = shape.takes(text) else {
            let help = matches!(text, "--help" | "--version");
            return vec![if help { Carried::Nothing } else { unknown(&format!("what `{name} {text}` runs")) }];
        };
        let value = if takes { words.next() } else { None };
        if value.is_some_and(Word::is_loose) || shape.runs_by(text, value) {
            return vec![unknown(&format!("what `{name} {text}` runs"))];
        }
        if let Some(replaced) = Some(text).filter(|_| name == "xargs").and_then(|text| mark_of(text, value)) {
            if value.is_some_and(|word| !word.known) {
                return vec![unknown("what `xargs` puts in")];
            }
            mark = Some(replaced);
        } else if name == "xargs" && mark.is_some() && is_about_number(text) {
            return vec![unknown("what `xargs` puts in, since it is also told how many")];
        }
    }
    if shape.sets_variables() {
        while let Some(word) = words.next_if(|word| word.fixed.contains('=')) {
            if word.is_loose() {
                return vec![unknown(&format!("what `{name}` runs behind `{}`", word.raw))];
            }
            if let Some((variable, value)) = word.fixed.split_once('=') {
                found.push(Carried::Assignment(variable.to_owned(), word.known.then(|| value.to_owned())));
            }
        }
    }
    // What stands between is a number or a time, else it may be the program of another version.
    let between = words.clone().take(shape.skip);
    if between
        .into_iter()
        .any(|word| word.is_loose() || !word.fixed.starts_with(|c: char| c.is_ascii_digit() || c == '.'))
    {
        return vec![unknown(&format!("what `{name}` runs"))];
    }
    let mut command: Vec<Word> = words.skip(shape.skip).cloned().collect();
    if command.is_empty() && name == "xargs" {
        command.push(Word::of("echo"));
    }
    if command.is_empty() {
        found.push(Carried::Nothing);
        return found;
    }
    if shape.joined {
        let text = all_text(&command);
        found.extend(text.map_or_else(|| vec![unknown(&format!("what `{name}` runs"))], |text| text_for("sh", &text)));
        return found;
    }
    if name == "xargs" && mark.is_none() {
        let shell = command.first().and_then(Word::text).is_some_and(|name| is_shell(super::facts::base_name(name)));
        if !shell || command.len() < 3 {
            command.push(Word::unknown("words from the input"));
        }
    }
    found.push(placeholder(command, &mark.unwrap_or_default(), name));
    found
}
