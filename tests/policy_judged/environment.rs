//! Variables that make other programs execute something.

use castoff::domain::record::Verdict::{Allow, Ask};

use super::{each, none_allowed, preset};

#[test]
fn a_variable_that_executes_is_seen_however_it_is_set() {
    let names = [
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "BASH_ENV",
        "ENV",
        "PATH",
        "GIT_SSH_COMMAND",
        "GIT_EXTERNAL_DIFF",
        "GIT_PAGER",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "NODE_OPTIONS",
        "PERL5OPT",
        "PERL_MM_USE_DEFAULT",
        "RUBYOPT",
        "PS4",
        "PROMPT_COMMAND",
        "IFS",
        "HOME",
        "EDITOR",
        "PAGER",
        "LESSOPEN",
        "CC",
        "CARGO_BUILD_RUSTC",
        "RUSTC_WRAPPER",
        "JDK_JAVA_OPTIONS",
        "JAVA_TOOL_OPTIONS",
        "VIMINIT",
        "LUA_INIT",
        "HOSTALIASES",
        "TAR_OPTIONS",
        "npm_config_prefix",
        "PIP_INDEX_URL",
        "GCONV_PATH",
        "CMAKE_C_COMPILER",
        "SSL_CERT_FILE",
    ];
    let policy = preset("default", &[]);
    for name in names {
        each(
            &policy,
            Ask,
            &[
                &format!("{name}=./x git status"),
                &format!("export {name}=./x"),
                &format!("{name}=./x; export {name}; git status"),
                &format!("env {name}=./x git status"),
                &format!("declare -x {name}=./x; git status"),
                &format!("printf -v {name} ./x; git status"),
                &format!("read {name} < a; git status"),
            ],
        );
    }
}

#[test]
fn everyday_variables_are_fine_and_others_are_not_known_in_strict() {
    let fine = ["LC_ALL=C sort a", "TZ=UTC date", "export NO_COLOR=1", "x=1; cat \"$x\"", "DEBUG=1 cat a"];
    each(&preset("default", &[]), Allow, &fine);
    each(&preset("strict", &[]), Allow, &fine);
    each(&preset("default", &[]), Allow, &["SOME_SETTING=1 cat a"]);
    none_allowed(&preset("strict", &[]), &["SOME_SETTING=1 cat a", "export OTHER=1"]);
}
