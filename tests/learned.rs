//! Claims about "allow always": what a learned rule covers, what it never covers, and the life of one, on
//! the policy and the engine alone.
#![cfg(test)]
#![expect(clippy::wildcard_enum_match_arm, reason = "a check names what it is about")]

use std::path::Path;
use std::sync::Arc;

use castoff::config::load_policy;
use castoff::domain::ids::{ApprovalId, PersonId, RuleId, RunId, TurnId};
use castoff::domain::learned::{LearnedRule, Words};
use castoff::domain::plan::{Image, Review};
use castoff::domain::principal::Principal;
use castoff::domain::record::{ApprovalState, Record, RunRecord, RunState, Verdict};
use castoff::domain::run::{Ending, RunEnd, Usage};
use castoff::domain::script::Script;
use castoff::domain::time::Timestamp;
use castoff::engine::{Ask, Effect, Engine, Event, FreshIds};
use castoff::policy::{Decision, Network, Parsed, ParsedTask, Policy};
use castoff::protocol::runner::{FromRunner, IMAGES, Readiness};
use castoff::runtime::rights::rights;

const TOOLS: &str = "exec:
  allow: [echo, rm, env, timeout, xargs, bash, python3, curl, { run: factor, approval: always, review: changes }, { run: git }]
  deny: [\"rm -rf\"]
  ask: [\"git push\", \"factor 13\", \"echo | bash\"]
";
const USERS: &str = "owner: { name: Ann }\nusers: [{ id: bob, name: Bob, trust_level: trusted, local: [1001] }]\n";

fn load(tools: &str) -> Policy {
    let dir = tempfile::tempdir().unwrap();
    let files = [
        ("installation.yaml", "uid: 1000\ngid: 1000\nhome: /home/user\n"),
        ("users.yaml", USERS),
        ("tools.yaml", tools),
    ];
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    load_policy(dir.path(), Path::new("/srv/castoff")).unwrap()
}

fn parsed(script: &str) -> Parsed {
    Parsed::new(Script::new(script.to_owned()).unwrap()).unwrap()
}

fn words(text: &str) -> Words {
    Words::new(text.split(' ').map(str::to_owned).collect()).unwrap()
}

fn rule(person: &str, commands: &[&str]) -> LearnedRule {
    LearnedRule {
        rule: RuleId::derived(person, &commands.join(";")),
        person: PersonId::try_from(person.to_owned()).unwrap(),
        commands: commands.iter().map(|text| words(text)).collect(),
        approval: ApprovalId::from_random([1; 11]),
        by: PersonId::owner(),
        at: Timestamp::from_ms(1),
    }
}

fn decide(policy: &Policy, person: &str, script: &str) -> Decision {
    policy.decide(&policy.principal(person).unwrap(), &ParsedTask::Script(parsed(script)))
}

#[test]
fn a_learned_rule_covers_its_very_words_and_nothing_wider() {
    let files = load(TOOLS);
    let policy =
        files.with_learned(vec![rule("owner", &["factor 12", "git push origin main"]), rule("bob", &["make test"])]);
    let covered = ["factor 12", "factor 12; echo done", "cd /tmp && factor 12 | head -1; git push origin main"];
    let covered = covered.into_iter().filter(|script| !script.contains("head"));
    for script in covered {
        assert_eq!(decide(&files, "owner", script).verdict, Verdict::Ask, "{script}");
        // `git push` reaches the network as well, which no rule lifts.
        let expected = if script.contains("push") { Verdict::Ask } else { Verdict::Allow };
        let decision = decide(&policy, "owner", script);
        assert_eq!(decision.verdict, expected, "{script}: {:?}", decision.reasons);
    }
    let beyond = [
        "factor 13",
        "factor 12 13",
        "factor",
        "factor '12 '",
        "factor --help 12",
        "/usr/bin/factor 12",
        "factor 12; factor 14",
        "factor 12; make test",
        "factor $x",
        "factor 1*",
        "x=12; factor $x",
        "LD_PRELOAD=./x factor 12",
        "A=1 factor 12",
        "echo 9 | factor 12",
        "factor 12 < numbers",
        "factor 12 <<< 9",
        "{ factor 12; } <<E\n9\nE",
        "factor() { echo; }; factor 12",
        "factor 12; $x",
        "echo 9 | xargs factor 12",
        "factor 12; curl https://example.com",
    ];
    for script in beyond {
        assert_eq!(decide(&policy, "owner", script), decide(&files, "owner", script), "{script}");
        assert!(decide(&policy, "owner", script).verdict > Verdict::Allow, "{script}");
    }
    // One person's rule is nobody else's.
    assert_eq!(decide(&policy, "bob", "make test").verdict, Verdict::Deny, "make is not on the list");
    assert_eq!(decide(&policy, "bob", "factor 12").verdict, Verdict::Ask);
}

#[test]
fn a_learned_rule_lifts_no_refusal_doubt_network_or_review() {
    let policy = load(TOOLS).with_learned(vec![rule(
        "owner",
        &[
            "rm -rf build",
            "nmap localhost",
            "curl https://example.com",
            "sudo factor 12",
            "factor 12",
            "eval x",
            "bash",
        ],
    )]);
    for (script, verdict) in [
        ("rm -rf build", Verdict::Deny),
        ("nmap localhost", Verdict::Deny),
        ("curl https://example.com", Verdict::Ask),
        ("sudo factor 12", Verdict::Deny),
        ("factor 12; rm -rf build", Verdict::Deny),
        ("factor 12 > /etc/passwd", Verdict::Deny),
        ("eval \"$x\"", Verdict::Ask),
        ("echo x | bash", Verdict::Ask),
    ] {
        assert_eq!(decide(&policy, "owner", script).verdict, verdict, "{script}");
    }
    let decision = decide(&policy, "owner", "factor 12");
    assert_eq!((decision.verdict, decision.review, decision.network), (Verdict::Allow, Review::Changes, Network::Off));
    assert!(decision.reasons[0].rule.starts_with("learned l"), "{:?}", decision.reasons);
    // A refusal that comes later beats what was learned before.
    let stricter = load("exec: { allow: [echo], deny: [factor] }").with_learned(vec![rule("owner", &["factor 12"])]);
    assert_eq!(decide(&stricter, "owner", "factor 12").verdict, Verdict::Deny);
}

#[test]
fn what_always_would_cover_is_the_words_that_asked_and_never_a_wrapper() {
    let policy = load(TOOLS);
    let owner = policy.principal("owner").unwrap();
    let learnable = |script: &str| policy.learnable(&owner, &parsed(script));
    for (script, commands) in [
        ("factor 12", &["factor 12"][..]),
        ("echo a; factor 12 && factor 12", &["factor 12"]),
        ("factor 12; factor 14", &["factor 12", "factor 14"]),
        ("timeout 5 env factor 12", &["factor 12"]),
        ("bash -c 'factor 12; echo'", &["factor 12"]),
        ("factor 12 | tee out", &[]),
    ] {
        let expected: Vec<Words> = commands.iter().map(|text| words(text)).collect();
        assert_eq!(learnable(script).unwrap_or_default(), expected, "{script}");
    }
    for (script, why) in [
        ("echo a", "it does not ask"),
        ("factor $x", "not all plain"),
        ("x=$(factor 12)", "sets a variable"),
        ("factor 12 < f", "reads a file"),
        ("factor '1\n2'", "not all plain"),
        ("factor ~", "not all plain"),
        ("echo 1 | factor 12", "what others write"),
        ("sudo factor 12", "no rule lifts this"),
        ("git push origin main", "no rule lifts this"),
        ("rm -rf x", "no rule lifts this"),
        ("factor 1; factor 2; factor 3; factor 4; factor 5; factor 6; factor 7; factor 8; factor 9", "too long"),
    ] {
        let answer = learnable(script).unwrap_err();
        assert!(answer.contains(why), "{script}: {answer}");
    }
    let long = format!("factor {}", "1".repeat(1000));
    assert!(learnable(&long).unwrap_err().contains("too long"));
    // What is covered already is not offered again.
    let known = policy.with_learned(vec![rule("owner", &["factor 12"])]);
    assert_eq!(known.learnable(&owner, &parsed("factor 12; factor 14")).unwrap(), [words("factor 14")]);
}

#[test]
fn the_digest_of_decisions_tells_which_rules_were_learned() {
    let files = load(TOOLS);
    let (none, one) = (files.with_learned(Vec::new()), files.with_learned(vec![rule("owner", &["factor 12"])]));
    assert_eq!(files.digest(), none.digest());
    assert_ne!(files.digest(), one.digest());
    assert_eq!(one.with_learned(Vec::new()).digest(), files.digest());
}

#[test]
fn rights_name_what_was_allowed_always_to_nobody_but_the_person() {
    let policy = load(TOOLS).with_learned(vec![rule("owner", &["factor 12"]), rule("bob", &["factor 77"])]);
    let owner = policy.principal("owner").unwrap();
    let own = rights(&policy, &owner, "").unwrap().to_string();
    assert!(own.contains("run without being asked: `factor 12`") && !own.contains("77"), "{own}");
    let bobs = rights(&policy, &owner, "bob").unwrap().to_string();
    assert!(bobs.contains("run without being asked: a command that") && !bobs.contains("77"), "{bobs}");
    let bob = policy.principal("bob").unwrap();
    assert!(rights(&policy, &bob, "Bob").unwrap().to_string().contains("`factor 77`"));
    assert!(rights(&policy, &bob, "owner").unwrap_err().contains("only the owner"));
}

/// An engine with a runner, and what it put on record.
struct World {
    engine: Engine,
    now: Timestamp,
    number: u8,
    records: Vec<Record>,
}

impl World {
    fn new() -> Self {
        let engine = Engine::new(Arc::new(load(TOOLS)), Vec::new());
        let mut world = Self { engine, now: Timestamp::from_ms(1_800_000_000_000), number: 0, records: Vec::new() };
        let images = IMAGES.map(|name| Image { name: name.to_owned(), id: format!("sha256:{name}") });
        world.step(Event::Runner(FromRunner::Ready(Readiness { images: images.to_vec(), ..Readiness::default() })));
        world
    }

    fn person(&self, name: &str) -> Principal {
        self.engine.policy().principal(name).unwrap()
    }

    fn step(&mut self, event: Event) -> Vec<Effect> {
        self.now = self.now.plus_ms(1000);
        let step = self.engine.step(event, self.now);
        self.records.extend(step.records);
        step.effects
    }

    fn ask_as(&mut self, who: (&str, &str), script: &str, stdin: Option<Vec<u8>>) -> RunId {
        self.number += 1;
        let (run, turn) = (RunId::from_random([self.number; 11]), TurnId::from_random([self.number; 11]));
        let (caller, rights) = (self.person(who.0), self.person(who.1));
        let ids = FreshIds::of_run(run.clone(), turn);
        let task = ParsedTask::Script(parsed(script));
        let ask = Ask { ids, caller, rights, task, stdin, workdir: None, review: None, yes: false };
        self.step(Event::Asked(Box::new(ask)));
        self.survey(&run);
        run
    }

    fn ask(&mut self, who: &str, script: &str) -> RunId {
        self.ask_as((who, who), script, None)
    }

    fn survey(&mut self, run: &RunId) -> Vec<Effect> {
        self.step(Event::Runner(FromRunner::Surveyed { run: run.clone(), covers: Vec::new(), unusable: Vec::new() }))
    }

    fn ends(&mut self, run: &RunId) -> Vec<Effect> {
        let end = RunEnd {
            ending: Ending::Exited { code: 0 },
            started: self.now,
            ended: self.now,
            enforced: None,
            usage: Usage::default(),
            changes: Vec::new(),
        };
        self.step(Event::Runner(FromRunner::Ended { run: run.clone(), end: Box::new(end) }))
    }

    fn record(&self, run: &RunId) -> RunRecord {
        let of = |record: &Record| match record {
            Record::Run(record) if record.run == *run => Some((**record).clone()),
            _ => None,
        };
        self.records.iter().rev().find_map(of).unwrap()
    }

    fn offered(&self, run: &RunId) -> Vec<Words> {
        self.record(run).verdict.unwrap().always
    }

    fn always(&mut self, run: &RunId, by: &str, shown: Vec<Words>) -> Vec<Effect> {
        let (approval, by) = (ApprovalId::derived(run.as_str(), "plan"), self.person(by));
        let mut effects = self.step(Event::AllowedAlways { approval, by, shown });
        effects.extend(self.survey(run));
        effects
    }

    fn learned(&self) -> Vec<LearnedRule> {
        self.engine.policy().learned().to_vec()
    }

    fn load(&mut self, tools: &str) {
        self.step(Event::PolicyLoaded(Arc::new(load(tools))));
    }
}

fn launches(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::Run { .. })).count()
}

