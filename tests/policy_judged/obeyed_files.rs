//! What the host obeys is asked about by one list, whether a script or a request for a file writes it: also
//! where nothing is reviewed.

use castoff::domain::record::Verdict::{Allow, Ask};

use super::{each, none_allowed, policy, preset};

const FILES: [&str; 20] = [
    ".bash_login",
    ".zprofile",
    ".ssh/config",
    ".ssh/authorized_keys",
    ".vscode/tasks.json",
    ".idea/x.xml",
    ".claude/settings.json",
    ".mcp.json",
    ".config/systemd/user/x.service",
    ".config/fish/config.fish",
    ".local/bin/x",
    ".git/modules/lib/hooks/pre-commit",
    "bare.git/hooks/update",
    "x.desktop",
    ".git",
    "lib/.git",
    ".git/commondir",
    ".config/git/config",
    ".forgejo/workflows/ci.yml",
    "azure-pipelines.yml",
];

#[test]
fn a_directly_mounted_directory_is_protected_by_the_same_names_as_a_review() {
    let policy =
        policy("files: { allowed_paths: [{ path: /d, mode: direct }], denied_paths: [] }\nexec: { review: never }\n");
    for file in FILES {
        let path = format!("/d/{file}");
        each(&policy, Ask, &[&format!("echo x > {path}"), &format!("cp a {path}"), &format!("sed -i s/a/b/ {path}")]);
        each(&policy, Allow, &[&format!("cat {path}")]);
        let request = serde_json::json!({ "write": { "path": path, "text": "x" } });
        let request = serde_json::from_value(request).unwrap();
        let decision = policy.judge_file(&policy.principal("owner").unwrap(), &request);
        assert_eq!(decision.verdict, Ask, "{path}: {:?}", decision.reasons);
    }
    each(&policy, Allow, &["echo x > /d/notes.txt", "echo x > /d/.git/refs/heads/a", "mkdir -p /d/src"]);
}

#[test]
fn what_names_another_repository_is_asked_about_and_a_repository_itself_is_not() {
    let policy = preset("default", &[]);
    each(
        &policy,
        Ask,
        &[
            "echo 'gitdir: e' > .git",
            "ln -s e .git",
            "mv e .git",
            "cp e lib/.git",
            "echo .. > .git/commondir",
            "cp x .config/git/config",
            "echo x > .gitea/workflows/a.yml",
            "tee .devcontainer/devcontainer.json < x",
        ],
    );
    each(
        &policy,
        Allow,
        &["git init -q . && git status", "rm -rf .git node_modules", "mkdir -p a/.git", "ls .git", "touch .gitignore"],
    );
}

#[test]
fn what_is_written_after_going_into_such_a_directory() {
    let policy = preset("default", &[]);
    none_allowed(
        &policy,
        &[
            "git init -q .; cd .git; printf '[core]\nfsmonitor=x\n' > config; cd ..; git status",
            "cd .git/hooks && cp ../../x pre-commit",
            "cd .git; cd hooks; touch pre-commit",
            "d=.git; cd $d && sed -i s/a/b/ config",
            "pushd ~/a/.git; echo x | tee hooks/post-checkout",
            "cd .github && echo a > workflows/ci.yml",
            "cd ~/.config && cp x systemd/user/a.service",
            "(cd .git/modules/lib && echo x > config)",
            "(cd a.git; ls); cd b/.git; cd hooks; touch update",
            "cd src; cd ../.git; cd refs; cd ..; echo x > config",
            "cd .git; cd nowhere; cd hooks; touch update",
            "cd .git; cd refs; cd ../hooks; touch update",
            "echo x > a.git/b/.git/hooks/update",
        ],
    );
    each(
        &policy,
        Allow,
        &[
            "cd .git && cat config hooks/*",
            "cd src && echo a > config",
            "cd .config && mkdir hooks && echo a > notes",
            "cd ../.. && touch config",
            "cd .git && echo a > description",
            "(cd .github && ls); (cd a && ls); (cd b && ls); (cd c && touch config); (cd d && ls); (cd e && ls); (cd f && ls); (cd g && ls); (cd h && ls); (cd i && ls)",
            "cd .cache && mkdir hooks && touch hooks/a",
        ],
    );
}

#[test]
fn settings_of_a_directory_that_stands_for_a_repository() {
    let policy = preset("default", &[]);
    none_allowed(
        &policy,
        &[
            "mkdir -p e/objects e/refs; printf '[core]\nfsmonitor=x\n' > e/config; git --git-dir=e status",
            "git --git-dir e log",
            "git --git-dir=. --work-tree=.. status",
            "git --git-dir=\"$x\" log",
        ],
    );
    each(&policy, Allow, &["git --git-dir=.git log", "git --git-dir a/.git/ --work-tree a status", "git -C a status"]);
}

/// Where nothing is reviewed whatever may write is asked about, and what only reads is not.
#[test]
fn a_directly_mounted_directory_is_protected_from_what_writes_unseen() {
    for tools in [
        "files: { allowed_paths: [{ path: /d, mode: direct }], denied_paths: [] }\n",
        "files: { allowed_paths: [/d], denied_paths: [] }\nexec: { review: never }\n",
    ] {
        let policy = policy(tools);
        none_allowed(
            &policy,
            &[
                "cp -t .git/hooks y",
                "install -t /d/.git/hooks y",
                "sort -o .git/hooks/y a",
                "uniq a .git/hooks/y",
                "split a .git/hooks/y",
                "tar -xf a.tar -C .git/hooks",
                "unzip a.zip -d .git/hooks",
                "xxd -r a .git/hooks/y",
                "git diff --output .git/hooks/y",
                "git diff --output=.git/hooks/y",
                "awk 'BEGIN{print > \".git/hooks/y\"}'",
                "for d in .git/hooks; do echo x > $d/y; done",
                "cd .git/hooks && python3 x.py",
                "ln .git/config x",
                "cp a Jenkinsfile",
            ],
        );
        each(
            &policy,
            Allow,
            &[
                "cat .git/config",
                "head -5 .git/hooks/pre-commit | grep x",
                "cp .github/workflows/ci.yml a.yml",
                "git diff .github/workflows/ci.yml",
                "awk '{print $1}' .bashrc",
                "sed -n 1,5p .envrc",
                "sort .bashrc",
                "for f in a b; do cat $f; done",
                "tar -xf a.tar -C out",
                "python3 a.py",
            ],
        );
    }
}
