//! How a policy changes while Castoff runs, from end to end: rules that are allowed always at the terminal
//! and in Telegram, and files that change under it. A story each.
#![cfg(test)]

#[expect(dead_code, reason = "what only other stories use")]
mod common;
#[expect(dead_code, reason = "what only other stories use")]
mod place;

use common::{Castoff, USUAL, eventually, text};
use place::{OWNER, PARTNER, Place};

#[test]
fn what_is_allowed_always_at_the_terminal_holds_over_a_restart_until_it_is_revoked() {
    let castoff = Castoff::start(USUAL);
    let mut live = castoff.at_terminal(&["run", "--", "factor 12"]);
    live.until("[y/N/a for always] ");
    live.types(b"a\n");
    live.until("Save this rule and run? [y/N] ");
    // A no leads back to the question; nothing is saved by it.
    live.types(b"n\n");
    // What is typed before a question answers none.
    let asked = |what: &str| eventually(what, || (live.said().matches(what).count() == 2).then_some(()));
    asked("[y/N/a for always] ");
    live.types(b"a\n");
    asked("Save this rule and run? [y/N] ");
    live.types(b"y\n");
    let answer = live.finish().ended(0);
    for shown in ["in these very words and no others:\r\n  factor 12\r\n", "castoff policy revoke", "12: 2 2 3"] {
        assert!(answer.stdout.contains(shown), "`{shown}`: {answer:?}");
    }
    assert_eq!(castoff.run("factor 12").ended(0).stdout, "12: 2 2 3\n");
    castoff.run("factor 14").ended(75);
    castoff.stop();
    castoff.serve();
    assert_eq!(castoff.run("factor 12; echo more").ended(0).stdout, "12: 2 2 3\nmore\n");
    // What comes in is not among the words.
    castoff.begin_in(castoff.root(), &["run", "--", "factor 12"], b"9\n").finish().ended(75);

    let shown = castoff.castoff(&["policy", "show"]).ended(0).stdout;
    assert!(shown.contains("in force") && shown.contains("tools.yaml:"), "{shown}");
    let (_, policy) = castoff.json(&["policy", "show"]);
    let rule = text(&policy["learned"][0]["rule"]).to_owned();
    assert!(shown.contains(&format!("learned {rule}: `factor 12` without asking, for owner")), "{shown}");
    let rights = castoff.castoff(&["policy", "show", "--user", "owner"]).ended(0).stdout;
    assert!(rights.contains("run without being asked: `factor 12`"), "{rights}");

    castoff.castoff(&["policy", "revoke", &rule]).ended(0);
    castoff.castoff(&["policy", "revoke", &rule]).ended(66).says(&["there is no learned rule"]);
    castoff.run("factor 12").ended(75);
    // Other rules over what is on record: the answers suggest something, and it is tried out.
    let suggested = castoff.castoff(&["policy", "suggest"]).ended(0).stdout;
    assert!(suggested.contains("`factor`") && suggested.contains("Nothing of this is in force"), "{suggested}");
    let other = castoff.root().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("tools.yaml"), "exec: { deny: [factor] }\n").unwrap();
    let config = castoff.home().join("config");
    let (config, other) = (config.to_str().unwrap(), other.to_str().unwrap());
    let differs = castoff.castoff(&["policy", "diff", config, other]).ended(0).stdout;
    assert!(differs.contains("tools.yaml:1 factor") && differs.contains("are judged differently"), "{differs}");
    let alike = castoff.castoff(&["policy", "diff", config, config, "--days", "1"]).ended(0).stdout;
    assert!(alike.contains("all are judged alike"), "{alike}");
    castoff.castoff(&["policy", "diff", config, "/none"]).ended(66);
    castoff.castoff(&["audit", "verify"]).ended(0);
    let (_, entries) = castoff.json(&["audit", "list", "-n", "500"]);
    for what in ["rule.learned", "rule.revoked"] {
        assert!(entries.as_array().unwrap().iter().any(|entry| entry["what"] == what), "{what}: {entries}");
    }
}

#[test]
fn in_a_chat_the_rule_is_shown_before_it_is_saved_and_rights_are_told() {
    let place = Place::new();
    place.api.say(OWNER, "/run git --version");
    place.presses(OWNER, "Allow always …");
    place.sees(OWNER, &["Allow this always?", "For Ann, in these very words", "Save the rule and run"]);
    assert!(!place.api.screen(OWNER).contains("exit 0"), "it ran before the rule was saved");
    place.presses(OWNER, "Save the rule and run");
    place.sees(OWNER, &["Allowed always by Ann", "exit 0", "answered; the card above"]);
    place.api.say(OWNER, "/run git --version; echo again");
    let runs = eventually("the second run is over", || {
        let (_, runs) = place.castoff.json(&["runs", "-n", "1"]);
        (runs[0]["script"] == "git --version; echo again" && runs[0]["exit_code"] == 0).then_some(runs)
    });
    assert_eq!(runs[0]["verdict"]["verdict"], "allow", "{runs}");
    for (person, command, said) in [
        (OWNER, "/rights", &["run without being asked: `git --version`", "may never"][..]),
        (OWNER, "/rights ben", &["Ben (trusted)", "waits for the owner's yes"]),
        (OWNER, "/rights nobody", &["is nobody in users.yaml"]),
        (PARTNER, "/rights", &["Ben (trusted)", "before: git"]),
        (PARTNER, "/rights owner", &["only the owner sees what others may do"]),
    ] {
        place.api.say(person, command);
        place.sees(person, said);
    }
    assert!(!place.api.screen(PARTNER).contains("git --version"), "another's rule was told");
}

#[test]
fn files_that_change_are_loaded_and_bad_ones_are_said_to_the_owner_and_not_loaded() {
    let place = Place::new();
    let castoff = &place.castoff;
    // A bot cannot write to somebody who never wrote to it.
    place.api.say(OWNER, "/status");
    place.sees(OWNER, &["runner: ready"]);
    castoff.configure("tools.yaml", "exec:\n  allow: [echo\n");
    place.sees(OWNER, &["the old one stays in force", "tools.yaml:"]);
    assert!(castoff.log().contains("the old configuration stays in force"), "{}", castoff.log());
    assert!(!place.api.screen(PARTNER).contains("stays in force"));
    castoff.run("echo still").ended(0);
    let rules = || castoff.castoff(&["policy", "show"]).ended(0).stdout;
    assert!(rules().contains("ask      git"), "{}", rules());
    castoff.configure("tools.yaml", "exec:\n  allow: [echo]\n");
    eventually("the new policy is in force", || rules().contains("allow    echo").then_some(()));
    place.sees(OWNER, &["The configuration is right again, and in force."]);
    let (_, policy) = castoff.json(&["policy", "show"]);
    assert!(castoff.log().contains(&format!("loaded again: policy {}", text(&policy["digest"]))), "{}", castoff.log());
    castoff.run("ls").ended(125).says(&["not on the list"]);
    castoff.run("echo fine").ended(0);
    let (_, entries) = castoff.json(&["audit", "list", "-n", "50"]);
    for what in ["policy.loaded", "policy.refused"] {
        assert!(entries.as_array().unwrap().iter().any(|entry| entry["what"] == what), "{what}: {entries}");
    }
}
