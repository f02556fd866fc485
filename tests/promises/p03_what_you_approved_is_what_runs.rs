//! Promise 3: one digest binds what was shown, what was answered, and what was launched.

use crate::common::{Castoff, eventually, text, usual};

#[test]
fn the_question_shows_the_whole_plan_and_the_container_carries_its_digest() {
    let castoff = usual();
    let asked = castoff.run("factor 12; sleep 3").ended(75);
    assert_eq!(asked.stdout, "", "it ran unasked");
    let (code, run) = castoff.run_json("factor 12; sleep 3");
    assert_eq!((code, text(&run["stopped_by"])), (75, "approval"), "{run}");
    let digest = text(&run["digest"]);
    assert_eq!(digest.len(), 64);
    // The same wish twice is the same plan, so the text shows that very digest.
    let (own, work) = (castoff.own(), castoff.work());
    let image = text(&run["plan"]["image"]["id"]);
    let shown = [digest, "factor 12; sleep 3", own.to_str().unwrap(), work.to_str().unwrap(), image, "512 MiB memory"];
    asked.says(&shown).says(&["network    none", "castoff approve"]);

    let id = text(&run["run"]);
    let approve = castoff.begin(&["approve", id]);
    let container = castoff.container_of(id);
    assert_eq!(text(&container["Config"]["Labels"]["castoff.plan"]), digest);
    assert_eq!(text(&container["Image"]), image);
    assert_eq!(approve.finish().ended(0).stdout, "12: 2 2 3\n");
    let after = castoff.record(id);
    assert_eq!((&after["digest"], &after["plan"]), (&run["digest"], &run["plan"]));

    // A yes is used once, and a no is one for good.
    assert_ne!(castoff.castoff(&["approve", id]).code, 0);
    let (_, other) = castoff.run_json("factor 12; sleep 3");
    castoff.castoff(&["refuse", text(&other["run"])]).ended(0);
    assert_ne!(castoff.castoff(&["approve", text(&other["run"])]).code, 0);
    assert!(castoff.record(text(&other["run"]))["state"]["refused"].is_object());
}

fn reload(castoff: &Castoff, name: &str, text: &str) {
    let loads = || castoff.log().matches("the configuration was loaded again").count();
    let before = loads();
    castoff.configure(name, text);
    crate::common::processes::kill(castoff.core_process().0, "HUP");
    eventually("the policy is loaded again", || (loads() > before).then_some(()));
}

#[test]
fn a_yes_is_void_once_the_policy_is_stricter_or_the_plan_another() {
    const ASKS: &str = "exec:\n  allow: [{ run: \"factor\", approval: always }, \"echo\"]\n";
    let castoff = Castoff::start(&[("tools.yaml", ASKS)]);
    let cases = [
        ("limits.yaml", "runs: { wall_time: \"50s\" }\n", "no longer what was shown"),
        ("tools.yaml", "exec:\n  allow: [\"echo\"]\n", "the policy changed"),
    ];
    for (name, changed, why) in cases {
        let (code, run) = castoff.run_json("factor 12");
        assert_eq!(code, 75, "{run}");
        reload(&castoff, name, changed);
        let answer = castoff.castoff(&["approve", text(&run["run"])]);
        assert_eq!(answer.stdout, "", "it ran: {answer:?}");
        let record = castoff.record(text(&run["run"]));
        assert!(text(&record["state"]["refused"]["why"]).contains(why), "{record}");
        assert_eq!(record["exit_code"], 125);
    }
    // What was only loosened stays granted.
    reload(&castoff, "tools.yaml", ASKS);
    let (_, run) = castoff.run_json("factor 12");
    reload(&castoff, "tools.yaml", "exec:\n  allow: [\"factor\", \"echo\"]\n");
    assert_eq!(castoff.castoff(&["approve", text(&run["run"])]).ended(0).stdout, "12: 2 2 3\n");
}

#[test]
fn a_bad_policy_is_not_loaded_and_the_old_one_stays() {
    let castoff = Castoff::start(&[("tools.yaml", "exec:\n  allow: [\"echo\"]\n")]);
    castoff.configure("tools.yaml", "exec:\n  allow: [\n");
    crate::common::processes::kill(castoff.core_process().0, "HUP");
    eventually("the refusal is logged", || {
        castoff.log().contains("the old configuration stays in force").then_some(())
    });
    assert!(castoff.log().contains("tools.yaml:"), "{}", castoff.log());
    // The runner reads the files itself, and keeps what it last read without a mistake.
    castoff.run("factor 12").ended(125);
    castoff.run("echo fine").ended(0);
}
