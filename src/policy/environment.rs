//! Which variables make other programs execute something, or hide what ran.

/// Prefixes of names that execute.
const PREFIXES: &[&str] = &[
    "LD_",
    "GIT_",
    "PYTHON",
    "PERL5",
    "RUBY",
    "BASH_",
    "CARGO_",
    "RUSTC",
    "npm_config_",
    "NPM_CONFIG_",
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
    "NODE_PATH",
    "PERLLIB",
    "PERL_MM_OPT",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "PS4",
    "PS1",
    "PS0",
    "PROMPT_COMMAND",
    "IFS",
    "HOME",
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
];

/// Variables that make other programs execute something.
pub(crate) fn executes(name: &str, value: Option<&str>) -> bool {
    let harmless = matches!(
        (name, value),
        ("GIT_PAGER" | "PAGER" | "MANPAGER", Some("cat" | ""))
            | ("GIT_EDITOR" | "EDITOR" | "VISUAL", Some("true" | ":"))
    ) || name == "IFS"
        && value.is_some_and(|value| value.len() <= 2 && !value.contains(|c: char| c.is_alphanumeric() || c == '/'))
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
    !harmless && (PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NAMES.contains(&name))
}
