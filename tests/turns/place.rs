//! What a model is told about its place: what the person it works for may see and do, and nothing of
//! anybody else.

use castoff::domain::model::ModelRequest;

use crate::world::{FREE, World, called};

const TOOLS: &str = "exec: { allow: [\"ls\", \"git status\"] }\nfiles:\n  allowed_paths: [/data/shared, { path: /data/ann, mode: direct }, \
                     { path: /data/books, mode: read }]\n";
const USERS: &str = "owner: { name: Ann }\nusers:\n  \
    - { id: bob, name: Bob, trust_level: trusted, local: [1001], tools: [files], files: { allowed_paths: [/data/shared/bob, /data/books] } }\n  \
    - { id: kim, name: Kim, trust_level: trusted, local: [1003], tools: [exec, read_file], files: { allowed_paths: [] } }\n  \
    - { id: lea, name: Lea, trust_level: limited, local: [1002] }\n";

/// What a model is told when this person speaks.
fn told(who: &str, tools: &str) -> ModelRequest {
    let mut world = World::with(&[("users.yaml", USERS), ("tools.yaml", tools)], FREE, 32_768);
    called(&world.say(who, "hello").1).clone()
}

fn offered(request: &ModelRequest) -> Vec<&str> {
    request.tools.iter().map(|tool| tool.name).collect()
}

/// The lines about directories.
fn directories(request: &ModelRequest) -> Vec<&str> {
    request.system.lines().filter(|line| line.starts_with("- ")).collect()
}

#[test]
fn each_person_is_told_of_their_own_directories_alone() {
    let own = |who: &str| format!("- /srv/castoff/people/{who} (your working directory, kept)");
    let lands = |path: &str| format!("- {path} (changes land after the run)");
    let books = "- /data/books (read only)".to_owned();
    let direct = "- /data/ann (written at once, no undo)".to_owned();
    for (who, name, expected) in [
        ("owner", "Ann", vec![own("owner"), lands("/data/shared"), direct, books.clone()]),
        ("bob", "Bob", vec![own("bob"), lands("/data/shared/bob"), books]),
        ("kim", "Kim", vec![own("kim")]),
        ("lea", "Lea", vec![]),
    ] {
        let request = told(who, TOOLS);
        assert_eq!(directories(&request), expected, "{who}");
        let text = &request.system;
        assert!(text.contains(&format!("the assistant of {name}, on their own machine")), "{text}");
        for (other, others_name) in [("owner", "Ann"), ("bob", "Bob"), ("kim", "Kim"), ("lea", "Lea")] {
            let named = text.contains(others_name) || text.contains(&format!("people/{other}"));
            assert!(other == who || !named, "{who} is told of {other}: {text}");
        }
        assert!(who == "owner" || !text.contains("/data/ann"), "{text}");
    }
}

#[test]
fn each_person_is_offered_the_tools_that_the_policy_gives_them() {
    let files = ["read_file", "list_files", "search_files", "write_file", "edit_file", "send_file"];
    let all = [&["exec"], &files[..]].concat();
    for (who, expected) in [("owner", &all[..]), ("bob", &files), ("kim", &["exec", "read_file"]), ("lea", &[])] {
        assert_eq!(offered(&told(who, TOOLS)), expected, "{who}");
    }
}

#[test]
fn who_may_run_programs_is_told_which() {
    for who in ["owner", "kim"] {
        let request = told(who, TOOLS);
        assert!(request.system.contains("Programs that may run: ls, git status\n"), "{}", request.system);
        let request = told(who, "");
        assert!(request.system.contains("Programs that may run: the usual basics"), "{}", request.system);
    }
    for who in ["bob", "lea"] {
        let request = told(who, TOOLS);
        assert!(!request.system.contains("Programs") && !request.system.contains("git status"), "{}", request.system);
    }
    let many: Vec<String> = (0..100).map(|number| format!("program-{number}")).collect();
    let request = told("owner", &format!("exec: {{ allow: {many:?} }}\n"));
    assert!(request.system.contains("program-79, …") && !request.system.contains("program-80"), "{}", request.system);
}

/// A prompt that changes with each minute is never cached.
#[test]
fn the_prompt_stays_the_same_for_the_day() {
    let mut world = World::new(FREE, 32_768);
    let (_, effects) = world.say("owner", "one");
    let first = called(&effects).clone();
    world.pause_ms = 3 * 3_600_000;
    let effects = world.reply(&first.call, "ok", Vec::new());
    assert!(effects.iter().all(|effect| !matches!(effect, castoff::engine::Effect::CallModel(_))));
    let (_, effects) = world.say("owner", "two");
    assert_eq!(called(&effects).system, first.system);
    assert!(first.system.contains("Today is 2027-01-15."), "{}", first.system);
}
