//! Which variables make other programs execute something, or hide what ran, and what sets them.

use super::facts::Command;
use super::word::Word;

/// Prefixes of names that execute.
const PREFIXES: &[&str] = &[
    "LD_",
    "GIT_",
    "PYTHON",
    "PERL",
    "RUBY",
    "BASH_",
    "CARGO_",
    "RUSTC",
    "PIP_",
    "DYLD_",
    "LESS",
    "GCONV_",
    "AWK",
    "HIST",
    "XDG_CONFIG",
];

/// Names that execute.
const NAMES: &[&str] = &[
    "ENV",
    "ZDOTDIR",
    "PATH",
    "NODE_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "JAVA_OPTS",
    "MAVEN_OPTS",
    "GRADLE_OPTS",
    "SBT_OPTS",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "DOCKER_HOST",
    "KUBECONFIG",
    "SSLKEYLOGFILE",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "ERL_FLAGS",
    "DENO_DIR",
    "TCLLIBPATH",
    "R_PROFILE",
    "R_PROFILE_USER",
    "NODE_PATH",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "PS4",
    "PS1",
    "PS0",
    "PROMPT_COMMAND",
    "IFS",
    "HOME",
    // Words of the script take what they hold for a path.
    "PWD",
    "OLDPWD",
    "SHELL",
    "EDITOR",
    "VISUAL",
    "PAGER",
    "MANPAGER",
    "BROWSER",
    "SSH_ASKPASS",
    "SUDO_ASKPASS",
    "CC",
    "CXX",
    "LD",
    "AR",
    "MAKEFLAGS",
    "CMAKE_C_COMPILER",
    "CMAKE_CXX_COMPILER",
    "TAR_OPTIONS",
    "GREP_OPTIONS",
    "GLOBIGNORE",
    "BASHOPTS",
    "SHELLOPTS",
    "CDPATH",
    "HOSTALIASES",
    "VIMINIT",
    "EXINIT",
    "LUA_INIT",
    "LOCPATH",
    "NLSPATH",
    "OPENSSL_CONF",
    "OPENSSL_MODULES",
    "TERMINFO",
    "CURL_HOME",
    "WGETRC",
    "INPUTRC",
    "FPATH",
    "TMOUT",
    "RSYNC_RSH",
    "CVS_RSH",
    "PYTHONSTARTUP",
    "FCEDIT",
    "HISTFILE",
    "EXECIGNORE",
    "POSIXLY_CORRECT",
    "FUNCNEST",
    "RIPGREP_CONFIG_PATH",
    "TAPE",
    "RSH",
    "RMT",
    "ZIP",
    "ZIPOPT",
    "GREP",
    "MAILCAPS",
    "TEXTDOMAIN",
    "TEXTDOMAINDIR",
    "UNZIP",
    "UNZIPOPT",
    "MAKEFILES",
    "GNUMAKEFLAGS",
    "COMPILER_PATH",
    "GCC_EXEC_PREFIX",
    "GOFLAGS",
    "GOROOT",
    "GOENV",
    "NODE_REPL_EXTERNAL_MODULE",
];

/// Ends of names that execute: `SYSTEMD_PAGER`, `SUDO_EDITOR`.
const SUFFIXES: &[&str] = &["PAGER", "EDITOR", "BROWSER", "ASKPASS", "_RSH"];

/// Variables that make other programs execute something.
pub(crate) fn executes(name: &str, value: Option<&str>) -> bool {
    let harmless = matches!(
        (name, value),
        ("GIT_PAGER" | "PAGER" | "MANPAGER", Some("cat" | ""))
            | ("GIT_EDITOR" | "EDITOR" | "VISUAL", Some("true" | ":"))
    ) || name == "IFS"
        && value.is_some_and(|value| {
            // What joins words with it may make a substitution of them.
            value.len() <= 2 && !value.contains(|c: char| c.is_alphanumeric() || "/$`[]()".contains(c))
        })
        || matches!(
            name,
            "GIT_TERMINAL_PROMPT"
                | "GIT_OPTIONAL_LOCKS"
                | "PYTHONUNBUFFERED"
                | "PYTHONDONTWRITEBYTECODE"
                | "PYTHONIOENCODING"
                | "PYTHONHASHSEED"
                | "PYTHONUTF8"
        )
        || name.starts_with("GIT_AUTHOR_")
        || name.starts_with("GIT_COMMITTER_");
    !harmless
        && (PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            // npm reads it in any case.
            || name.to_ascii_lowercase().starts_with("npm_config_")
            || SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
            || NAMES.contains(&name))
}

/// Whether a text that is evaluated as arithmetic sets a variable that executes: `PATH=1`, `x[PATH++]`.
pub(crate) fn is_set_in(text: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut rest = text;
    while let Some(start) = rest.find(part) {
        let (before, from) = rest.split_at_checked(start).unwrap_or_default();
        let (name, after) = from.split_at_checked(from.find(|c| !part(c)).unwrap_or(from.len())).unwrap_or_default();
        let next = after.trim_start();
        let operator = next.trim_start_matches(['+', '-', '*', '/', '%', '<', '>', '&', '^', '|', '[']);
        let stepped =
            next.starts_with("++") || next.starts_with("--") || before.ends_with("++") || before.ends_with("--");
        if executes(name, None) && (stepped || operator.starts_with('=') || next.starts_with('[')) {
            return true;
        }
        rest = after;
    }
    false
}

