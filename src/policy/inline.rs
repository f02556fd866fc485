//! Code in other languages: on the command line or on standard input it asks, in a file it is what a
//! container is for. And what looks like covering tracks, which only a strict policy minds.

use std::path::Path;

use super::carry::is_shell;
use super::facts::Command;
use super::paths::normal;
use super::word::Word;
use super::{modules, packages};

/// What there is to doubt about a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// Ask.
    Asked(String),
    /// Only where every doubt is a refusal.
    Unread(String),
}

/// An interpreter: its options that take code, and those that take another word.
type Interpreter = (&'static str, &'static [&'static str], &'static [&'static str]);

const INTERPRETERS: &[Interpreter] = &[
    ("python", &["-c"], &["-W", "-X"]),
    ("pypy", &["-c"], &["-W", "-X"]),
    ("ipython", &["-c"], &[]),
    (
        "node",
        &["-e", "-p", "-pe", "--eval", "--print", "--experimental_loader"],
        &["-r", "--require", "--import", "-C"],
    ),
    (
        "nodejs",
        &["-e", "-p", "-pe", "--eval", "--print", "--experimental_loader"],
        &["-r", "--require", "--import", "-C"],
    ),
    ("deno", &["eval", "repl"], &[]),
    ("bun", &["-e", "-p", "--eval", "--print"], &[]),
    ("perl", &["-e", "-E"], &["-I"]),
    ("ruby", &["-e"], &["-I", "-r", "-C", "-E"]),
    ("php", &["-r", "-B", "-R", "-E", "--run"], &["-d", "-c", "-t", "-z"]),
    ("lua", &["-e"], &["-l"]),
    ("luajit", &["-e"], &["-l"]),
    ("tclsh", &[], &[]),
    ("wish", &[], &[]),
    ("Rscript", &["-e"], &[]),
    ("R", &["-e"], &[]),
    ("julia", &["-e", "-E", "--eval", "--print"], &["-L", "-p", "-t", "-H", "-J", "-C", "-O"]),
    ("elixir", &["-e", "--eval"], &["-r"]),
    ("erl", &["-eval"], &[]),
    ("groovy", &["-e"], &[]),
    ("scala", &["-e"], &[]),
    ("guile", &["-c"], &["-L"]),
    ("sbcl", &["--eval"], &[]),
    ("clisp", &["-x"], &[]),
    ("racket", &["-e", "--eval"], &[]),
    ("swift", &["-e"], &[]),
    ("osascript", &["-e"], &[]),
    ("pwsh", &["-c", "-Command", "-EncodedCommand", "-e", "-enc"], &[]),
    ("powershell", &["-c", "-Command", "-EncodedCommand", "-e", "-enc"], &[]),
    ("octave", &["--eval"], &[]),
    ("crystal", &["eval"], &[]),
    ("ghc", &["-e"], &[]),
    ("ghci", &[], &[]),
    ("ocaml", &["-e"], &[]),
    ("raku", &["-e"], &[]),
    ("jshell", &[], &[]),
    ("irb", &[], &[]),
    ("gnuplot", &["-e"], &[]),
    ("emacs", &["--eval", "-eval", "--execute"], &["-l"]),
];

/// Programs that run code of the directory they are in: all of it, or with one of these words.
const RUNNERS: &[(&str, &[&str])] = &[
    ("go", &["run", "test", "generate", "tool", "vet"]),
    ("cargo", &["run", "r", "test", "t", "bench", "build", "b", "check", "c", "clippy", "doc", "nextest"]),
    (
        "npm",
        &[
            "run",
            "run-script",
            "rum",
            "test",
            "t",
            "tst",
            "start",
            "stop",
            "restart",
            "rebuild",
            "pack",
            "exec",
            "x",
            "explore",
        ],
    ),
    ("pnpm", &[]),
    ("yarn", &[]),
    ("bun", &["run", "test", "build"]),
    ("deno", &["run", "test", "task", "bench"]),
    ("dotnet", &["run", "test", "build", "publish", "exec", "msbuild"]),
    ("java", &[]),
    ("mono", &[]),
    ("wine", &[]),
    ("make", &[]),
    ("gmake", &[]),
    ("ninja", &[]),
    ("cmake", &[]),
    ("meson", &[]),
    ("scons", &[]),
    ("just", &[]),
    ("task", &[]),
    ("rake", &[]),
    ("ant", &[]),
    ("gradle", &[]),
    ("gradlew", &[]),
    ("mvn", &[]),
    ("sbt", &[]),
    ("lein", &[]),
    ("bazel", &[]),
    ("tox", &[]),
    ("nox", &[]),
    ("pytest", &[]),
    ("invoke", &[]),
    ("fab", &[]),
    ("composer", &["run", "run-script", "exec"]),
    ("mix", &[]),
    ("rebar", &[]),
    ("crystal", &["run", "spec", "build"]),
    ("nim", &["r", "e"]),
    ("zig", &["run", "test", "build"]),
    ("swift", &["run", "test", "build"]),
    ("stack", &["run", "test", "exec", "build"]),
    ("cabal", &["run", "test", "exec", "build"]),
    ("jupyter", &[]),
    ("act", &[]),
    ("qmake", &[]),
    ("gdb", &[]),
    ("vim", &[]),
    ("vi", &[]),
    ("nvim", &[]),
    ("emacs", &[]),
];

type Letters = (&'static str, &'static str, &'static str);

/// Of interpreters whose short options cluster: those whose value is the rest of the word or the next one, and those
/// whose value is the rest.
const LETTERS: &[Letters] = &[
    ("python", "WXm", ""),
    ("pypy", "WXm", ""),
    ("perl", "I", "mMFixDV"),
    ("ruby", "ICrE", "Fix"),
    ("php", "cdFfgStz", ""),
    ("julia", "HLJCtpOgm", ""),
];

/// Whether the cluster `text` has the option `letter`, which takes code.
fn takes_in_cluster((_, valued, attached): &Letters, text: &str, letter: &str) -> bool {
    let Some(cluster) = text.strip_prefix('-').filter(|rest| !rest.starts_with('-')) else { return false };
    // `perl -M` makes code of its value: `-Mstrict;system(…)`.
    let module = |rest: &str| rest.contains(|c: char| !(c.is_alphanumeric() || ":_=,-".contains(c)));
    let end = cluster.find(|c| valued.contains(c) || attached.contains(c)).unwrap_or(cluster.len());
    let (options, value) = cluster.split_at_checked(end).unwrap_or_default();
    options.contains(letter) || attached.contains('M') && value.starts_with(['m', 'M']) && module(value)
}

/// What there is to doubt about `command`; `fed` says that others feed its input.
pub(crate) fn doubt(command: &Command, fed: bool) -> Option<Doubt> {
    let name = command.unversioned()?;
    if let Some(interpreter) = INTERPRETERS.iter().find(|(known, ..)| *known == name) {
        return code(interpreter, command, fed);
    }
    if let Some(what) = packages::doubt(command) {
        return Some(Doubt::Asked(what));
    }
    let runs = |(known, words): &&(&str, &[&str])| {
        *known == name && (words.is_empty() || subcommands(command).iter().any(|word| words.contains(word)))
    };
    if RUNNERS.iter().any(|runner| runs(&runner)) && !asks_itself(command) {
        return Some(Doubt::Unread(format!("what the files of the directory make `{name}` run")));
    }
    hiding(name, command).map(|what| Doubt::Unread(what.to_owned()))
}

/// The words that may be the subcommand: the first one, or, as options may take it, the one behind.
fn subcommands(command: &Command) -> Vec<&str> {
    let (mut found, mut valued) = (Vec::new(), false);
    for word in command.arguments() {
        let text = word.fixed.as_str();
        let option = text.starts_with(['-', '+']);
        if !option {
            found.push(text);
            if !valued {
                break;
            }
        }
        valued = option && text.starts_with('-') && !text.contains('=');
    }
    found
}

/// Whether it only tells about itself.
fn asks_itself(command: &Command) -> bool {
    let about = |word: &Word| matches!(word.fixed.as_str(), "--version" | "--help" | "-V" | "-h" | "-version");
    command.arguments().iter().any(about)
}

fn code(interpreter: &Interpreter, command: &Command, fed: bool) -> Option<Doubt> {
    let (name, _, valued) = interpreter;
    let letters = LETTERS.iter().find(|(known, ..)| known == name);
    let fed = fed || command.input.is_some();
    let arguments = command.arguments();
    // A module that is its own text, whatever takes it.
    if arguments.iter().any(|word| word.fixed.starts_with("data:") || word.fixed.contains("=data:")) {
        return Some(Doubt::Asked(format!("what the {name} code on the command line does")));
    }
    // The first word that is the file, unless the option before it takes it; whether the last option may take a word.
    let (mut file, mut takes) = (None, false);
    let python = matches!(*name, "python" | "pypy");
    let goes_on = |text: &str| python && fed && text.starts_with('-') && !text.starts_with("--") && text.contains('i');
    let mut asked = false;
    let mut words = arguments.iter().enumerate();
    while let Some((at, word)) = words.next() {
        let text = word.fixed.as_str();
        if !word.known && text.is_empty() || takes_code(interpreter, letters, text) {
            return Some(Doubt::Asked(format!("what the {name} code on the command line does")));
        }
        if python && modules::is_named(text) {
            return Some(modules::doubt(arguments.get(at..).unwrap_or_default()));
        }
        // After its file it reads on.
        asked |= goes_on(text);
        let path = normal(Path::new(text));
        if python && (path.starts_with("/usr/lib") || path.starts_with("/usr/local/lib")) {
            return Some(Doubt::Asked(format!("what `{text}` makes `{name}` do")));
        }
        match text {
            "-" | "-s" => {
                file = None;
                break;
            }
            _ if path == Path::new("/dev/stdin") => {
                file = None;
                break;
            }
            _ if path.starts_with("/dev/fd") || path.starts_with("/proc/self/fd") => break,
            "--version" | "-V" | "--help" | "-h" | "-v" if arguments.len() == 1 => return None,
            _ if valued.contains(&text) => drop(words.next()),
            _ if text.starts_with('-') => takes = may_take(interpreter, letters, text),
            _ if takes => (file, takes) = (file.or(Some(text)), false),
            _ if asked => break,
            _ => return Some(unread(name, file.unwrap_or(text))),
        }
    }
    if let Some(file) = file.filter(|_| !fed) {
        return Some(unread(name, file));
    }
    let source = if fed { "that it is given" } else { "on its standard input" };
    Some(Doubt::Asked(format!("what the {name} code {source} does")))
}

fn unread(name: &str, file: &str) -> Doubt {
    Doubt::Unread(format!("what the file `{file}` makes `{name}` do"))
}

/// Whether the word `text` is an option of the interpreter that takes code.
fn takes_code((_, inline, _): &Interpreter, letters: Option<&Letters>, text: &str) -> bool {
    inline.iter().any(|option| {
        let Some(letter) = option.strip_prefix('-').filter(|letter| letter.len() == 1) else {
            return text == *option || text.starts_with(option) && text.contains('=');
        };
        letters.is_none() && text.starts_with(option) && !text.starts_with("--")
            || letters.is_some_and(|letters| takes_in_cluster(letters, text, letter))
    })
}

/// Whether the option `text` may take the next word: it is not known to take none.
fn may_take((name, ..): &Interpreter, letters: Option<&Letters>, text: &str) -> bool {
    const NODE: [&str; 20] = [
        "-c",
        "-i",
        "--check",
        "--enable-source-maps",
        "--experimental-strip-types",
        "--experimental-transform-types",
        "--experimental-vm-modules",
        "--expose-gc",
        "--inspect",
        "--inspect-brk",
        "--interactive",
        "--no-deprecation",
        "--no-warnings",
        "--preserve-symlinks",
        "--prof",
        "--test",
        "--trace-deprecation",
        "--trace-uncaught",
        "--trace-warnings",
        "--watch",
    ];
    if text == "--" || text.contains('=') || name.starts_with("node") && NODE.contains(&text) {
        return false;
    }
    let cluster = text.strip_prefix('-').filter(|rest| !rest.starts_with('-')).zip(letters);
    cluster.is_none_or(|(cluster, (_, valued, attached))| {
        let at = cluster.find(|c| valued.contains(c) || attached.contains(c));
        at.and_then(|at| cluster.get(at..)).is_some_and(|rest| rest.len() == 1 && valued.contains(rest))
    })
}

/// Whether a shell is told to read its start files.
fn starts_files(command: &Command) -> bool {
    let options = command.arguments().iter().map(|word| word.fixed.as_str()).take_while(|text| text.starts_with('-'));
    options.into_iter().any(|text| text == "--login" || !text.starts_with("--") && text.contains(['i', 'l']))
}

/// What looks like covering tracks or looking for a way out.
fn hiding(name: &str, command: &Command) -> Option<&'static str> {
    let any = |fits: &dyn Fn(&str) -> bool| command.arguments().iter().any(|word| fits(&word.fixed));
    let setuid = |text: &str| {
        let mode = text.trim_start_matches(['-', '/', '+']);
        matches!(mode, "4000" | "2000" | "6000" | "u=s" | "u+s" | "g=s" | "g+s" | "u=s,g=s")
    };
    match name {
        _ if is_shell(name) && starts_files(command) => {
            Some("what the files run that an interactive or login shell reads")
        }
        "find" if any(&setuid) => Some("why it looks for setuid programs"),
        "chmod" if any(&|text| text.contains("+s") || text.len() == 4 && text.starts_with(['2', '4', '6'])) => {
            Some("why it makes a program run as another user")
        }
        "history" if any(&|text| text.starts_with('-')) => Some("why it changes the shell's history"),
        "set" if any(&|text| text == "history") => Some("why it changes the shell's history"),
        "touch"
            if command.has_option('t', "date")
                || command.has_option('r', "reference")
                || command.has_option('d', "") =>
        {
            Some("why it makes a file look older or newer")
        }
        "base" | "basenc" | "openssl" if command.has_option('d', "decode") || command.has_option('D', "") => {
            Some("what the text is that it decodes")
        }
        "xxd" if command.has_option('r', "revert") => Some("what the text is that it decodes"),
        "uudecode" | "b64decode" => Some("what the text is that it decodes"),
        _ => None,
    }
}
