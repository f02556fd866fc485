//! Claims about other rules over the runs on record: what differs, what could stop asking, and whose words
//! are told.
#![cfg(test)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use castoff::config::{load_policy, load_policy_texts, policy_texts};
use castoff::domain::ids::{ApprovalId, Digest, PersonId, RunId, TurnId};
use castoff::domain::principal::Principal;
use castoff::domain::record::{
    ApprovalRecord, ApprovalState, AuditEntry, Outcome, Record, RunRecord, RunState, Subject, Verdict, VerdictRecord,
};
use castoff::domain::script::Script;
use castoff::domain::task::Task;
use castoff::domain::time::Timestamp;
use castoff::policy::Policy;
use castoff::runtime::history::{compare, suggest};
use castoff::store::Store;

const USERS: &str = "owner: { name: Ann }\nusers: [{ id: bob, name: Bob, trust_level: trusted, local: [1001] }]\n";

fn policy(tools: &str) -> Policy {
    let dir = tempfile::tempdir().unwrap();
    let files = [("tools.yaml", tools), ("users.yaml", USERS)];
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    load_policy(dir.path(), Path::new("/srv/castoff")).unwrap()
}

fn owner() -> Principal {
    policy("").principal("owner").unwrap()
}

/// How a run went.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Allowed,
    Granted,
    Refused,
    Dropped,
}

/// A store with these runs, a minute apart.
fn store(runs: &[(&str, &str, Fate)]) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let store = Store::open(dir.path()).unwrap();
    for (number, (person, script, fate)) in (1..).zip(runs) {
        store.commit(&records(number, person, script, *fate)).unwrap();
    }
    (dir, store)
}

fn id(number: u8) -> RunId {
    RunId::from_random([number; 11])
}

fn records(number: u8, person: &str, script: &str, fate: Fate) -> Vec<Record> {
    let person = PersonId::try_from(person.to_owned()).unwrap();
    let at = Timestamp::from_ms(u64::from(number) * 60_000);
    let state = match fate {
        Fate::Refused => RunState::Refused { why: "no".to_owned() },
        Fate::Dropped => RunState::Done { changes: Outcome::Dropped },
        Fate::Allowed | Fate::Granted => RunState::Done { changes: Outcome::None },
    };
    let run = RunRecord {
        run: id(number),
        turn: TurnId::from_random([number; 11]),
        person: person.clone(),
        rights_of: person.clone(),
        asked_at: at,
        task: Task::Script(Script::new(script.to_owned()).unwrap()),
        workdir: None,
        review: None,
        yes: false,
        verdict: Some(VerdictRecord {
            verdict: Verdict::Ask,
            reasons: Vec::new(),
            programs: script.split(' ').take(1).map(str::to_owned).collect(),
            suggestion: None,
            policy: Digest::of(b"policy"),
            always: Vec::new(),
            approvers: Vec::new(),
        }),
        plan: None,
        digest: None,
        state,
        end: None,
        landing: None,
        landings: Vec::new(),
        undone: Vec::new(),
        chat: None,
        stop_asked: false,
    };
    let entry =
        AuditEntry { at, person: Some(person.clone()), trust: None, what: "run.asked", run: None, detail: 1.into() };
    let mut records = vec![Record::Run(Box::new(run)), Record::Audit(entry)];
    if fate != Fate::Allowed {
        let state = match fate {
            Fate::Refused => ApprovalState::Refused { by: PersonId::owner() },
            Fate::Allowed | Fate::Granted | Fate::Dropped => {
                ApprovalState::Granted { by: PersonId::owner(), always: None }
            }
        };
        records.push(Record::Approval(ApprovalRecord {
            approval: ApprovalId::from_random([number; 11]),
            run: id(number),
            person,
            subject: Subject::Plan { digest: Digest::of(b"plan") },
            asked_at: at,
            expires_at: at.plus_ms(1),
            state,
        }));
    }
    records
}

