//! Programs that run others: wrappers (`env`, `timeout`, `xargs`, `find -exec`, `sh -c`, …). Tells
//! what they run, or that it cannot be told; an option it does not know is such a case.

use super::facts::Command;
use super::options;
use super::word::Word;

/// What a command runs or does through its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Carried {
    /// Another command.
    Command(Vec<Word>),
    /// Shell text.
    Source(String),
    /// Sets a variable of what it runs.
    Assignment(String, Option<String>),
    /// Writes a file.
    Writes(Word),
    /// Something that cannot be told.
    Unknown(String),
    /// It runs nothing, and that is known.
    Nothing,
}

/// How the options of a wrapper are read.
struct Shape {
    /// Short options without a value.
    flags: &'static str,
    /// Short options with a value.
    values: &'static str,
    /// Long options without a value.
    long: &'static [&'static str],
    /// Long options with a value.
    long_values: &'static [&'static str],
    /// Words between the options and the command.
    skip: usize,
}

const fn shape(flags: &'static str, values: &'static str, skip: usize) -> Shape {
    Shape { flags, values, long: &[], long_values: &[], skip }
}

fn wrapper(name: &str) -> Option<Shape> {
    Some(match name {
        "env" => {
            Shape { long: &["ignore-environment", "null"], long_values: &["unset", "chdir"], ..shape("i0v", "uC", 0) }
        }
        "nice" => Shape { long_values: &["adjustment"], ..shape("0123456789", "n", 0) },
        "nohup" | "builtin" | "busybox" | "toybox" => shape("", "", 0),
        "command" => shape("p", "", 0),
        "exec" => shape("cl", "a", 0),
        "timeout" => Shape {
            long: &["foreground", "preserve-status", "verbose"],
            long_values: &["kill-after", "signal"],
            ..shape("vfp", "ks", 1)
        },
        "time" => Shape {
            long: &["portability", "verbose", "append", "quiet"],
            long_values: &["format", "output"],
            ..shape("pvaq", "fo", 0)
        },
        "stdbuf" => Shape { long_values: &["input", "output", "error"], ..shape("", "ioe", 0) },
        "setsid" => Shape { long: &["ctty", "fork", "wait"], ..shape("cfw", "", 0) },
        "ionice" => Shape { long: &["ignore"], long_values: &["class", "classdata"], ..shape("t", "cn", 0) },
        "taskset" => Shape { long: &["all-tasks", "cpu-list"], ..shape("ac", "", 1) },
        "chrt" => shape("abfior", "TPD", 1),
        "sudo" => Shape {
            long: &["non-interactive", "preserve-env", "set-home", "stdin"],
            long_values: &["user", "group", "chdir"],
            ..shape("EHnSkbA", "ugCDhprt", 0)
        },
        "doas" => shape("n", "uC", 0),
        "xargs" => Shape {
            long: &["null", "no-run-if-empty", "verbose", "interactive", "exit", "open-tty"],
            long_values: &["max-args", "max-procs", "max-lines", "max-chars", "delimiter", "arg-file", "replace"],
            ..shape("0rtpxo", "nPLIdEasile", 0)
        },
        _ => return None,
    })
}

