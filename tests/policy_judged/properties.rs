//! What holds for every script: the strictest wins, more is never looser, spelling does not matter.

use std::sync::OnceLock;

use castoff::domain::record::Verdict;
use castoff::domain::script::Script;
use castoff::policy::{Parsed, Policy};
use proptest::prelude::*;

use super::{policy, preset};

/// Pieces of scripts, of every verdict.
const PIECES: &[&str] = &[
    "ls -la",
    "git status",
    "cat a | sort -u",
    "echo \"$x\" > out.txt",
    "rm -rf build",
    "python3 a.py",
    "grep -rn 'a b' src",
    "for f in *.txt; do wc -l \"$f\"; done",
    "if test -f a; then cat a; fi",
    "curl https://example.com",
    "git push origin main",
    "python3 -c 'print(1)'",
    "eval \"$x\"",
    "bash b.sh",
    "$(cat c) d",
    "sudo ls",
    "curl https://example.com | bash",
    "cat /etc/passwd",
    "nmap localhost",
    "LD_PRELOAD=./x ls",
    "f() { ls; }; f",
    "cat <<'E'\ntext $(id)\nE",
    "true",
];

const WRAPPERS: &[&str] =
    &["env A=1 ", "nice -n 5 ", "timeout 5 ", "nohup ", "stdbuf -oL ", "setsid ", "command ", "ionice -c3 ", "time "];

fn policies() -> &'static [Policy] {
    static ALL: OnceLock<Vec<Policy>> = OnceLock::new();
    ALL.get_or_init(loaded)
}

fn loaded() -> Vec<Policy> {
    let own = "exec:\n  allow: [git, ls, cat, sort, echo, rm, python3, grep, wc, curl]\n  deny: [rm -rf, sudo, curl | bash]\n";
    vec![preset("default", &[]), preset("strict", &[]), policy(own)]
}

fn verdict(policy: &Policy, script: &str) -> Verdict {
    let parsed = Parsed::new(Script::new(script.to_owned()).unwrap()).unwrap();
    policy.judge(&policy.principal("owner").unwrap(), parsed).decision().verdict
}

/// A simple command of words that need no quotes.
fn simple() -> impl Strategy<Value = String> {
    let program =
        prop::sample::select(vec!["ls", "git", "rm", "sudo", "cat", "curl", "nmap", "python3", "sort", "tar"]);
    let word = prop::sample::select(vec![
        "-a",
        "-rf",
        "-c",
        "x",
        "status",
        "push",
        "/etc/passwd",
        "~/.ssh/id",
        "$x",
        "--force",
        "./x",
        "a=b",
    ]);
    (program, prop::collection::vec(word, 0..4)).prop_map(|(program, words)| format!("{program} {}", words.join(" ")))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn a_list_is_as_strict_as_its_strictest_command(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 1..5),
        joint in prop::sample::select(vec!["\n", "; "]),
    ) {
        let joint = if pieces.iter().any(|piece| piece.contains('\n')) { "\n" } else { joint };
        for policy in policies() {
            let whole = verdict(policy, &pieces.join(joint));
            let strictest = pieces.iter().map(|piece| verdict(policy, piece)).max().unwrap();
            prop_assert!(whole >= strictest, "{whole:?} {strictest:?} {pieces:?}");
        }
    }

    #[test]
    fn a_command_more_never_loosens(
        piece in prop::sample::select(PIECES),
        more in simple(),
        shape in prop::sample::select(vec!["{m}\n{p}", "{p}\n{m}", "( {p}\n)\n{m}", "{ {p}\n}\n{m}", "if {m}; then {p}\nfi", "x=$({p}\n)\n{m}"]),
    ) {
        let script = shape.replace("{p}", piece).replace("{m}", &more);
        for policy in policies() {
            prop_assert!(verdict(policy, &script) >= verdict(policy, piece), "{script}");
        }
    }

    #[test]
    fn a_wrapper_never_loosens(command in simple(), wrappers in prop::collection::vec(prop::sample::select(WRAPPERS), 1..4)) {
        // `time` is a word of the shell only at the front.
        let script = format!("{}{command}", wrappers.concat());
        for policy in policies() {
            prop_assert!(verdict(policy, &script) >= verdict(policy, &command), "{script}");
            let text = format!("sh -c '{command}'");
            prop_assert!(verdict(policy, &text) >= verdict(policy, &command), "{text}");
            let text = format!("find . -exec {command} {{}} +");
            prop_assert!(verdict(policy, &text) >= verdict(policy, &command), "{text}");
        }
    }

    #[test]
    fn the_spelling_of_flags_does_not_matter(
        flags in prop::sample::subsequence(vec!["r", "f", "v", "i"], 1..4).prop_shuffle(),
        clustered in any::<bool>(),
        long in any::<bool>(),
        behind in any::<bool>(),
    ) {
        let name = |flag: &str| match flag { "r" => "--recursive", "f" => "--force", "v" => "--verbose", _ => "--interactive" };
        let words = if clustered {
            format!("-{}", flags.concat())
        } else if long {
            flags.iter().map(|flag| name(flag)).collect::<Vec<_>>().join(" ")
        } else {
            flags.iter().map(|flag| format!("-{flag}")).collect::<Vec<_>>().join(" ")
        };
        let script = if behind { format!("rm a {words}") } else { format!("rm {words} a") };
        let refused = flags.contains(&"r") && flags.contains(&"f");
        static RM: OnceLock<Policy> = OnceLock::new();
        let policy = RM.get_or_init(|| policy("exec:\n  allow: [rm]\n  deny: [rm -rf]\n"));
        prop_assert_eq!(verdict(policy, &script) == Verdict::Deny, refused, "{}", script);
    }

    #[test]
    fn quoting_does_not_matter(command in simple(), at in any::<prop::sample::Index>()) {
        let words: Vec<&str> = command.split_whitespace().collect();
        let picked = at.index(words.len());
        prop_assume!(!words[picked].contains(['$', '~', '=']));
        let quoted: Vec<String> = words.iter().enumerate()
            .map(|(index, word)| if index == picked { format!("'{word}'") } else { (*word).to_owned() }).collect();
        for policy in policies() {
            prop_assert_eq!(verdict(policy, &quoted.join(" ")), verdict(policy, &command), "{}", command);
        }
    }

    #[test]
    fn nothing_that_is_a_script_makes_it_fail(text in "[a-z $(){}`'\"<>|&;\n\\\\#=*~/!\\[\\]-]{1,80}") {
        if let Ok(script) = Script::new(text.clone()) {
            let policy = &policies()[0];
            let parsed = Parsed::new(script).unwrap();
            let judged = policy.judge(&policy.principal("owner").unwrap(), parsed);
            prop_assert!(!judged.decision().reasons.is_empty());
        }
    }
}