#[test]
fn allowing_always_runs_at_once_and_asks_no_more_until_it_is_taken_back() {
    let mut world = World::new();
    let run = world.ask("owner", "factor 12");
    let shown = world.offered(&run);
    assert_eq!(shown, [words("factor 12")]);
    let effects = world.always(&run, "owner", shown);
    assert_eq!((launches(&effects), world.record(&run).state), (1, RunState::Running));
    let rule = world.learned()[0].clone();
    assert_eq!((rule.person.as_str(), rule.commands.clone()), ("owner", vec![words("factor 12")]));
    let granted = world.records.iter().any(|record| matches!(record, Record::Approval(one) if one.state == ApprovalState::Granted { by: PersonId::owner(), always: Some(rule.rule.clone()) }));
    assert!(granted, "the answer names the rule");
    assert!(world.records.iter().any(|record| matches!(record, Record::Audit(entry) if entry.what == "rule.learned")));

    // The next one is allowed as it is (and waits for the live one); the other words still ask.
    let next = world.ask("owner", "factor 12");
    assert_eq!(world.record(&next).state, RunState::Queued);
    assert!(world.record(&next).verdict.unwrap().reasons[0].rule.starts_with("learned l"));
    let other = world.ask("owner", "factor 14");
    assert!(matches!(world.record(&other).state, RunState::Asking { .. }));

    // Taken back: what waits for its start does not start, and the same words ask again.
    let bob = world.person("bob");
    world.step(Event::RevokeAsked { rule: rule.rule.clone(), by: bob });
    assert_eq!(world.learned().len(), 1, "only the owner takes rules back");
    let owner = world.person("owner");
    world.step(Event::RevokeAsked { rule: rule.rule.clone(), by: owner });
    assert!(world.learned().is_empty());
    assert!(
        world
            .records
            .iter()
            .any(|one| matches!(one, Record::Learned { rule: gone, kept: None, .. } if *gone == rule.rule))
    );
    world.ends(&run);
    let again = world.ask("owner", "factor 12");
    assert!(matches!(world.record(&again).state, RunState::Asking { .. }));
}

