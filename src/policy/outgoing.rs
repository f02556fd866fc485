//! Which programs reach the network.

use super::facts::Command;

/// Programs that reach the network, all or (with words) some of their commands.
const OUTGOING: &[(&str, &[&str])] = &[
    ("code", &["tunnel", "serve-web"]),
    ("docker", &["pull", "push", "login", "search"]),
    ("podman", &["pull", "push", "login", "search"]),
    ("terraform", &["init", "apply", "destroy", "plan", "import", "refresh"]),
    ("kubectl", &[]),
    ("helm", &[]),
    ("opam", &["install", "update", "upgrade"]),
    ("cabal", &["install", "update"]),
    ("stack", &["install", "update", "setup"]),
    ("bun", &["install", "add", "i", "update", "x", "create", "publish"]),
    ("deno", &["install", "add", "upgrade", "publish"]),
    ("poetry", &["install", "add", "update", "publish"]),
    ("pipenv", &["install", "update", "sync"]),
    ("nix", &["run", "shell", "build", "develop", "profile", "flake", "copy"]),
    ("nix-env", &[]),
    ("nix-shell", &[]),
    ("dotnet", &["add", "restore", "nuget", "tool"]),
    ("curl", &[]),
    ("wget", &[]),
    ("wget2", &[]),
    ("wcurl", &[]),
    ("aria2c", &[]),
    ("http", &[]),
    ("ssh", &[]),
    ("scp", &[]),
    ("sftp", &[]),
    ("ftp", &[]),
    ("telnet", &[]),
    ("nc", &[]),
    ("ncat", &[]),
    ("netcat", &[]),
    ("socat", &[]),
    ("rclone", &[]),
    ("ping", &[]),
    ("dig", &[]),
    ("nslookup", &[]),
    ("host", &[]),
    ("whois", &[]),
    ("npx", &[]),
    ("gh", &[]),
    ("ssh-copy-id", &[]),
    ("ssh-keyscan", &[]),
    ("git", &["push", "fetch", "pull", "clone", "ls-remote", "send-email", "submodule", "request-pull"]),
    (
        "npm",
        &[
            "install",
            "i",
            "in",
            "ins",
            "add",
            "ci",
            "update",
            "up",
            "upgrade",
            "publish",
            "audit",
            "exec",
            "x",
            "view",
            "info",
            "show",
            "v",
            "search",
            "s",
            "login",
            "adduser",
            "outdated",
            "init",
            "create",
            "whoami",
            "token",
            "access",
            "owner",
            "dist-tag",
            "deprecate",
            "unpublish",
            "ping",
            "star",
            "stars",
            "team",
            "org",
            "profile",
            "hook",
            "install-test",
            "it",
            "clean-install",
            "docs",
            "home",
            "bugs",
            "repo",
            "fund",
            "doctor",
        ],
    ),
    ("yarn", &["add", "install", "publish", "upgrade", "dlx"]),
    ("pnpm", &["add", "install", "i", "publish", "update", "dlx"]),
    ("pip", &["install", "download", "search", "index", "wheel", "uninstall"]),
    ("pip3", &["install", "download", "search", "index", "wheel", "uninstall"]),
    ("uv", &["pip", "add", "sync", "tool", "run"]),
    ("uvx", &[]),
    ("pipx", &[]),
    ("cargo", &["install", "fetch", "update", "publish", "add", "search", "login", "owner", "yank"]),
    ("go", &["get", "install", "mod"]),
    ("gem", &["install", "update", "push"]),
    ("apt", &["update", "install", "upgrade", "full-upgrade"]),
    ("apt-get", &["update", "install", "upgrade", "dist-upgrade"]),
    ("bundle", &["install", "update"]),
    ("composer", &["install", "update", "require"]),
];

/// Whether a command reaches the network.
pub(crate) fn is_outgoing(command: &Command) -> bool {
    let Some(name) = command.name() else { return false };
    let words = command.positionals();
    match name {
        "rsync" => words.iter().any(|word| !word.known || word.fixed.contains(':')),
        "git" if words.iter().any(|word| word.fixed == "archive") => command.has_option('\0', "remote"),
        "git" if words.first().is_some_and(|word| word.fixed == "remote") => {
            words.iter().any(|word| matches!(word.fixed.as_str(), "update" | "show" | "prune"))
        }
        "openssl" => {
            words.first().is_some_and(|word| matches!(word.fixed.as_str(), "s_client" | "s_server" | "s_time"))
        }
        "python" | "python3" => {
            let mut words = command.arguments().iter();
            words.by_ref().any(|word| word.fixed == "-m")
                && words.next().is_some_and(|word| {
                    matches!(word.fixed.as_str(), "pip" | "http.server" | "ensurepip" | "venv" | "smtpd" | "ftplib")
                })
        }
        _ if super::tables::OUTGOING.contains(name) => true,
        _ => OUTGOING.iter().any(|(program, commands)| {
            *program == name
                && (commands.is_empty()
                    || words.first().is_some_and(|word| !word.known || commands.contains(&word.fixed.as_str()))
                    || (name != "git"
                        && words
                            .iter()
                            .any(|word| matches!(word.fixed.as_str(), "install" | "publish" | "add" | "exec"))))
        }),
    }
}
