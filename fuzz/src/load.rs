//! Any files: a policy, or what is wrong with them.

use std::path::Path;
use std::sync::OnceLock;

use castoff::config::{PolicyTexts, load_policy_texts};
use castoff::policy::Policy;

/// The files in their order in an input, with a line [`END`] between them.
const NAMES: [&str; 5] = ["tools.yaml", "users.yaml", "limits.yaml", "prices.yaml", "settings.yaml"];
const END: &str = "====\n";

/// Loads the files that `data` holds.
pub fn load(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let texts = NAMES.into_iter().map(str::to_owned).zip(text.split(END).map(str::to_owned)).collect();
    match policy(&texts) {
        Ok(loaded) => holds(&loaded, &texts),
        Err(wrong) => assert!(!wrong.trim().is_empty(), "a refusal names its reason"),
    }
}

/// The policy of `texts`, or what is wrong with them. It belongs to a place of its own, so that nothing of this
/// machine counts.
pub(crate) fn policy(texts: &PolicyTexts) -> Result<Policy, String> {
    static PLACE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let place = PLACE.get_or_init(|| {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("installation.yaml"), "uid: 1000\ngid: 1000\nhome: /home/user\n").unwrap();
        place
    });
    load_policy_texts(texts, place.path(), Path::new("/srv/castoff")).map_err(|errors| errors.to_string())
}

/// What is true of everything that loads.
fn holds(loaded: &Policy, texts: &PolicyTexts) {
    assert_eq!(policy(texts).map(|again| again.digest()), Ok(loaded.digest()), "the same files, the same policy");
    assert!(loaded.listing().rules.iter().all(|rule| !rule.pattern.is_empty()));
    let people = loaded.people();
    for person in &people {
        assert!(!loaded.rights(person).to_string().is_empty());
        assert!(loaded.home(&person.person).starts_with("/srv/castoff/people/"));
        assert_eq!(people.iter().filter(|other| other.person == person.person).count(), 1, "an id is one person's");
    }
}
