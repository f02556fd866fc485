//! The key file: the epoch key wrapped by the master key, and for each person a key and a random
//! pseudonym, wrapped by the epoch key. The file tells how many people there are, not who.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::domain::ids::PersonId;

use super::envelope::{self, Envelope, Place};
use super::error::SecretsError;
use super::key::{KEY_BYTES, KeyId, MASTER_KEY_ID, MasterKey, SecretKey};
use super::{KEY_FILE, file};

const VERSION: u32 = 1;

/// Stands for a person where a row must be found without a key: random, and dropped with the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pseudonym(u128);

/// Whether there is data that the keys must open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// A data file is there: keys are never made, only read.
    Data,
    /// Nothing is there yet: missing keys are made.
    Nothing,
}

/// What an envelope held.
pub struct Opened {
    /// Whose key sealed it; `None` for Castoff's own.
    pub person: Option<PersonId>,
    /// The content; wiped when dropped.
    pub plain: Zeroizing<Vec<u8>>,
}

/// All keys, unwrapped. Seals and opens; gives none of them out.
pub struct Keys {
    dir: PathBuf,
    master: MasterKey,
    epoch: (KeyId, SecretKey),
    /// Castoff's own key first.
    entries: Vec<Entry>,
}

struct Entry {
    person: Option<PersonId>,
    pseudonym: Pseudonym,
    id: KeyId,
    key: SecretKey,
}

/// The key file as it is written.
#[derive(Serialize, Deserialize)]
struct KeyFile {
    version: u32,
    epoch: Wrapped,
    keys: Vec<Wrapped>,
}

#[derive(Deserialize)]
struct KeyFileVersion {
    version: u32,
}

/// A key in an envelope.
#[derive(Serialize, Deserialize)]
struct Wrapped {
    id: u64,
    sealed: String,
}

impl Keys {
    /// The keys in `dir`. The caller holds the directory's lock.
    ///
    /// # Errors
    /// When data is there and a key is missing, when the master key does not open the key file, or
    /// when a file cannot be read or made. Nothing is overwritten then.
    pub fn open_or_make(dir: &Path, presence: Presence) -> Result<Self, SecretsError> {
        let master = MasterKey::open_or_make(dir, presence == Presence::Data)?;
        let path = dir.join(KEY_FILE);
        if let Some(bytes) = file::read_private(&path)? {
            return Self::unwrap_all(dir, master, &bytes);
        }
        if presence == Presence::Data {
            return Err(SecretsError::KeyFileMissing { path });
        }
        let epoch = (random_id()?, SecretKey::generate()?);
        let keys = Self { dir: dir.to_owned(), master, epoch, entries: vec![Entry::generate(None)?] };
        keys.write()?;
        Ok(keys)
    }

