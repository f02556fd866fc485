//! Which variables make other programs execute something, or hide what ran.

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
