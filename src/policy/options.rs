//! Options and small languages of ordinary programs that run other programs or write files:
//! `git -c`, `sort --compress-program`, `tar --to-command`, awk's `system`, sed's `e` and `w`.

use super::carry::Carried;
use super::facts::{Command, long_matches};
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
    ("node", &["require", "import", "loader", "experimental-loader"]),
    ("install", &["strip-program"]),
];

/// Short options that execute, by program.
const SHORT: &[(&str, &str)] = &[
    ("wget", "e"),
    ("curl", "K"),
    ("tar", "IF"),
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
        let hit = command.arguments().iter().take_while(|word| word.fixed != "--").any(|word| {
            word.fixed.strip_prefix("--").is_some_and(|text| {
                let exact_only = matches!(*option, "tool" | "exec" | "pre" | "html" | "import" | "require");
                let written = text.split_once('=').map_or(text, |(name, _)| name);
                if exact_only { written == *option } else { written.len() > 2 && long_matches(text, option) }
            })
        });
        if hit {
            found.push(Carried::Unknown(format!("what `{name} --{option}` runs")));
        }
    }
    let short = SHORT.iter().find(|(program, _)| *program == name).map_or("", |(_, letters)| *letters);
    if let Some(letter) = short.chars().find(|letter| command.has_option(*letter, "")) {
        found.push(Carried::Unknown(format!("what `{name} -{letter}` runs")));
    }
    match name {
        "git" => super::git::git(command, &mut found),
        "awk" | "gawk" | "mawk" | "nawk" => awk(command, &mut found),
        // The old style: `tar xIf ./program a.tar`.
        "tar"
            if command
                .arguments()
                .first()
                .is_some_and(|word| !word.fixed.starts_with('-') && word.fixed.contains(['I', 'F'])) =>
        {
            found.push(Carried::Unknown("what `tar` runs".to_owned()))
        }
        "sed" => sed(command, &mut found),
        "vim" | "vi" | "nvim" | "view" | "vimdiff" | "less" | "more" if editor(name, command) => {
            found.push(Carried::Unknown(format!("what the commands given to `{name}` run")));
        }
        "gcc" | "g++" | "cc" | "clang" | "clang++" if has_word(command, "-wrapper") || plugin(command) => {
            found.push(Carried::Unknown(format!("what the compiler's plugin given to `{name}` runs")));
        }
        "sqlite3" if command.arguments().iter().any(|word| !word.known || dot_command(&word.fixed)) => {
            found.push(Carried::Unknown("what dot-commands of `sqlite3` run".to_owned()));
        }
        "zip" if command.has_option('\0', "unzip-command") || has_word(command, "-TT") => {
            found.push(Carried::Unknown("what `zip -TT` runs".to_owned()));
        }
        _ => {}
    }
    found
}

pub(super) fn has_word(command: &Command, text: &str) -> bool {
    command.arguments().iter().any(|word| word.fixed == text)
}

/// Whether it is a command of sqlite3 that may do more than show.
fn dot_command(text: &str) -> bool {
    let harmless = [".tables", ".schema", ".headers", ".mode", ".databases", ".indexes", ".dump", ".width", ".help"];
    let name = text.split_whitespace().next().unwrap_or_default();
    name.starts_with('.') && !name.starts_with("./") && (text.contains(['\n', '|', ';']) || !harmless.contains(&name))
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

fn awk(command: &Command, found: &mut Vec<Carried>) {
    let mut unknown = |what: &str| found.push(Carried::Unknown(what.to_owned()));
    let mut words = command.arguments().iter();
    let mut program_seen = false;
    while let Some(word) = words.next() {
        let text = word.fixed.as_str();
        match text {
            "-F" | "-v" | "--assign" | "--field-separator" => drop(words.next()),
            _ if text.starts_with("-f")
                || text.starts_with("--file")
                || text.starts_with("-i")
                || text.starts_with("-l") =>
            {
                return unknown("what the awk program in a file runs");
            }
            _ if text.starts_with("-e") || text.starts_with("--source") => {
                return unknown("what `awk --source` runs");
            }
            _ if text.starts_with('-') && text.len() > 1 => {}
            _ if !program_seen => {
                program_seen = true;
                if !word.known {
                    return unknown("what this awk program runs");
                }
                let pipes = text.replace("||", "").contains('|');
                if text.contains("system") || text.contains('@') && text.contains("load") || pipes {
                    return unknown("what this awk program runs");
                }
            }
            _ => {}
        }
    }
}

fn sed(command: &Command, found: &mut Vec<Carried>) {
    let mut scripts: Vec<Word> = Vec::new();
    let mut first = None;
    let mut words = command.arguments().iter();
    while let Some(word) = words.next() {
        let text = word.fixed.as_str();
        let part = |text: &str| Word { fixed: text.to_owned(), ..word.clone() };
        if let Some(value) = text.strip_prefix("--expression=") {
            scripts.push(part(value));
        } else if text.starts_with("--e") {
            scripts.extend(words.next().cloned());
        } else if text.starts_with("--f") {
            return found.push(Carried::Unknown("what the sed script in a file runs".to_owned()));
        } else if let Some(cluster) = text.strip_prefix('-').filter(|rest| !rest.is_empty() && !rest.starts_with('-')) {
            let rest = cluster.trim_start_matches(['n', 'E', 'r', 's', 'u', 'z']);
            match (rest.strip_prefix('e'), rest.starts_with('f')) {
                (Some(""), _) => scripts.extend(words.next().cloned()),
                (Some(script), _) => scripts.push(part(script)),
                (None, true) => return found.push(Carried::Unknown("what the sed script in a file runs".to_owned())),
                (None, false) => {}
            }
        } else if !text.starts_with('-') && first.is_none() {
            first = Some(word.clone());
        }
    }
    if scripts.is_empty() {
        scripts.extend(first);
    }
    for script in scripts {
        let text = if script.known { Some(script.fixed.clone()) } else { blanked(&script.raw) };
        match text.and_then(|text| super::sed::effects(&text)) {
            Some(files) => found.extend(files.iter().map(|file| Carried::Writes(Word::of(file)))),
            None => found.push(Carried::Unknown("what this sed script runs".to_owned())),
        }
    }
}

/// A double-quoted text with an `x` for each variable; `None` when commands or more stand in it.
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
            text.push('x');
            text.push_str(rest);
            continue;
        }
        let (name, rest) = match part.strip_prefix('{') {
            Some(braced) => braced.split_once('}')?,
            None => {
                part.split_at_checked(part.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(part.len()))?
            }
        };
        text.push(if name.is_empty() { '$' } else { 'x' });
        text.push_str(rest);
    }
    Some(text)
}