    /// Makes keys for those of `people` who have none, and writes the key file before it returns:
    /// nothing is ever sealed with a key that a crash could lose.
    ///
    /// # Errors
    /// When the key file cannot be written; then nobody has a new key.
    pub fn ensure<'a>(&mut self, people: impl Iterator<Item = &'a PersonId>) -> Result<(), SecretsError> {
        let before = self.entries.len();
        for person in people {
            if !self.knows(person) {
                self.entries.push(Entry::generate(Some(person.clone()))?);
            }
        }
        if self.entries.len() == before {
            return Ok(());
        }
        self.write().inspect_err(|_| self.entries.truncate(before))
    }

    /// The key file as it is on the disk, of which nothing opens without the master key.
    ///
    /// # Errors
    /// When it cannot be read, or is gone.
    pub fn file(&self) -> Result<Zeroizing<Vec<u8>>, SecretsError> {
        let path = self.dir.join(KEY_FILE);
        file::read_private(&path)?.ok_or(SecretsError::KeyFileMissing { path })
    }

    /// Whether anybody has a key: there was data then.
    pub fn has_people(&self) -> bool {
        self.entries.iter().any(|entry| entry.person.is_some())
    }

    /// Whether this person has a key.
    pub fn knows(&self, person: &PersonId) -> bool {
        self.entry(Some(person)).is_some()
    }

    /// The pseudonym of a person who has a key.
    pub fn pseudonym(&self, person: &PersonId) -> Option<Pseudonym> {
        self.entry(Some(person)).map(|entry| entry.pseudonym)
    }

    /// Whose pseudonym this is; `None` when it was dropped.
    pub fn person(&self, pseudonym: Pseudonym) -> Option<&PersonId> {
        self.entries.iter().find(|entry| entry.pseudonym == pseudonym).and_then(|entry| entry.person.as_ref())
    }

    /// The envelope around `plain`, sealed with the key of `person` (`None`: Castoff's own).
    ///
    /// # Errors
    /// [`SecretsError::NoKey`] when the person has none.
    pub fn seal(&self, person: Option<&PersonId>, place: Place<'_>, plain: &[u8]) -> Result<Vec<u8>, SecretsError> {
        match (self.entry(person), person) {
            (Some(entry), _) => envelope::seal((entry.id, &entry.key), place, person, plain),
            (None, Some(person)) => Err(SecretsError::NoKey { person: person.clone() }),
            (None, None) => {
                Err(SecretsError::Damaged { path: self.dir.join(KEY_FILE), why: "no key of its own".to_owned() })
            }
        }
    }

    /// What was sealed for `place`; `None` when it was changed, moved, or its key is gone.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Option<Opened> {
        let envelope = Envelope::parse(sealed)?;
        let entry = self.entries.iter().find(|entry| entry.id == envelope.key)?;
        let plain = envelope.open(&entry.key, place, entry.person.as_ref())?;
        Some(Opened { person: entry.person.clone(), plain })
    }

    fn entry(&self, person: Option<&PersonId>) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.person.as_ref() == person)
    }

    fn unwrap_all(dir: &Path, master: MasterKey, bytes: &[u8]) -> Result<Self, SecretsError> {
        let path = dir.join(KEY_FILE);
        let damaged = |why: &str| SecretsError::Damaged { path: path.clone(), why: why.to_owned() };
        // The version first: the rest of a newer file may look different.
        let KeyFileVersion { version } = serde_json::from_slice(bytes).map_err(|error| damaged(&error.to_string()))?;
        if version > VERSION {
            return Err(SecretsError::Newer { path: path.clone(), found: version, known: VERSION });
        }
        if version < VERSION {
            return Err(damaged("there never was a version of it with this number"));
        }
        let written: KeyFile = serde_json::from_slice(bytes).map_err(|error| damaged(&error.to_string()))?;
        let epoch = unwrap(&master.0, MASTER_KEY_ID, "epoch", &written.epoch)
            .and_then(|plain| SecretKey::from_slice(&plain))
            .ok_or_else(|| SecretsError::WrongMasterKey { path: path.clone() })?;
        let epoch = (KeyId(written.epoch.id), epoch);
        let entry = |wrapped: &Wrapped| {
            let plain = unwrap(&epoch.1, epoch.0, "keys", wrapped)?;
            Entry::decode(KeyId(wrapped.id), &plain)
        };
        let entries = written.keys.iter().map(entry).collect::<Option<Vec<_>>>();
        let entries = entries.ok_or_else(|| damaged("a key in it does not open"))?;
        let keys = Self { dir: dir.to_owned(), master, epoch, entries };
        if keys.entry(None).is_none() { Err(damaged("no key of its own")) } else { Ok(keys) }
    }

    fn write(&self) -> Result<(), SecretsError> {
        let (epoch_id, epoch) = &self.epoch;
        let wrapped = KeyFile {
            version: VERSION,
            epoch: wrap((MASTER_KEY_ID, &self.master.0), "epoch", *epoch_id, epoch.expose())?,
            keys: self
                .entries
                .iter()
                .map(|entry| wrap((*epoch_id, epoch), "keys", entry.id, &entry.encode()))
                .collect::<Result<_, _>>()?,
        };
        let damaged =
            |error: serde_json::Error| SecretsError::Damaged { path: self.dir.join(KEY_FILE), why: error.to_string() };
        file::write_private(&self.dir, KEY_FILE, &serde_json::to_vec_pretty(&wrapped).map_err(damaged)?)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("dir", &self.dir).field("keys", &self.entries.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("person", &self.person).finish_non_exhaustive()
    }
}

impl Pseudonym {
    /// As it stands in keys and headers.
    pub fn as_number(self) -> u128 {
        self.0
    }

    /// From where it stands.
    pub fn from_number(number: u128) -> Self {
        Self(number)
    }
}

impl Entry {
    fn generate(person: Option<PersonId>) -> Result<Self, SecretsError> {
        let pseudonym = Pseudonym(u128::from_be_bytes(random()?));
        Ok(Self { person, pseudonym, id: random_id()?, key: SecretKey::generate()? })
    }

    /// Key, pseudonym, name; wrapped before it is written anywhere.
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let name = self.person.as_ref().map_or("", PersonId::as_str);
        let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_BYTES + 16 + name.len()));
        bytes.extend_from_slice(self.key.expose());
        bytes.extend_from_slice(&self.pseudonym.0.to_be_bytes());
        bytes.extend_from_slice(name.as_bytes());
        bytes
    }

    fn decode(id: KeyId, bytes: &[u8]) -> Option<Self> {
        let (key, rest) = bytes.split_first_chunk::<KEY_BYTES>()?;
        let (pseudonym, name) = rest.split_first_chunk::<16>()?;
        let person = match std::str::from_utf8(name).ok()? {
            "" => None,
            name => Some(PersonId::try_from(name.to_owned()).ok()?),
        };
        let pseudonym = Pseudonym(u128::from_be_bytes(*pseudonym));
        Some(Self { person, pseudonym, id, key: SecretKey::from_slice(key)? })
    }
}

