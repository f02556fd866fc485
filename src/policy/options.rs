//! Options and small languages of ordinary programs that run other programs or write files:
//! `git -c`, `sort --compress-program`, `tar --to-command`, awk's `system`, sed's `e` and `w`.

use super::carry::Carried;
use super::facts::{Command, is_option};
use super::word::Word;

/// Long options that execute, by program; abbreviations count.
const LONG: &[(&str, &[&str])] = &[
    ("less", &["lesskey-src", "lesskey-content"]),
    ("make", &["eval"]),
    ("wget", &["use-askpass", "execute"]),
    ("curl", &["config"]),
    ("gcc", &["plugin"]),
    ("jq", &["library-path"]),
    ("ctags", &["options"]),
    ("pip", &["build-option", "global-option"]),
    ("sort", &["compress-program"]),
    (
        "tar",
        &[
            "to-command",
            "checkpoint-action",
            "use-compress-program",
            "rsh-command",
            "rmt-command",
            "info-script",
            "new-volume-script",
            "multi-volume",
            "tape-length",
            "files-from",
        ],
    ),
    (
        "git",
        &[
            "upload-pack",
            "receive-pack",
            "exec",
            "exec-path",
            "config-env",
            "ext-diff",
            "open-files-in-pager",
            "extcmd",
            "tool",
            "textconv",
        ],
    ),
    ("rg", &["pre", "hostname-bin"]),
    ("fd", &["exec", "exec-batch"]),
    ("fdfind", &["exec", "exec-batch"]),
    ("split", &["filter"]),
    ("zip", &["unzip-command"]),
    ("diff3", &["diff-program"]),
    ("sdiff", &["diff-program"]),
    ("cpio", &["rsh-command", "to-command"]),
    ("rsync", &["rsh", "rsync-path"]),
    ("man", &["pager", "html"]),
    ("node", &["require", "import", "loader", "experimental-loader", "entry-url"]),
    ("install", &["strip-program"]),
];

/// Short options that execute, by program.
const SHORT: &[(&str, &str)] = &[
    ("wget", "e"),
    ("curl", "K"),
    ("tar", "IFTML"),
    ("git", ""),
    ("zip", ""),
    ("rsync", "e"),
    ("fd", "xX"),
    ("fdfind", "xX"),
    ("man", "PH"),
    ("scp", "SoF"),
    ("ssh", "oF"),
];

/// What `command` runs or writes through its options.
pub(crate) fn executing(name: &str, command: &Command) -> Vec<Carried> {
    let mut found = Vec::new();
    let long = LONG.iter().filter(|(program, _)| *program == name).flat_map(|(_, long)| *long);
    for option in long {
        // A `--` may be the value of the option before it, and then ends nothing.
        let hit = command.arguments().iter().any(|word| {
            word.fixed.strip_prefix("--").is_some_and(|text| {
                let exact_only = matches!(*option, "tool" | "pre" | "import" | "require");
                let written = text.split_once('=').map_or(text, |(name, _)| name);
                written == *option || !exact_only && !written.is_empty() && option.starts_with(written)
            })
        });
        if hit {
            found.push(Carried::Unknown(format!("what `{name} --{option}` runs")));
        }
    }
    let short = SHORT.iter().find(|(program, _)| *program == name).map_or("", |(_, letters)| *letters);
    if let Some(letter) =
        short.chars().find(|letter| command.arguments().iter().any(|word| is_option(word, *letter, "")))
    {
        found.push(Carried::Unknown(format!("what `{name} -{letter}` runs")));
    }
    match name {
        "git" => super::git::git(command, &mut found),
        "awk" | "gawk" | "mawk" | "nawk" | "original-awk" => super::awk::awk(command, &mut found),
        // The old style: `tar xIf ./program a.tar`.
        "tar"
            if command
                .arguments()
                .first()
                .is_some_and(|word| !word.fixed.starts_with('-') && word.fixed.contains(['I', 'F', 'T', 'M', 'L'])) =>
        {
            found.push(Carried::Unknown("what `tar` runs".to_owned()))
        }
        "sed" => super::sed::sed(command, &mut found),
        "vim" | "vi" | "nvim" | "view" | "vimdiff" | "less" | "more" if editor(name, command) => {
            found.push(Carried::Unknown(format!("what the commands given to `{name}` run")));
        }
        "gcc" | "g++" | "cc" | "clang" | "clang++" if has_word(command, "-wrapper") || plugin(command) => {
            found.push(Carried::Unknown(format!("what the compiler's plugin given to `{name}` runs")));
        }
        "sqlite3" => super::sqlite::sqlite(command, &mut found),
        "zip" if command.arguments().iter().any(|word| word.fixed.starts_with('-') && word.fixed.contains("TT")) => {
            found.push(Carried::Unknown("what `zip -TT` runs".to_owned()));
        }
        _ => {}
    }
    if is_open(name, command) || may_be_code(command) {
        found.push(Carried::Unknown(format!("what `{name}` runs, of which a word that is not known may be an option")));
    }
    found
}

