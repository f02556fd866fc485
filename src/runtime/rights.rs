//! Who may see whose rights, and what was amended beside the files.

use crate::domain::money::Money;
use crate::domain::principal::{Principal, Trust};
use crate::domain::record::SettingName;
use crate::policy::{Policy, Rights};
use crate::store::{Store, StoreError};

/// What the person called `name` may do; the caller for an empty name.
///
/// # Errors
/// Why the caller does not see it, for people.
pub fn rights(policy: &Policy, caller: &Principal, name: &str) -> Result<Rights, String> {
    // As the policy of the moment knows them.
    let own = policy.principal(caller.person.as_str());
    let asked = if name.is_empty() { own } else { policy.principal(name) };
    match asked {
        Some(person) if person.person == caller.person || caller.trust == Trust::Owner => {
            let mut rights = policy.rights(&person);
            let own = person.person == caller.person;
            let learned = policy.learned().iter().filter(|rule| rule.person == person.person);
            rights.may.extend(learned.flat_map(|rule| &rule.commands).map(|words| {
                // Others' words are theirs.
                let what = if own { format!("`{words}`") } else { "a command that was allowed always".to_owned() };
                format!("run without being asked: {what}")
            }));
            Ok(rights)
        }
        Some(_) | None if caller.trust != Trust::Owner => {
            Err("only the owner sees what others may do; `/rights` alone says what you may".to_owned())
        }
        Some(_) | None => {
            let people: Vec<String> = policy.people().iter().map(|person| person.person.to_string()).collect();
            Err(format!("`{name}` is nobody in users.yaml (there is: {})", people.join(", ")))
        }
    }
}

/// What the owner set outside of the files, a line each.
///
/// # Errors
/// When the store cannot be read.
pub fn amendments(store: &Store) -> Result<Vec<String>, StoreError> {
    let mut lines = Vec::new();
    for (provider, micros) in store.daily_budgets()? {
        if let Ok(micros) = micros.parse() {
            lines.push(format!("`{provider}` may cost {} a day", Money::from_micros(micros)));
        }
    }
    if let Some(id) = store.setting(&SettingName::OwnerTelegramId)? {
        lines.push(format!("Telegram id {id} is the owner's"));
    }
    Ok(lines)
}