fn wrap(by: (KeyId, &SecretKey), table: &str, id: KeyId, plain: &[u8]) -> Result<Wrapped, SecretsError> {
    let sealed = envelope::seal(by, Place { table, key: &id.0.to_be_bytes() }, None, plain)?;
    Ok(Wrapped { id: id.0, sealed: STANDARD.encode(sealed) })
}

fn unwrap(key: &SecretKey, id: KeyId, table: &str, wrapped: &Wrapped) -> Option<Zeroizing<Vec<u8>>> {
    let sealed = STANDARD.decode(&wrapped.sealed).ok()?;
    let envelope = Envelope::parse(&sealed).filter(|envelope| envelope.key == id)?;
    envelope.open(key, Place { table, key: &wrapped.id.to_be_bytes() }, None)
}

fn random<const N: usize>() -> Result<[u8; N], SecretsError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|source| SecretsError::NoRandom { source })?;
    Ok(bytes)
}

fn random_id() -> Result<KeyId, SecretsError> {
    // 0 names the master key.
    Ok(KeyId(u64::from_be_bytes(random()?).max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(name: &str) -> PersonId {
        PersonId::try_from(name.to_owned()).unwrap()
    }

    #[test]
    fn a_sealed_value_opens_at_its_own_place_only() {
        let dir = tempfile::tempdir().unwrap();
        let mut keys = Keys::open_or_make(dir.path(), Presence::Nothing).unwrap();
        let (ann, bob) = (person("ann"), person("bob"));
        keys.ensure([&ann, &bob].into_iter()).unwrap();
        let place = Place { table: "runs", key: b"r1" };
        let sealed = keys.seal(Some(&ann), place, b"words").unwrap();
        let opened = keys.open(place, &sealed).unwrap();
        assert_eq!((opened.person, opened.plain.as_slice()), (Some(ann.clone()), &b"words"[..]));
        for (table, key) in [("runs", "r2"), ("run", "sr1"), ("runsr", "1"), ("output", "r1")] {
            assert!(keys.open(Place { table, key: key.as_bytes() }, &sealed).is_none(), "{table} {key}");
        }
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(keys.open(place, &changed).is_none(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(keys.open(place, &sealed[..length]).is_none(), "{length} bytes");
        }
        assert_ne!(sealed, keys.seal(Some(&ann), place, b"words").unwrap());
    }

    #[test]
    fn keys_and_pseudonyms_survive_a_restart_and_are_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let ann = person("ann");
        let mut keys = Keys::open_or_make(dir.path(), Presence::Nothing).unwrap();
        keys.ensure([&ann, &ann].into_iter()).unwrap();
        let place = Place { table: "meta", key: b"x" };
        let (own, hers) = (keys.seal(None, place, b"1").unwrap(), keys.seal(Some(&ann), place, b"2").unwrap());
        let pseudonym = keys.pseudonym(&ann).unwrap();
        let again = Keys::open_or_make(dir.path(), Presence::Data).unwrap();
        assert_eq!(again.open(place, &own).unwrap().person, None);
        assert_eq!(again.open(place, &hers).unwrap().person, Some(ann.clone()));
        assert_eq!((again.pseudonym(&ann), again.person(pseudonym)), (Some(pseudonym), Some(&ann)));
        assert_eq!(again.entries.len(), 2);
        assert!(matches!(again.seal(Some(&person("eve")), place, b"3"), Err(SecretsError::NoKey { .. })));
    }

    #[test]
    fn a_key_is_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::open_or_make(dir.path(), Presence::Nothing).unwrap();
        let shown = format!("{:?} {:?} {:?}", keys, keys.master, keys.epoch.1);
        let secrets = [keys.master.0.expose(), keys.epoch.1.expose()];
        assert!(secrets.iter().all(|key| !shown.contains(&format!("{key:?}"))), "{shown}");
        assert!(shown.contains("[redacted]"));
    }

    #[test]
    fn a_newer_or_damaged_key_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(Keys::open_or_make(dir.path(), Presence::Nothing).unwrap());
        let check = |text: &str| {
            std::fs::write(dir.path().join(KEY_FILE), text).unwrap();
            Keys::open_or_make(dir.path(), Presence::Data).unwrap_err()
        };
        assert!(matches!(check(r#"{"version":2,"other":[]}"#), SecretsError::Newer { found: 2, known: 1, .. }));
        assert!(matches!(check("{"), SecretsError::Damaged { .. }));
        assert!(matches!(check(""), SecretsError::Damaged { .. }));
    }
}
