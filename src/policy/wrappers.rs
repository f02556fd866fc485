//! The wrappers as data: programs that run the command which their words make up, and how their
//! options are read. An option that is not here is not known, and then neither is what they run.

use super::word::Word;

/// How the options of a wrapper are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wrapper {
    /// The program.
    name: &'static str,
    /// The word after it, for a program that only then is a wrapper; empty for none.
    command: &'static str,
    /// Short options without a value.
    flags: &'static str,
    /// Short options with a value.
    values: &'static str,
    /// Long options without a value.
    long: &'static [&'static str],
    /// Long options with a value.
    long_values: &'static [&'static str],
    /// Words between the options and the command.
    pub(crate) skip: usize,
    /// Whether the words are joined to text for a shell.
    pub(crate) joined: bool,
}

const fn plain(name: &'static str, flags: &'static str, values: &'static str) -> Wrapper {
    Wrapper { name, command: "", flags, values, long: &[], long_values: &[], skip: 0, joined: false }
}

const fn runs(name: &'static str, command: &'static str) -> Wrapper {
    Wrapper { command, ..plain(name, "", "") }
}

const WRAPPERS: &[Wrapper] = &[
    Wrapper { long: &["ignore-environment", "null"], long_values: &["unset", "chdir"], ..plain("env", "i0v", "uC") },
    Wrapper { long_values: &["adjustment"], ..plain("nice", "0123456789", "n") },
    plain("nohup", "", ""),
    plain("builtin", "", ""),
    plain("busybox", "", ""),
    plain("toybox", "", ""),
    plain("command", "p", ""),
    plain("exec", "cl", "a"),
    Wrapper {
        long: &["foreground", "preserve-status", "verbose"],
        long_values: &["kill-after", "signal"],
        skip: 1,
        ..plain("timeout", "vfp", "ks")
    },
    Wrapper {
        long: &["portability", "verbose", "append", "quiet"],
        long_values: &["format", "output"],
        ..plain("time", "pvaq", "fo")
    },
    Wrapper { long_values: &["input", "output", "error"], ..plain("stdbuf", "", "ioe") },
    plain("unbuffer", "p", ""),
    Wrapper { long: &["ctty", "fork", "wait"], ..plain("setsid", "cfw", "") },
    Wrapper { long: &["ignore"], long_values: &["class", "classdata"], ..plain("ionice", "t", "cn") },
    Wrapper { long: &["all-tasks", "cpu-list"], skip: 1, ..plain("taskset", "ac", "") },
    Wrapper { long_values: &["pid"], skip: 1, ..plain("chrt", "abfior", "TPD") },
    Wrapper {
        long: &["non-interactive", "preserve-env", "set-home", "stdin"],
        long_values: &["user", "group", "chdir"],
        ..plain("sudo", "EHnSkbA", "ugCDhprt")
    },
    plain("doas", "n", "uC"),
    Wrapper {
        long: &["null", "no-run-if-empty", "verbose", "interactive", "exit", "open-tty", "max-lines", "eof"],
        long_values: &["max-args", "max-procs", "max-chars", "delimiter", "arg-file", "replace"],
        ..plain("xargs", "0rtpxo", "nPLIdEasile")
    },
    Wrapper {
        long: &["beep", "color", "no-color", "errexit", "chgexit", "no-title", "precise", "no-wrap", "differences"],
        long_values: &["interval", "equexit"],
        joined: true,
        ..plain("watch", "bcCdegtwp", "nq")
    },
    Wrapper {
        long: &["follow-forks", "summary-only", "summary", "no-abbrev"],
        long_values: &["output", "trace", "string-limit"],
        ..plain("strace", "fFqrtTvVyCcdhikwxzZ", "eoOpPsSabuUIX")
    },
    plain("ltrace", "fcCrtTSi", "eosulnapAD"),
    Wrapper { long: &["errexit"], ..plain("chronic", "ev", "") },
    plain("ifne", "n", ""),
    Wrapper { long: &["show-hosts", "show-principal"], ..plain("distcc", "j", "") },
    plain("tsp", "nfd", ""),
    plain("catchsegv", "", ""),
    plain("eatmydata", "", ""),
    plain("fakeroot", "", ""),
    Wrapper { skip: 1, ..plain("faketime", "f", "") },
    plain("dbus-run-session", "", ""),
    plain("xvfb-run", "a", "enps"),
    plain("cross-env", "", ""),
    plain("caffeinate", "dimsu", "tw"),
    plain("proxychains", "q", "f"),
    plain("proxychains4", "q", "f"),
    plain("torsocks", "", ""),
    runs("poetry", "run"),
    runs("pipenv", "run"),
    runs("pdm", "run"),
    runs("hatch", "run"),
    runs("rye", "run"),
    runs("uv", "run"),
    runs("bundle", "exec"),
    runs("pnpm", "exec"),
    runs("yarn", "exec"),
    runs("npm", "exec"),
    runs("rbenv", "exec"),
    runs("pyenv", "exec"),
    runs("asdf", "exec"),
    runs("mise", "exec"),
    runs("op", "run"),
];

impl Wrapper {
    /// The wrapper that is called `name`, with `next` as the word after it.
    pub(crate) fn of(name: &str, next: Option<&str>) -> Option<&'static Self> {
        WRAPPERS
            .iter()
            .find(|wrapper| wrapper.name == name && (wrapper.command.is_empty() || Some(wrapper.command) == next))
    }

    /// Whether the word that makes `name` a wrapper stands behind options.
    pub(crate) fn of_later(name: &str, arguments: &[Word]) -> bool {
        let later = |wrapper: &Self| arguments.iter().any(|word| word.fixed == wrapper.command);
        let behind =
            arguments.first().is_some_and(|first| first.text().is_none_or(|text| text.starts_with(['-', '+'])));
        behind && WRAPPERS.iter().any(|wrapper| wrapper.name == name && later(wrapper))
    }

    /// Whether an option with its value runs a program of its own: `strace -o '|program'`.
    pub(crate) fn runs_by(&self, option: &str, value: Option<&Word>) -> bool {
        let program = |text: &str| text.contains(['|', '!']);
        self.name == "strace" && (program(option) || value.is_some_and(|word| program(&word.fixed) || !word.known))
    }

    /// Whether the word after the program only says that it is a wrapper.
    pub(crate) fn has_command(&self) -> bool {
        !self.command.is_empty()
    }

    /// Whether it sets variables of what it runs, as `env` does.
    pub(crate) fn sets_variables(&self) -> bool {
        matches!(self.name, "env" | "cross-env")
    }

    /// Whether an option takes the next word; `None` when the option is not known.
    pub(crate) fn takes(&self, text: &str) -> Option<bool> {
        if let Some(long) = text.strip_prefix("--") {
            let (name, attached) = long.split_once('=').map_or((long, false), |(name, _)| (name, true));
            let valued = self.long_values.contains(&name);
            return (valued || self.long.contains(&name)).then_some(valued && !attached && name != "replace");
        }
        let mut letters = text.chars().skip(1);
        while let Some(letter) = letters.next() {
            if self.values.contains(letter) {
                let attached = letters.next().is_some();
                let alone = self.name == "xargs" && matches!(letter, 'i' | 'l' | 'e');
                return Some(!attached && !alone);
            }
            if !self.flags.contains(letter) {
                return None;
            }
        }
        Some(false)
    }
}