/// Whether the program does nothing of its own but run what it carries.
pub(crate) fn is_carrier(command: &Command) -> bool {
    command.installed_name().is_some_and(|name| {
        (wrapper(name).is_some() && !matches!(name, "sudo" | "doas" | "busybox" | "toybox"))
            || is_shell(name)
            || matches!(name, "eval" | "trap")
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
    match name {
        "eval" => vec![all_text(arguments).map_or_else(|| unknown("what `eval` runs"), Carried::Source)],
        "source" | "." => vec![unknown(&format!("what the file of `{name}` runs"))],
        "alias" if !arguments.is_empty() => vec![unknown("what `alias` makes of later words")],
        "enable" | "hash" if arguments.iter().any(|word| !word.known || word.fixed.starts_with(['-', '/'])) => {
            vec![unknown(&format!("what `{name}` puts in a command's place"))]
        }
        "trap" => trap(arguments),
        "find" => find(arguments),
        "watch" | "su" | "runuser" => vec![unknown(&format!("what `{name}` runs"))],
        "command" if command.has_option('v', "") || command.has_option('V', "") => vec![Carried::Nothing],
        "git" | "tar" | "sort" | "sed" | "rg" | "awk" | "gawk" | "mawk" | "nawk" | "split" | "sqlite3" | "zip" => {
            options::executing(name, command)
        }
        name if is_shell(name) => shell(name, arguments, command.input.as_deref()),
        name if OPAQUE.contains(&name) => vec![unknown(&format!("what `{name}` runs"))],
        name => match wrapper(name) {
            Some(shape) => wrapped(name, &shape, arguments),
            None => options::executing(name, command),
        },
    }
}

/// Programs that run others in ways that are not looked into.
const OPAQUE: [&str; 27] = [
    "parallel",
    "strace",
    "ltrace",
    "gdb",
    "unshare",
    "nsenter",
    "chroot",
    "systemd-run",
    "setpriv",
    "setarch",
    "runcon",
    "capsh",
    "bwrap",
    "firejail",
    "script",
    "expect",
    "screen",
    "tmux",
    "at",
    "batch",
    "start-stop-daemon",
    "run-parts",
    "ld.so",
    "ld-linux-x86-64.so.2",
    "flock",
    "entr",
    "uclampset",
];

fn unknown(what: &str) -> Carried {
    Carried::Unknown(what.to_owned())
}

fn all_text(words: &[Word]) -> Option<String> {
    words.iter().map(Word::pattern).collect::<Option<Vec<_>>>().map(|words| words.join(" "))
}

fn trap(arguments: &[Word]) -> Vec<Carried> {
    match arguments.first() {
        Some(word) if matches!(word.text(), Some("-" | "-p" | "-l" | "")) => vec![Carried::Nothing],
        Some(word) => {
            vec![word.pattern().map_or_else(|| unknown("what `trap` runs"), |t| Carried::Source(t.to_owned()))]
        }
        None => vec![Carried::Nothing],
    }
}

/// `sh -c TEXT`, `sh FILE`, or a shell that reads its input.
fn shell(name: &str, arguments: &[Word], input: Option<&str>) -> Vec<Carried> {
    let mut command_text = false;
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let Some(text) = word.pattern() else { return vec![unknown(&format!("what `{name}` runs"))] };
        match text {
            "--" | "-" => {}
            "--version" | "--help" => return vec![Carried::Nothing],
            "-o" | "+o" | "-O" | "+O" => drop(words.next()),
            "--norc" | "--noprofile" | "--posix" | "--login" | "--restricted" | "--verbose" => {}
            _ if text.starts_with("--") => return vec![unknown(&format!("what `{name} {text}` runs"))],
            _ if text.starts_with('-') && text.len() > 1 => command_text |= text.contains('c'),
            _ if command_text => return vec![Carried::Source(text.to_owned())],
            _ => return vec![unknown(&format!("what the file `{text}` makes `{name}` run"))],
        }
    }
    match input {
        Some(text) if !text.contains(['$', '`']) => vec![Carried::Source(text.trim_matches(['\'', '"']).to_owned())],
        Some(_) | None => vec![unknown(&format!("what the input makes `{name}` run"))],
    }
}

fn find(arguments: &[Word]) -> Vec<Carried> {
    let mut found = Vec::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.fixed.as_str() {
            "-exec" | "-execdir" | "-ok" | "-okdir" if word.known => {
                let command: Vec<Word> =
                    words.by_ref().take_while(|word| !matches!(word.fixed.as_str(), ";" | "+")).cloned().collect();
                found.push(placeholder(command, "{}", "find"));
            }
            "-fprintf" | "-fprint" | "-fls" | "-fprint0" => {
                found.extend(words.next().cloned().map(Carried::Writes));
            }
            _ => {}
        }
    }
    found
}

/// A command in which each word with `mark` becomes unknown; shell text with it cannot be told.
fn placeholder(mut words: Vec<Word>, mark: &str, by: &str) -> Carried {
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
        *word = Word { fixed, known: false, ..word.clone() };
    }
    Carried::Command(words)
}

fn wrapped(name: &str, shape: &Shape, arguments: &[Word]) -> Vec<Carried> {
    let mut found = Vec::new();
    let mut mark = None;
    let mut words = arguments.iter().peekable();
    while let Some(word) = words.next_if(|word| word.fixed.starts_with('-') && word.fixed.len() > 1 || !word.known) {
        let Some(text) = word.pattern() else { return vec![unknown(&format!("what `{name}` runs"))] };
        if text == "--" {
            break;
        }
        let Some(takes) = option_takes(shape, text) else {
            let help = matches!(text, "--help" | "--version");
            return vec![if help { Carried::Nothing } else { unknown(&format!("what `{name} {text}` runs")) }];
        };
        let value = if takes { words.next().map(|word| word.fixed.clone()) } else { None };
        if name == "xargs" && (text.starts_with("-I") || text.starts_with("-i") || text.starts_with("--replace")) {
            let attached = text.get(2..).filter(|rest| !rest.is_empty() && !text.starts_with("--"));
            mark = Some(attached.map(str::to_owned).or(value).unwrap_or_else(|| "{}".to_owned()));
        }
    }
    if name == "env" {
        while let Some(word) = words.next_if(|word| word.fixed.contains('=')) {
            if let Some((variable, value)) = word.fixed.split_once('=') {
                found.push(Carried::Assignment(variable.to_owned(), word.known.then(|| value.to_owned())));
            }
        }
    }
    let mut command: Vec<Word> = words.skip(shape.skip).cloned().collect();
    if command.is_empty() {
        found.push(Carried::Nothing);
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

/// Whether an option takes the next word; `None` when the option is not known.
fn option_takes(shape: &Shape, text: &str) -> Option<bool> {
    if let Some(long) = text.strip_prefix("--") {
        let (name, attached) = long.split_once('=').map_or((long, false), |(name, _)| (name, true));
        let valued = shape.long_values.contains(&name);
        return (valued || shape.long.contains(&name)).then_some(valued && !attached && name != "replace");
    }
    let mut letters = text.chars().skip(1);
    while let Some(letter) = letters.next() {
        if shape.values.contains(letter) {
            let attached = letters.next().is_some();
            return Some(!attached && !matches!(letter, 'i' | 'l' | 'e' if shape.values.contains("sile")));
        }
        if !shape.flags.contains(letter) {
            return None;
        }
    }
    Some(false)
}
