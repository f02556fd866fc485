//! The part of the decision that is about files: words and redirections against the paths.

use crate::domain::record::Verdict;

use super::carry::is_shell;
use super::facts::{Command, Facts};
use super::judge::{Draft, Network};
use super::paths::{Area, Place, candidates};
use super::tables;
use super::variables::Variables;
use super::word::Word;

impl Draft<'_> {
    pub(super) fn arguments(&mut self, command: &Command, facts: &Facts, variables: &mut Variables<'_>, area: &Area) {
        let name = command.name().unwrap_or_default();
        if matches!(
            name,
            "echo" | "printf" | "export" | "expr" | "basename" | "dirname" | "tr" | "seq" | "alias" | "[["
        ) {
            return;
        }
        self.not_there(command, facts);
        let text_first =
            matches!(name, "sed" | "awk" | "gawk" | "mawk" | "grep" | "egrep" | "fgrep" | "rg" | "jq" | "yq");
        // What the words of other programs mean is not known: `/org/kde/Power` need not be a path.
        let files = command.installed_name().is_none_or(|name| tables::BASICS.contains(name) || is_shell(name));
        let positionals = command.positionals();
        let last = positionals.last().copied();
        let first = positionals.first().copied();
        let gives_text = |word: &Word| {
            word.fixed.starts_with('-') && !word.fixed.starts_with("--") && word.fixed.ends_with('e')
                || matches!(word.fixed.as_str(), "--expression" | "--regexp")
        };
        let given = text_first && command.arguments().iter().any(gives_text);
        let remote = matches!(name, "scp" | "rsync" | "sftp" | "ssh" | "git");
        let mut text_next = false;
        for word in command.arguments() {
            if remote && is_remote(&word.fixed) {
                continue;
            }
            let is_text = std::mem::replace(&mut text_next, given && gives_text(word));
            if is_text || text_first && !given && first.is_some_and(|first| std::ptr::eq(first, word)) {
                if name.ends_with("awk") {
                    self.obeyed_by_text(word);
                }
                continue;
            }
            let writes = match name {
                "rm" | "rmdir" | "mv" | "tee" | "touch" | "mkdir" | "chmod" | "chown" | "truncate" | "shred"
                | "unlink" => true,
                "cp" | "ln" | "install" | "rsync" => last.is_some_and(|last| std::ptr::eq(last, word)),
                "dd" => word.fixed.starts_with("of="),
                "sed" => command.has_option('i', "in-place"),
                _ => false,
            };
            if word.raw.starts_with('~') && !word.known && word.fixed.is_empty() {
                self.cannot_tell(&format!("whose home `{}` is", word.raw));
            }
            for possible in self.possible(word, variables).iter().chain([word]) {
                let Some(candidates) = candidates(possible) else {
                    self.cannot_tell("which of so many paths in one word are inside the allowed ones");
                    continue;
                };
                for candidate in candidates.iter().filter(|word| files || area.is_rooted(word)) {
                    // Such programs are about devices, of which a container has none.
                    if !files && candidate.fixed.starts_with("/dev/") {
                        self.effect("system");
                        continue;
                    }
                    self.place(candidate, writes, area);
                    self.obeyed_by_words(command, candidate, writes);
                }
                self.obeyed_by_words(command, possible, writes);
                self.secret(possible);
            }
            if matches!(name, "rm" | "chmod" | "chown" | "mv" | "find" | "shred") {
                self.everything(name, command, word, area);
            }
        }
    }

    /// What a word may become.
    pub(super) fn possible(&mut self, word: &Word, variables: &mut Variables<'_>) -> Vec<Word> {
        variables.possible(word).unwrap_or_else(|| {
            self.cannot_tell("which paths so many variables hold");
            Vec::new()
        })
    }

    /// Asks about a change to something in `/tmp` that the script did not put there.
    fn not_there(&mut self, command: &Command, facts: &Facts) {
        let name = command.name().unwrap_or_default();
        let last = command.positionals().last().map(|word| word.fixed.clone()).filter(|path| path.starts_with("/tmp/"));
        let Some(path) = last.filter(|_| matches!(name, "rm" | "chmod" | "chown" | "zip" | "truncate")) else { return };
        let made = |word: &Word| {
            word.fixed.len() > "/tmp/".len() && (word.fixed.starts_with(&path) || path.starts_with(&word.fixed))
        };
        // Also those below, which a function may run before.
        let others = facts.commands.iter().filter(|other| !std::ptr::eq(*other, command));
        let named = others.flat_map(Command::arguments).any(made) || facts.redirects.iter().any(|r| made(&r.target));
        if !named {
            self.cannot_tell(&format!("what `{path}` is: a run starts with an empty `/tmp`"));
        }
    }

    /// Asks before a change to a whole mounted directory.
    fn everything(&mut self, name: &str, command: &Command, word: &Word, area: &Area) {
        const TESTS: [&str; 10] =
            ["-name", "-iname", "-path", "-ipath", "-regex", "-mtime", "-newer", "-size", "-empty", "-mmin"];
        if name == "find" && command.arguments().iter().any(|word| TESTS.contains(&word.fixed.as_str())) {
            return;
        }
        let effects = tables::effects(command);
        let bare: String = word.raw.chars().filter(|c| !matches!(c, '"' | '{' | '}')).collect();
        let empty =
            bare.starts_with('$') && (bare.ends_with('/') || bare.ends_with("/*")) && bare.matches('/').count() == 1;
        if effects.contains(&"bulk") && !word.known && empty {
            self.add(Verdict::Ask, "everything", format!("`{}` is everything when the variable is empty", word.raw));
        }
        if !(effects.contains(&"bulk") || name == "mv") || !word.known {
            return;
        }
        let text = word.fixed.trim_end_matches(['*', '.', '/']);
        let root = matches!(text, "~" | "") && (word.glob || word.fixed.starts_with(['~', '.', '/']))
            || text == "/tmp"
            || area.roots.iter().any(|root| root.to_str() == Some(text));
        if root {
            self.add(Verdict::Ask, "everything", format!("`{name} {}` is about everything in a directory", word.raw));
        }
    }

    pub(super) fn place(&mut self, word: &Word, writes: bool, area: &Area) {
        match area.place(word, writes) {
            Place::Fine => {}
            Place::Denied(path) => {
                self.add(
                    Verdict::Deny,
                    "denied paths",
                    format!("`{}` is in `{}`, which is denied", word.raw, path.display()),
                );
            }
            // Text rather than a path: `-m "/x and more"`.
            Place::Outside(_)
                if !writes
                    && word.fixed.contains(char::is_whitespace)
                    && !["/home/", "/root/", "/mnt/", "/media/", "/srv/"].iter().any(|d| word.fixed.starts_with(d)) => {
            }
            Place::Outside(shown) => {
                let roots: Vec<String> = area.roots.iter().map(|root| format!("`{}`", root.display())).collect();
                self.add(
                    Verdict::Deny,
                    "allowed paths",
                    format!("`{shown}` is outside of {} and `/tmp`", roots.join(", ")),
                );
            }
            Place::PerhapsOutside(shown) => {
                self.cannot_tell(&format!("whether `{shown}` is inside the allowed paths"));
            }
        }
    }

    fn secret(&mut self, word: &Word) {
        if is_secret(&word.fixed) {
            self.effect("secrets");
        }
    }

    pub(super) fn redirects(&mut self, facts: &Facts, variables: &mut Variables<'_>, area: &Area) {
        for redirect in &facts.redirects {
            self.span.clone_from(&redirect.span);
            let target = &redirect.target;
            if redirect.writes && !target.fixed.starts_with("/dev/") {
                self.effect("overwrite");
            }
            if target.fixed.starts_with("/dev/tcp/") || target.fixed.starts_with("/dev/udp/") {
                self.effect("network");
                self.network = Network::Ask;
                self.add(Verdict::Deny, "outgoing", format!("`{}` is a connection", target.raw));
            } else {
                for possible in self.possible(target, variables).iter().chain([target]) {
                    self.place(possible, redirect.writes, area);
                    if redirect.writes {
                        self.obeyed(possible);
                    }
                    self.secret(possible);
                }
            }
        }
        self.span = None;
    }
}

/// `host:path` and `person@host:path`, which are about another machine.
fn is_remote(text: &str) -> bool {
    let host = |host: &str| {
        host.len() > 1 && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@'))
    };
    text.split_once(':').is_some_and(|(before, _)| host(before) && !before.starts_with('-'))
}

/// Files that usually hold keys or passwords.
fn is_secret(path: &str) -> bool {
    let name = super::facts::base_name(path);
    name.starts_with("id_") && !name.ends_with(".pub") && path.contains(".ssh")
        || name == ".env"
        || name.starts_with(".env.") && !name.ends_with("example") && !name.ends_with("sample")
        || [".pem", ".key", ".p12", ".pfx", ".kdbx", ".keystore", ".jks", ".ovpn"].iter().any(|end| name.ends_with(end))
        || matches!(
            name,
            "credentials"
                | ".git-credentials"
                | ".netrc"
                | ".pgpass"
                | ".npmrc"
                | ".pypirc"
                | ".htpasswd"
                | "kubeconfig"
        )
}
