//! What the host obeys is asked about by one list, whether a script or a request for a file writes it: also
//! where nothing is reviewed.

use castoff::domain::record::Verdict::{Allow, Ask};

use super::{each, policy};

const FILES: [&str; 14] = [
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
