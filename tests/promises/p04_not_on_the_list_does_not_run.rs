//! Promise 4: what is not on the list does not run, wherever in the script it hides.

use crate::common::{Castoff, text, usual};

fn check(castoff: &Castoff, script: &str) {
    let (code, run) = castoff.json(&["run", "--yes", "--", script]);
    assert_eq!((code, run["verdict"]["verdict"].as_str()), (125, Some("deny")), "{script}: {run}");
    let why = text(&run["state"]["refused"]["why"]);
    assert!(why.contains("nmap") && run["enforced"].is_null(), "{script}: {run}");
}

#[test]
fn a_program_that_is_not_on_the_list_is_refused_wherever_it_hides() {
    let castoff = usual();
    let scripts = [
        "nmap localhost",
        "( ( nmap ) )",
        "echo $(nmap localhost)",
        "$(nmap)",
        "echo `nmap`",
        "sh -c nmap",
        "bash -c 'sh -c \"nmap localhost\"'",
        "eval nmap",
        "echo a | xargs nmap",
        "env A=b nmap",
        "timeout 5 nmap",
        "nice -n 5 nohup nmap",
        "find . -name a -exec nmap {} ';'",
        "f() { nmap; }; f",
        "if true; then nmap; fi",
        "for a in b; do nmap; done",
        "case a in a) nmap;; esac",
        "true && nmap || echo no",
        "echo a > >(nmap)",
        "cat <(nmap)",
        "bash <<'EOF'\nnmap\nEOF",
        "trap nmap EXIT",
        "nmap &",
        "! nmap",
        "A=$(nmap)",
        "echo ${A:-$(nmap)}",
        "n\\map",
        "'nm'ap",
    ];
    for script in scripts {
        check(castoff, script);
    }
}

#[test]
fn a_refusal_says_what_is_on_the_list() {
    let castoff = Castoff::start(&[("tools.yaml", "exec:\n  allow: [\"echo\", \"ls\", \"git status\"]\n")]);
    for script in ["nmap localhost", "git push", "sh -c nmap", "cat a.txt"] {
        let answer = castoff.run(script).ended(125);
        let answer = answer.says(&["refused: ", "not on the list", "`ls`", "`git status`"]);
        assert_eq!(answer.stdout, "");
    }
    assert_eq!(castoff.run("echo fine").ended(0).stdout, "fine\n");
    assert_eq!(castoff.record_count("refused"), 4);
}

#[test]
fn what_cannot_be_told_from_the_text_waits_for_a_person() {
    let castoff = usual();
    for script in ["x=nm; ${x}ap", "eval \"$x\"", "\"$(printf %s nmap)\" localhost"] {
        let (code, run) = castoff.run_json(script);
        assert_eq!((code, run["verdict"]["verdict"].as_str()), (75, Some("ask")), "{script}: {run}");
        assert!(run["enforced"].is_null(), "it ran: {run}");
        castoff.castoff(&["refuse", text(&run["run"])]).ended(0);
    }
}

impl Castoff {
    fn record_count(&self, state: &str) -> usize {
        let (_, runs) = self.json(&["runs"]);
        runs.as_array().unwrap().iter().filter(|run| run["state"][state].is_object()).count()
    }
}
