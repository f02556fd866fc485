//! Promise 10: only listed people, by numeric id; strangers and blocked people cost nothing.

use serde_json::json;

use crate::common::eventually;
use crate::place::{OWNER, Place, reply};

const STRANGER: i64 = 6_666;

#[test]
fn strangers_and_blocked_people_get_nothing_and_are_on_record() {
    let place = Place::new();
    let calls = place.model_calls();
    for text in ["hello", "/run ls", "/start"] {
        place.api.say(STRANGER, text);
        place.api.say(777, text);
    }
    eventually("all updates are taken", || (place.api.unacknowledged() == 0).then_some(()));
    place.script(&json!([reply("Hello Ann.")]));
    place.api.say(OWNER, "hello");
    place.sees(OWNER, &["Hello Ann."]);
    for person in [STRANGER, 777] {
        assert_eq!(place.api.chat(person).iter().filter(|one| one.by_bot).count(), 0, "{person} got an answer");
        assert_eq!(place.api.typing(person), 0);
    }
    assert_eq!(place.model_calls(), calls + 1);
    let audit = place.castoff.castoff(&["audit", "list"]).ended(0);
    for person in [STRANGER, 777] {
        let is_theirs = |line: &&str| line.contains("telegram.stranger") && line.contains(&person.to_string());
        assert_eq!(audit.stdout.lines().filter(is_theirs).count(), 1, "{person}: {}", audit.stdout);
    }
}