#[test]
fn a_diff_has_every_task_that_is_judged_differently_once_and_of_others_no_word() {
    use Fate::Allowed;
    let (_dir, store) = store(&[
        ("owner", "ls secret-of-the-past", Allowed),
        ("owner", "git push secret-plan", Allowed),
        ("bob", "git push bobs-secret", Allowed),
        ("owner", "git push secret-plan", Allowed),
        ("owner", "ls fine", Allowed),
        ("bob", "ls bobs-secret", Allowed),
    ]);
    let old = policy("exec: { allow: [git, ls, echo] }");
    let new = policy("exec: { allow: [git, { run: ls, review: changes }], deny: [\"git push\"] }");
    let since = Timestamp::from_ms(2 * 60_000);
    let found = compare(&store, (&old, &new), since, &owner()).unwrap();
    assert_eq!(found.runs, 5, "the first is too old");
    let rows: Vec<String> = found
        .changed
        .iter()
        .map(|one| {
            let runs: Vec<String> = one.runs.iter().map(ToString::to_string).collect();
            format!(
                "{} {} {} {} {} {}",
                one.person,
                one.what,
                one.old.verdict,
                one.new.verdict,
                one.new.rule,
                runs.join(",")
            )
        })
        .collect();
    let expected = [
        format!("bob # ls allow allow on the list {}", id(6)),
        format!("owner ls fine allow allow on the list {}", id(5)),
        format!("owner git push secret-plan ask deny tools.yaml:1 git push {},{}", id(4), id(2)),
        format!("bob # git ask deny tools.yaml:1 git push {}", id(3)),
    ];
    assert_eq!(rows, expected);
    assert!(!format!("{found:?}").contains("bobs-secret"), "{found:?}");
    assert_eq!(compare(&store, (&old, &old), since, &owner()).unwrap().changed, []);
    let nobody = load_policy_texts(
        &[("users.yaml".to_owned(), "users: []".to_owned())].into(),
        Path::new("/none"),
        Path::new("/srv/castoff"),
    );
    let found = compare(&store, (&old, &nobody.unwrap()), since, &owner()).unwrap();
    assert!(found.changed.iter().any(|one| one.new.rule == "users.yaml: no `bob`"), "{found:?}");
}

#[test]
fn what_was_granted_every_time_is_proposed_and_what_was_refused_once_is_not() {
    use Fate::{Allowed, Dropped, Granted, Refused};
    let tools = "exec:
  allow: [echo, { run: factor, approval: always, review: changes }, make, rm, { run: npm, approval: always }]
  deny: [sudo]
  ask: [\"make test\", \"rm old\"]
";
    let (_dir, store) = store(&[
        ("owner", "factor 12", Granted),
        ("owner", "factor 12", Granted),
        ("bob", "factor bobs-secret", Granted),
        ("owner", "make test", Granted),
        ("owner", "make test all", Refused),
        ("owner", "rm old", Granted),
        ("owner", "rm old", Dropped),
        ("owner", "factor 12; sudo ls", Refused),
        ("owner", "factor 12; $x", Granted),
        ("owner", "echo", Allowed),
    ]);
    let policy = policy(tools);
    let found = suggest(&store, &policy, Timestamp::from_ms(0), &owner()).unwrap();
    assert_eq!((found.runs, found.granted), (10, 7));
    let [factor, make, rm] = found.proposals.as_slice() else { panic!("{found:#?}") };
    assert_eq!((factor.place.as_str(), factor.pattern.as_str()), ("tools.yaml:2", "factor"));
    assert_eq!(factor.instead.as_deref(), Some("{ run: \"factor\", review: changes }"));
    assert_eq!((factor.covers.clone(), factor.against.len()), (vec![id(3), id(2), id(1)], 0));
    assert_eq!(factor.commands, [("factor 12".to_owned(), 2)], "others' words are theirs");
    assert_eq!((make.covers.clone(), make.against.clone(), make.instead.clone()), (vec![id(4)], vec![id(5)], None));
    assert_eq!((rm.covers.clone(), rm.against.clone()), (vec![id(6)], vec![id(7)]));
    assert!(!format!("{found:?}").contains("bobs-secret"), "{found:?}");

    // The entry that is proposed is one that loads, and does what is said of it.
    let entry = factor.instead.clone().unwrap();
    let pasted = tools.replace("{ run: factor, approval: always, review: changes }", &entry);
    let after = suggest(&store, &self::policy(&pasted), Timestamp::from_ms(0), &owner()).unwrap();
    assert!(after.proposals.iter().all(|one| one.pattern != "factor"), "{after:#?}");
}

#[test]
fn texts_by_name_are_the_policy_that_their_directory_is() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tools.yaml"), "exec: { allow: [git] }\n").unwrap();
    std::fs::write(dir.path().join("limits.yaml"), "time_zone: Europe/Berlin\n").unwrap();
    let texts = policy_texts(dir.path()).unwrap();
    let of_texts = load_policy_texts(&texts, dir.path(), Path::new("/srv/castoff")).unwrap();
    assert_eq!(of_texts.digest(), load_policy(dir.path(), Path::new("/srv/castoff")).unwrap().digest());
    let wrong = [("tools.yaml".to_owned(), "exec: 1".to_owned())].into();
    let errors = load_policy_texts(&wrong, dir.path(), Path::new("/srv/castoff")).unwrap_err();
    assert_eq!(errors.0[0].file, Path::new("tools.yaml"));
    let long = [("tools.yaml".to_owned(), "#".repeat(2 << 20))].into();
    assert!(load_policy_texts(&long, dir.path(), Path::new("/srv/castoff")).is_err());
}
