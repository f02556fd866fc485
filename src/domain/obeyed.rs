//! Files that programs of the host run or obey, by their names: what a policy asks about and what a review
//! shows.

use std::path::Path;

/// Names of files.
const NAMES: &[&str] = &[
    ".bashrc",
    ".bash_profile",
    ".bash_login",
    ".bash_logout",
    ".bash_aliases",
    ".profile",
    ".zshrc",
    ".zshenv",
    ".zprofile",
    ".zlogin",
    ".zlogout",
    ".kshrc",
    ".cshrc",
    ".inputrc",
    ".envrc",
    ".npmrc",
    ".netrc",
    ".pypirc",
    ".gitconfig",
    ".gitmodules",
    ".vimrc",
    ".exrc",
    ".tmux.conf",
    ".xinitrc",
    ".xprofile",
    ".xsessionrc",
    ".pam_environment",
    ".mcp.json",
    ".devcontainer.json",
    "authorized_keys",
    "crontab",
    ".gitlab-ci.yml",
    ".travis.yml",
    ".drone.yml",
    ".woodpecker.yml",
    "azure-pipelines.yml",
    "bitbucket-pipelines.yml",
    "Jenkinsfile",
    "config.fish",
    ".tcshrc",
    ".login",
    ".xsession",
    ".direnvrc",
    ".mise.toml",
    ".gdbinit",
    ".emacs",
    ".Rprofile",
    ".curlrc",
    ".wgetrc",
    ".yarnrc",
    ".yarnrc.yml",
    ".mailcap",
    ".forward",
    ".procmailrc",
    ".hgrc",
    ".pre-commit-config.yaml",
    "lefthook.yml",
    "sitecustomize.py",
    "usercustomize.py",
    "appveyor.yml",
    "cloudbuild.yaml",
];

/// Endings of the names of files.
const EXTENSIONS: &[&str] = &["desktop"];

/// Directories, by the end of their path.
const DIRECTORIES: &[&str] = &[
    ".ssh",
    "autostart",
    ".config/systemd",
    ".local/share/systemd",
    "systemd/user",
    "systemd/system",
    ".config/fish",
    ".config/git",
    ".config/environment.d",
    ".github/workflows",
    ".gitea/workflows",
    ".forgejo/workflows",
    ".circleci",
    ".devcontainer",
    ".vscode",
    ".idea",
    ".claude",
    ".husky",
    ".local/share/applications",
    ".local/bin",
    ".buildkite",
    ".cursor",
    ".gemini",
    ".vim",
    ".emacs.d",
    ".config/nvim",
    ".config/direnv",
    ".config/pip",
    ".config/i3",
    ".config/sway",
    ".config/hypr",
    ".config/plasma-workspace",
    ".ipython/profile_default/startup",
    ".jupyter",
    ".git/rebase-merge",
    ".git/rebase-apply",
    ".git/sequencer",
];

/// Whether programs of the host run or obey the file at `path`, or one that may lie in that directory.
pub fn is_obeyed(path: &str) -> bool {
    let path = Path::new(path);
    let is_one_of =
        |names: &[&str], name: Option<&std::ffi::OsStr>| name.is_some_and(|name| names.iter().any(|one| *one == name));
    is_one_of(NAMES, path.file_name())
        || is_one_of(EXTENSIONS, path.extension())
        || is_repository(path)
        || is_obeyed_by_git(path)
        || path.ancestors().any(|directory| DIRECTORIES.iter().any(|end| directory.ends_with(end)))
}

/// Whether a path is the `.git` of a directory: as a file or a symbolic link it names the repository whose hooks and
/// settings git obeys there.
pub fn is_repository(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == ".git")
}

/// Whether something in the directory `path`, or in one below it, may be obeyed by where it is.
pub fn may_hold_obeyed(path: &str) -> bool {
    let leads = |end: &&str| {
        let mut above = Path::new(end).ancestors().skip(1);
        above.any(|above| !above.as_os_str().is_empty() && Path::new(path).ends_with(above))
    };
    is_obeyed(path) || is_obeyed_by_git(&Path::new(path).join("config")) || DIRECTORIES.iter().any(leads)
}

/// Hooks and settings of a repository, also of a bare one and of those inside another one, and where they are.
fn is_obeyed_by_git(path: &Path) -> bool {
    let parts: Vec<_> = path.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    let obeyed = |part: &str| matches!(part, "hooks" | "config" | "config.worktree" | "commondir" | "gitdir");
    let last = parts.iter().rposition(|part| obeyed(part));
    parts.iter().zip(parts.iter().skip(1)).enumerate().any(|(at, (repository, inside))| {
        let modules = inside == "modules" || inside == "worktrees";
        repository.ends_with(".git") && (obeyed(inside) || modules && last.is_some_and(|last| last > at + 1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_runs_or_obeys_is_known_by_its_path() {
        for path in [
            ".bashrc",
            "~/.bash_login",
            "sub/.envrc",
            "/home/a/.ssh/config",
            "~/.ssh/authorized_keys",
            ".git/hooks/post-checkout",
            ".git/hooks/",
            "a/.git/config",
            "a.git/hooks/update",
            ".git/modules/lib/hooks/pre-commit",
            ".git/modules/lib/config",
            ".git",
            "a/.git/",
            ".git/commondir",
            "a.git/b/.git/hooks/update",
            ".git/worktrees/b/gitdir",
            "~/.config/git/config",
            ".forgejo/workflows/ci.yml",
            ".devcontainer/devcontainer.json",
            "azure-pipelines.yml",
            "/d/.vscode/tasks.json",
            "~/.config/systemd/user/x.service",
            "/etc/systemd/system/x.timer",
            "~/.config/autostart/x",
            "Menu/x.desktop",
            ".github/workflows/ci.yml",
        ] {
            assert!(is_obeyed(path), "{path}");
        }
        for path in [
            "a",
            "bashrc",
            "ssh/config",
            ".git/HEAD",
            ".git/refs/heads/hooks",
            ".gitignore",
            "a.git",
            "commondir",
            "hooks/x",
            ".github/README.md",
            "desktop",
        ] {
            assert!(!is_obeyed(path), "{path}");
        }
    }
    #[test]
    fn what_is_above_such_files_is_known_too() {
        for path in
            [".git", ".git/hooks", ".git/modules/lib", "a/.github", "~/.config", ".local/share", ".ssh", "a.git"]
        {
            assert!(may_hold_obeyed(path), "{path}");
        }
        for path in ["", "src", ".", "..", ".git/refs", ".github/docs", "~/.cache", "config"] {
            assert!(!may_hold_obeyed(path), "{path}");
        }
    }
}
