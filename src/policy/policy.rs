//! The policy as one value: people, rules, paths, limits. Made from a checked [`Spec`]; answers
//! questions, reads nothing.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::domain::ids::{Digest, PersonId};
use crate::domain::limits::Limits;
use crate::domain::money::Terms;
use crate::domain::plan::{Access, Mount, Review};
use crate::domain::principal::{Principal, Trust};
use crate::domain::record::Verdict;

use super::index::Index;
use super::learned::Learned;
use super::paths::Area;
use super::pattern::Pattern;

/// The uid that stands for "no such user here"; never a person.
const OVERFLOW_UID: u32 = 65534;

/// Everything that a policy consists of.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Of the files' bytes, the prices and the built-in tables.
    pub digest: Digest,
    /// `CASTOFF_HOME`.
    pub home: PathBuf,
    /// The owner first.
    pub people: Vec<Person>,
    /// Rules that permit; `None` for the basics.
    pub allow: Option<Vec<Rule>>,
    /// Rules that refuse or ask.
    pub others: Vec<(Verdict, Rule)>,
    /// Effects that ask, or (`delete`) that the review asks about; and tools that ask.
    pub effects: Vec<String>,
    /// What happens when it cannot be told what a script runs.
    pub cannot_tell: Verdict,
    /// Which changes are reviewed unless a rule says more.
    pub review: Review,
    /// Directories of the host.
    pub allowed: Vec<Mount>,
    /// Paths that no run sees.
    pub denied: Vec<PathBuf>,
    /// The `~` of the files.
    pub installing_home: PathBuf,
    /// Limits of a run.
    pub limits: Limits,
    /// Prices, caps, and the time zone of their windows.
    pub terms: Arc<Terms>,
}

/// An entry of `users.yaml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Id, name and trust.
    pub principal: Principal,
    /// The id that Telegram vouches for.
    pub telegram_id: Option<String>,
    /// Uids at the terminal.
    pub local: Vec<u32>,
    /// The only tools; `None` for all.
    pub tools: Option<Vec<String>>,
    /// The only allowed paths; `None` for all.
    pub files: Option<Vec<PathBuf>>,
    /// More denied paths.
    pub denied: Vec<PathBuf>,
}

/// A rule of `tools.yaml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// `tools.yaml:4 rm -rf`.
    pub label: String,
    /// What it matches.
    pub pattern: Pattern,
    /// Hosts that matching commands may reach.
    pub network: Option<Vec<String>>,
    /// Whether a person is always or never asked.
    pub approval: Option<Approval>,
    /// Which changes of matching commands are reviewed.
    pub review: Option<Review>,
    /// Who may answer for themselves when this rule asks, beside the owner.
    pub approvers: Vec<PersonId>,
    /// In which image matching commands run, unless another one of the script needs a larger one.
    pub image: Option<String>,
    /// Names of secrets; no command is given any yet.
    pub secrets: Vec<String>,
    /// For people.
    pub why: Option<String>,
}

/// Whether a rule asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approval {
    /// Before each run.
    Always,
    /// Not even for what goes out, when the rule grants its hosts.
    Never,
}

/// Who of `people` has this id, Telegram id, or name that nobody else has.
pub(crate) fn named<'a>(people: &'a [Person], text: &str) -> Option<&'a Principal> {
    let by_id = people.iter().find(|person| person.principal.person.as_str() == text);
    let by_telegram = || people.iter().find(|person| person.telegram_id.as_deref() == Some(text));
    let by_name = || {
        let mut named = people.iter().filter(|person| person.principal.name == text);
        named.next().filter(|_| named.next().is_none())
    };
    by_id.or_else(by_telegram).or_else(by_name).map(|person| &person.principal)
}

/// The rules of one installation.
#[derive(Debug, Clone)]
pub struct Policy {
    pub(crate) spec: Spec,
    /// What is laid over the files.
    pub(super) learned: Option<Arc<Learned>>,
    /// Which of `spec.allow` and `spec.others` may fit a program.
    pub(super) index: Index,
    /// Where each of `spec.people` may go.
    pub(super) areas: Vec<Area>,
}

impl Policy {
    /// The policy that `spec` describes.
    pub fn new(spec: Spec) -> Self {
        let index = Index::of(&spec);
        let mut policy = Self { spec, learned: None, index, areas: Vec::new() };
        policy.areas = policy.spec.people.iter().map(|person| policy.area_of(&person.principal)).collect();
        policy
    }

    /// Of the three files' bytes, the prices and the built-in tables, and of learned rules if there are any.
    pub fn digest(&self) -> Digest {
        self.learned.as_ref().map_or(self.spec.digest, |learned| learned.digest())
    }

    /// Who the caller with this uid is.
    pub fn principal_of_uid(&self, uid: u32) -> Option<Principal> {
        let person = self.spec.people.iter().find(|person| person.local.contains(&uid));
        person.filter(|_| uid != OVERFLOW_UID).map(|person| person.principal.clone())
    }