/// Whether a text that is evaluated as arithmetic sets the variable whose name another one holds: `$x=1`.
pub(crate) fn is_set_through(text: &str) -> bool {
    let operators = ["=", "+=", "-=", "*=", "/=", "%=", "<<=", ">>=", "&=", "^=", "|="];
    let assigns = |text: &str| {
        operators.iter().any(|operator| text.strip_prefix(operator).is_some_and(|rest| !rest.starts_with('=')))
    };
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '{';
    let named =
        text.split('$').skip(1).any(|rest| assigns(rest.trim_start_matches(part).trim_start_matches('}').trim_start()));
    named || text.contains("$(") && text.split(')').skip(1).any(|rest| assigns(rest.trim_start()))
}

/// Whether a builtin sets or unsets variables that it is given the names of.
pub(crate) fn is_about_variables(builtin: &str) -> bool {
    matches!(builtin, "declare" | "local" | "typeset" | "export" | "readonly" | "read" | "mapfile" | "readarray")
        || matches!(builtin, "printf" | "getopts" | "unset" | "wait")
}

/// Whether a builtin sets a variable that executes, or one that is not known.
pub(crate) fn is_set_by(builtin: &str, command: &Command) -> bool {
    let words = command.arguments();
    match builtin {
        "let" => return words.iter().any(|word| is_set_in(&word.fixed) || is_set_through(&word.raw)),
        // What the name stands for is another variable.
        "declare" | "local" | "typeset" if command.has_option('n', "") => return true,
        "printf" if words.first().is_some_and(|word| may_be_variable(word, words.len())) => return true,
        _ if !is_about_variables(builtin) => return false,
        _ => {}
    }
    let options = words.iter().take_while(|word| word.fixed.starts_with('-') && word.fixed != "--").count();
    words.iter().enumerate().any(|(at, word)| {
        let before = at.checked_sub(1).and_then(|before| words.get(before)).map_or("", |word| word.fixed.as_str());
        let Some(text) = name_in(builtin, word, before, at) else { return at < options && !word.known };
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let plain = name.split(['[', '+']).next().unwrap_or_default();
        // Written as an assignment, a value does not split.
        let start = word.raw.split_once('=').map_or("$", |(name, _)| name);
        let open = !word.known && !text.contains('=') || word.splits && start.contains('$');
        match builtin {
            // Without it programs are looked for in the working directory; words with the others may be none.
            "unset" => matches!(plain, "PATH" | "HOME" | "PWD" | "OLDPWD") || open,
            _ => executes(plain, value.filter(|_| word.known && plain == name)) || open,
        }
    })
}

/// The name, perhaps with a value, that a word gives to a builtin, behind the word `before`.
fn name_in<'a>(builtin: &str, word: &'a Word, before: &str, at: usize) -> Option<&'a str> {
    let text = word.fixed.as_str();
    let option = text.starts_with('-');
    let attached =
        |letter: char| text.split_once(letter).map(|(_, rest)| rest).filter(|rest| option && !rest.is_empty());
    let ends_in = |letters: &[char]| before.starts_with('-') && before.ends_with(letters);
    match builtin {
        "printf" if at == 0 => attached('v'),
        "printf" => (at == 1 && ends_in(&['v'])).then_some(text),
        "wait" => attached('p').or((ends_in(&['p'])).then_some(text)),
        "read" if option => attached('a'),
        "read" if !word.splits && ends_in(&['d', 'i', 'n', 'N', 'p', 't', 'u']) => None,
        _ => (!option).then_some(text),
    }
}

/// Whether the format of `printf` may be `-vNAME`.
fn may_be_variable(format: &Word, words: usize) -> bool {
    format.splits || words > 1 && !format.known && format.may_be_option() && !format.raw.contains([' ', '%', '\\'])
}

/// Variables that no program executes: languages, time, colours, and the like.
pub(crate) fn is_harmless(name: &str) -> bool {
    const KNOWN: &[&str] = &[
        "LANG",
        "LANGUAGE",
        "TZ",
        "TERM",
        "COLUMNS",
        "LINES",
        "CI",
        "DEBUG",
        "VERBOSE",
        "NODE_ENV",
        "PORT",
        "FORCE_COLOR",
        "NO_COLOR",
        "CLICOLOR",
        "GOOS",
        "GOARCH",
        "RUST_LOG",
        "RUST_BACKTRACE",
        "SOURCE_DATE_EPOCH",
        "OMP_NUM_THREADS",
        "DEBIAN_FRONTEND",
        "TMPDIR",
    ];
    name.starts_with("LC_") || KNOWN.contains(&name)
}