/// Short options whose value is the next word, of programs that also have options that execute.
const VALUED: &[(&str, &str)] = &[
    ("git", "mCFbB"),
    ("sort", "kotST"),
    ("tar", "fCXgb"),
    ("rg", "efgtTABCmj"),
    ("zip", "xibnt"),
    ("split", "abCln"),
    ("sed", "el"),
    ("gcc", "oIL"),
    ("g++", "oIL"),
    ("make", "Cf"),
];
/// Short options without a value, behind which a `--` ends the options.
const FLAGS: &[(&str, &str)] =
    &[("git", "nilqvwEPr"), ("sort", "bdfghnruVz"), ("rg", "cFHiLlNnoqSsUuvwxz0"), ("sed", "nErsuz"), ("zip", "jqrmu")];
/// Parts of git with options that execute.
const GIT_OPEN: &[&str] = &[
    "archive",
    "bisect",
    "clone",
    "config",
    "fetch",
    "grep",
    "init",
    "ls-remote",
    "pull",
    "push",
    "rebase",
    "send-email",
    "submodule",
];

/// Whether a word that is not known may be one of the program's options that execute.
fn is_open(name: &str, command: &Command) -> bool {
    let executes = LONG.iter().any(|(program, _)| *program == name && name != "jq")
        || SHORT.iter().any(|(program, _)| *program == name)
        || matches!(
            name,
            "sed" | "vim" | "vi" | "nvim" | "view" | "vimdiff" | "more" | "g++" | "cc" | "clang" | "clang++"
        );
    let part = command.positionals().first().and_then(|word| word.text());
    // That curl obeys a file starts no program.
    if !executes || name == "curl" || name == "git" && part.is_some_and(|part| !GIT_OPEN.contains(&part)) {
        return false;
    }
    let valued = VALUED.iter().find(|(program, _)| *program == name).map_or("", |(_, letters)| *letters);
    let takes = |word: &Word| {
        word.known
            && word.fixed.starts_with('-')
            && !word.fixed.starts_with("--")
            && word.fixed.ends_with(|c| valued.contains(c))
    };
    // A part behind the letter of an option makes no other one, where no letter executes.
    let attached = |word: &Word| {
        let letters =
            word.fixed.strip_prefix('-').filter(|rest| !word.glob && !rest.is_empty() && !rest.starts_with('-'));
        letters.is_some_and(|letters| {
            letters.contains(|c| valued.contains(c)) || !SHORT.iter().any(|(program, _)| *program == name)
        })
    };
    let flags = FLAGS.iter().find(|(program, _)| *program == name).map_or("", |(_, letters)| *letters);
    let words = command.before_end(flags);
    let open = |(at, word): (usize, &Word)| {
        let value = at.checked_sub(1).and_then(|before| words.get(before)).is_some_and(takes);
        // What `find` puts in begins with one of its own words.
        word.may_be_option() && (word.is_loose() || !value && !attached(word)) && word.raw != "{}"
    };
    words.iter().enumerate().any(open)
}

/// Whether a glob before the file that an interpreter runs may be an option that takes code: `python3 [-]c`.
fn may_be_code(command: &Command) -> bool {
    let interprets = matches!(command.unversioned(), Some("python" | "pypy" | "perl" | "ruby" | "php" | "lua"));
    let mut options = command.arguments().iter().take_while(|word| word.may_be_option() || word.fixed.starts_with('-'));
    interprets && options.any(|word| word.glob)
}

fn has_word(command: &Command, text: &str) -> bool {
    command.arguments().iter().any(|word| word.fixed == text)
}

fn plugin(command: &Command) -> bool {
    command.arguments().iter().any(|word| word.fixed.starts_with("-fplugin") || word.fixed.starts_with("-B"))
}

/// Whether an editor or pager is given commands of its own.
fn editor(name: &str, command: &Command) -> bool {
    let pager = matches!(name, "less" | "more");
    command.arguments().iter().any(|word| {
        let text = word.fixed.as_str();
        let command = text.strip_prefix('+').is_some_and(|rest| !rest.chars().all(|c| c.is_ascii_digit()));
        let option = ["-c", "-S", "-s", "-u", "-U", "-i", "-e", "--cmd"].iter().any(|option| text.starts_with(option));
        command || option && !pager || pager && (text.starts_with("-k") || text.starts_with("--lesskey"))
    })
}