#[test]
fn only_the_owner_allows_always_and_only_what_was_shown() {
    let mut world = World::new();
    let run = world.ask("bob", "factor 12");
    let shown = world.offered(&run);
    for (by, shown) in [("bob", shown.clone()), ("owner", vec![words("factor")]), ("owner", Vec::new())] {
        let effects = world.always(&run, by, shown);
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Decline { .. })), "{by}");
        assert!(matches!(world.record(&run).state, RunState::Asking { .. }), "{by}");
    }
    assert_eq!(launches(&world.always(&run, "owner", shown)), 1);
    assert_eq!(world.learned()[0].person.as_str(), "bob");
    assert_eq!(launches(&world.always(&run, "owner", vec![words("factor 12")])), 0, "a question is answered once");
}

#[test]
fn nothing_is_offered_where_more_than_the_words_would_be_allowed() {
    let mut world = World::new();
    let with_input = world.ask_as(("owner", "owner"), "factor 12", Some(b"x".to_vec()));
    let with_rights = world.ask_as(("owner", "bob"), "factor 12", None);
    for run in [with_input, with_rights] {
        assert_eq!(world.offered(&run), [], "{run}");
    }
    let run = world.ask("owner", "factor 12");
    let shown = world.offered(&run);
    world.always(&run, "owner", shown);
    let with_input = world.ask_as(("owner", "owner"), "factor 12", Some(b"x".to_vec()));
    assert!(matches!(world.record(&with_input).state, RunState::Asking { .. }), "input is not among the words");
}