    /// The person with this id, Telegram id, or unique name.
    pub fn principal(&self, text: &str) -> Option<Principal> {
        named(&self.spec.people, text).cloned()
    }

    /// Everyone of the whitelist, the owner first.
    pub fn people(&self) -> Vec<Principal> {
        self.spec.people.iter().map(|person| person.principal.clone()).collect()
    }

    /// The person's home in Castoff.
    pub fn home(&self, person: &PersonId) -> PathBuf {
        self.spec.home.join("people").join(person.as_str())
    }

    /// What a run of this person sees: the home, and those allowed paths that are theirs. `/tmp` is
    /// left out, a run has its own.
    pub fn mounts(&self, principal: &Principal) -> Vec<Mount> {
        let mut mounts = vec![Mount { path: self.home(&principal.person), access: Access::Overlay }];
        if principal.trust < Trust::Trusted {
            return mounts;
        }
        let person = self.person(&principal.person);
        for mount in self.spec.allowed.iter().filter(|mount| mount.path != Path::new("/tmp")) {
            match person.and_then(|person| person.files.as_ref()) {
                None => mounts.push(mount.clone()),
                Some(files) if files.iter().any(|file| mount.path.starts_with(file)) => mounts.push(mount.clone()),
                Some(files) => mounts.extend(
                    files
                        .iter()
                        .filter(|file| file.starts_with(&mount.path))
                        .map(|file| Mount { path: file.clone(), access: mount.access }),
                ),
            }
        }
        mounts
    }

    /// Paths that no run sees.
    pub fn denied_paths(&self) -> &[PathBuf] {
        &self.spec.denied
    }

    /// The limits of a run.
    pub fn limits(&self) -> &Limits {
        &self.spec.limits
    }

    /// The time zone of budgets and reminders, an IANA name.
    pub fn time_zone(&self) -> &str {
        self.spec.terms.zone.iana_name().unwrap_or("UTC")
    }

    /// Prices and caps of models.
    pub fn terms(&self) -> &Arc<Terms> {
        &self.spec.terms
    }

    /// The person whom Telegram knows by this id.
    pub fn principal_of_telegram(&self, id: i64) -> Option<Principal> {
        let id = id.to_string();
        let person = self.spec.people.iter().find(|person| person.telegram_id.as_deref() == Some(id.as_str()));
        person.map(|person| person.principal.clone())
    }

    /// The id by which Telegram knows a person.
    pub fn telegram_id(&self, person: &PersonId) -> Option<&str> {
        self.person(person)?.telegram_id.as_deref()
    }

    /// The only tools that a person has; `None` for all of their trust level.
    pub fn tools(&self, person: &PersonId) -> Option<&[String]> {
        self.person(person)?.tools.as_deref()
    }

    /// Whether every script asks.
    pub(crate) fn asks_each_time(&self) -> bool {
        self.spec.effects.iter().any(|effect| effect == "exec")
    }

    /// Whether changes wait for each deletion, whatever it is of.
    pub(crate) fn asks_about_deletions(&self) -> bool {
        self.spec.effects.iter().any(|effect| effect == "delete")
    }

    /// What the allow list says, as written; `None` for the basics.
    pub fn allowed_patterns(&self) -> Option<Vec<String>> {
        let rules = self.spec.allow.as_ref()?;
        Some(rules.iter().map(|rule| rule.pattern.text().to_owned()).collect())
    }

    pub(crate) fn person(&self, id: &PersonId) -> Option<&Person> {
        self.spec.people.iter().find(|person| person.principal.person == *id)
    }

    /// Where the scripts of `principal` may go.
    pub(crate) fn area(&self, principal: &Principal) -> Cow<'_, Area> {
        let known = self.spec.people.iter().position(|person| person.principal == *principal);
        match known.and_then(|at| self.areas.get(at)) {
            Some(area) => Cow::Borrowed(area),
            None => Cow::Owned(self.area_of(principal)),
        }
    }

    fn area_of(&self, principal: &Principal) -> Area {
        let home = self.home(&principal.person);
        let narrowed = self.person(&principal.person).map(|person| person.denied.as_slice()).unwrap_or_default();
        let listed = self.spec.denied.iter().chain(narrowed);
        let mut denied: Vec<PathBuf> = listed.cloned().collect();
        // `~/.ssh` of the files is the installing person's; in a run `~` is the person's own home.
        let own = denied.iter().filter_map(|path| path.strip_prefix(&self.spec.installing_home).ok());
        let own: Vec<PathBuf> =
            own.filter(|rest| rest.components().next().is_some()).map(|rest| home.join(rest)).collect();
        denied.extend(own);
        Area { home, roots: self.mounts(principal).into_iter().map(|mount| mount.path).collect(), denied }
    }
}
