//! What operators read: what happened, to which run, plan and turn; no word of anybody's, and no secret.

use serde_json::json;

use crate::common::{eventually, text};
use crate::place::{OWNER, PARTNER, Place, exec, reply};

#[test]
fn the_log_names_runs_and_plans_and_nobodys_words() {
    let place = Place::new();
    // As much as it can say.
    place.castoff.stop();
    place.castoff.launch(&[("CASTOFF_LOG", "castoff=trace,debug")]);
    eventually("a run could start", || (place.castoff.castoff(&["status", "--health"]).code == 0).then_some(()));
    let script = "cat marzipan.txt; git --version > nougat.txt; echo praline";
    place.script(&json!([exec("", script), reply("There is baumkuchen.")]));
    place.api.say(OWNER, "where is my krokant?");
    place.sees(OWNER, &["May this run?"]);
    place.presses(OWNER, "Allow once");
    place.sees(OWNER, &["There is baumkuchen."]);
    place.api.say(PARTNER, "/run echo stollen");
    place.sees(PARTNER, &["stollen"]);
    place.castoff.castoff(&["run", "--", "rm -rf /etc/lebkuchen"]);

    let (_, all) = place.castoff.json(&["runs"]);
    let log = place.castoff.log();
    for run in all.as_array().unwrap() {
        assert!(log.contains(text(&run["run"])), "{run:#}\n{log}");
    }
    let run = all.as_array().unwrap().iter().find(|run| run["script"] == script).unwrap();
    let plan = text(&run["digest"]);
    let start = log.lines().find(|line| line.contains("a run starts") && line.contains(text(&run["run"])));
    assert!(start.is_some_and(|line| line.contains(plan) && line.contains("container=")), "{plan}\n{log}");
    let started = log.lines().find(|line| line.contains("run.started") && line.contains(text(&run["run"])));
    assert!(started.is_some_and(|line| line.contains(plan)), "{log}");
    for word in ["marzipan", "nougat", "praline", "baumkuchen", "krokant", "stollen", "lebkuchen", "git --version"] {
        assert!(!log.contains(word), "`{word}` stands in the log:\n{log}");
    }
    for secret in ["sk-test-0123456789", place.api.token()] {
        assert!(!log.contains(secret), "a secret stands in the log");
    }
}