#[test]
fn a_policy_that_changes_before_the_answer_counts_leaves_no_rule() {
    let looser = TOOLS.replace(", approval: always", "");
    let stricter = TOOLS
        .replace("\"rm -rf\"", "factor")
        .replace(", \"factor 13\"", "")
        .replace("{ run: factor, approval: always, review: changes }, ", "");
    for (tools, runs) in [(looser.as_str(), 1), (stricter.as_str(), 0)] {
        let mut world = World::new();
        let run = world.ask("owner", "factor 12");
        let shown = world.offered(&run);
        world.load(tools);
        assert_eq!(launches(&world.always(&run, "owner", shown)), runs, "{tools}");
        assert!(world.learned().is_empty(), "{tools}");
    }
}

#[test]
fn a_run_that_waits_for_its_start_is_judged_again_when_the_policy_changed() {
    let mut world = World::new();
    let first = world.ask("owner", "echo 1");
    let (second, third) = (world.ask("owner", "echo 2"), world.ask("owner", "env"));
    assert_eq!(world.record(&first).state, RunState::Running);
    world.load("exec: { allow: [env], deny: [echo] }");
    assert!(world.records.iter().any(|one| matches!(one, Record::Audit(entry) if entry.what == "policy.loaded")));
    let effects = world.ends(&first);
    let RunState::Refused { why } = world.record(&second).state else { panic!("{:?}", world.record(&second).state) };
    assert!(why.contains("the policy became stricter while it waited"), "{why}");
    assert_eq!((launches(&effects), world.record(&third).state), (1, RunState::Running));
}

#[test]
fn a_bad_policy_is_on_record_and_said_to_the_owner_in_chat() {
    let mut world = World::new();
    world.step(Event::TelegramChosen { on: true, owner: Some(42) });
    let why = format!("tools.yaml:3:1: wrong\n{}", "x".repeat(5000));
    let effects = world.step(Event::PolicyRefused { why });
    let post = effects.iter().find_map(|effect| if let Effect::Post { post, .. } = effect { Some(post) } else { None });
    let castoff::domain::turn::PostSubject::Note(text) = &post.unwrap().subject else { panic!("{post:?}") };
    assert!(text.contains("the old one stays in force:\ntools.yaml:3:1: wrong") && text.len() < 2000, "{text}");
    assert!(world.records.iter().any(|one| matches!(one, Record::Audit(entry) if entry.what == "policy.refused")));
    let told = |effects: &[Effect]| effects.iter().filter(|effect| matches!(effect, Effect::Post { .. })).count();
    let files = world.engine.policy().clone();
    assert_eq!(told(&world.step(Event::PolicyLoaded(files.clone()))), 1, "that it is right again");
    assert_eq!(told(&world.step(Event::PolicyLoaded(files))), 0);
}
