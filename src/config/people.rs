//! `users.yaml` to people.

use std::collections::BTreeMap;
use std::path::Path;

use serde_yaml::Spanned;

use crate::domain::ids::PersonId;
use crate::domain::principal::{Principal, Trust};
use crate::domain::text::visible_line;
use crate::policy::Person;

use super::errors::{LoadError, Source};
use super::raw::{PathEntry, PersonEntry, TextOrNumber, Users};
use super::rules::{path, place, unknown_tools};

/// The people of `users`, the owner first.
pub(super) fn people(
    users: &Users,
    uid: u32,
    home: &Path,
    source: &Source,
    errors: &mut Vec<LoadError>,
) -> Vec<Person> {
    let mut people = Vec::new();
    let mut found = Vec::new();
    match &users.owner {
        Some(entry) => found.push((entry, true)),
        None => people.push(owner(uid)),
    }
    found.extend(users.users.iter().map(|entry| (entry, false)));
    let mut uids: BTreeMap<u32, String> = BTreeMap::new();
    for (entry, is_owner) in found {
        let person = match person(entry, is_owner, uid, source) {
            Ok(person) => person,
            Err(error) => {
                errors.push(*error);
                continue;
            }
        };
        let person = narrowed(person, &entry.value, home, source, errors);
        let id = person.principal.person.to_string();
        let twice = |known: &Person| {
            known.principal.person == person.principal.person
                || (known.telegram_id.is_some() && known.telegram_id == person.telegram_id)
        };
        if people.iter().any(twice) {
            errors.push(source.error(
                place(entry),
                format!("`{id}` is listed twice"),
                Some("give one of them another `id:`"),
            ));
        }
        for uid in entry.value.local.iter().flatten() {
            if *uid == 65534 {
                let message = "uid 65534 is nobody's: the kernel shows it for everyone whom it cannot map";
                errors.push(source.error(place(entry), message, Some("use the uid that `id -u` prints")));
            }
            if let Some(other) = uids.insert(*uid, id.clone()) {
                errors.push(source.error(
                    place(entry),
                    format!("uid {uid} is listed twice: for `{other}` and `{id}`"),
                    Some("a uid is one person's"),
                ));
            }
        }
        people.push(person);
    }
    people
}

/// The owner where nothing says more: root and the installing person.
pub(super) fn owner(uid: u32) -> Person {
    Person {
        principal: Principal { person: PersonId::owner(), name: "owner".to_owned(), trust: Trust::Owner },
        telegram_id: None,
        local: vec![0, uid],
        tools: None,
        files: None,
        denied: Vec::new(),
    }
}

fn person(entry: &Spanned<PersonEntry>, is_owner: bool, uid: u32, source: &Source) -> Result<Person, Box<LoadError>> {
    let (value, at) = (&entry.value, place(entry));
    let telegram = value.telegram_id.as_ref().map(|id| telegram_id(id, source)).transpose()?;
    if is_owner {
        if value.trust_level.is_some_and(|trust| trust != Trust::Owner) {
            return Err(Box::new(source.error(
                at,
                "the owner's trust level is `owner`",
                Some("remove `trust_level:`"),
            )));
        }
        let base = owner(uid);
        let name = name(value, &base.principal.name, source)?;
        let local = value.local.clone().unwrap_or_else(|| base.local.clone());
        return Ok(Person {
            principal: Principal { name, ..base.principal.clone() },
            telegram_id: telegram,
            local,
            ..base
        });
    }
    let local = value.local.clone().unwrap_or_default();
    let id = match (&value.id, &telegram, local.first()) {
        (Some(id), _, _) => id.value.clone(),
        (None, Some(_), Some(uid)) => {
            let hint = format!("add `id: local-{uid}`, which keeps the home that this person may already have");
            return Err(Box::new(source.error(
                at,
                "an entry with `telegram_id:` and `local:` needs an `id:`",
                Some(&hint),
            )));
        }
        (None, Some(telegram), None) => telegram.clone(),
        (None, None, Some(uid)) => format!("local-{uid}"),
        (None, None, None) => {
            let hint = "`local: [UID]` is for a person at the terminal (`id -u` prints it)";
            return Err(Box::new(source.error(at, "a person needs `telegram_id:` or `local:`", Some(hint))));
        }
    };
    let person = PersonId::try_from(id.clone()).map_err(|error| Box::new(source.error(at, error.to_string(), None)))?;
    if person == PersonId::owner() || value.trust_level == Some(Trust::Owner) {
        let hint = "put this person under `owner:`, or write `trust_level: trusted`";
        return Err(Box::new(source.error(at, "there is one owner, under `owner:`", Some(hint))));
    }
    let trust = value.trust_level.unwrap_or(Trust::Limited);
    let name = name(value, &id, source)?;
    Ok(Person { principal: Principal { person, name, trust }, telegram_id: telegram, local, ..owner(uid) })
}

/// A number, which is all that Telegram vouches for.
fn telegram_id(id: &Spanned<TextOrNumber>, source: &Source) -> Result<String, Box<LoadError>> {
    let text = id.value.text();
    let is_number = text.parse::<i64>().is_ok_and(|number| number > 0 && number.to_string() == text);
    let hint = "write the number that @userinfobot tells; a name or a group is no person";
    let message = || format!("`{}` is no Telegram id of a person", visible_line(&text));
    if is_number { Ok(text) } else { Err(Box::new(source.error(place(id), message(), Some(hint)))) }
}

/// What people call the person, who else is called `id`; nothing in it that a reader could miss.
fn name(entry: &PersonEntry, id: &str, source: &Source) -> Result<String, Box<LoadError>> {
    let Some(name) = &entry.name else { return Ok(id.to_owned()) };
    let text = name.value.as_str();
    if visible_line(text) == text && !text.trim().is_empty() {
        return Ok(text.to_owned());
    }
    let message = format!("`{}` is no name that everybody can read", visible_line(text));
    Err(Box::new(source.error(place(name), message, Some("use letters and plain spaces"))))
}

fn narrowed(person: Person, entry: &PersonEntry, home: &Path, source: &Source, errors: &mut Vec<LoadError>) -> Person {
    unknown_tools(entry.tools.as_deref().unwrap_or_default(), source, errors);
    let tools = entry.tools.as_ref().map(|tools| tools.iter().map(|tool| tool.value.clone()).collect());
    let mut person = Person { tools, ..person };
    let Some(files) = &entry.files else { return person };
    let mut resolve = |text: &str, at| path(text, at, home, source).map_err(|error| errors.push(error)).ok();
    person.files = files.allowed_paths.as_ref().map(|paths| {
        let text = |entry: &Spanned<PathEntry>| match &entry.value {
            PathEntry::Text(text) => text.clone(),
            PathEntry::Mapping(map) => map.path.clone(),
        };
        paths.iter().filter_map(|entry| resolve(&text(entry), place(entry))).collect()
    });
    person.denied =
        files.denied_paths.iter().flatten().filter_map(|entry| resolve(&entry.value, place(entry))).collect();
    person
}
