//! What other rules would have said of the runs on record: the ground of `castoff policy diff` and
//! `castoff policy suggest`. Reads and judges; changes nothing. Of others' runs the owner is told which
//! they are, their programs and the rules, not the words.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::ids::{PersonId, RunId};
use crate::domain::learned::Words;
use crate::domain::plan::Review;
use crate::domain::principal::Principal;
use crate::domain::record::{ApprovalState, Outcome, RunRecord, RunState, Subject, Verdict};
use crate::domain::time::Timestamp;
use crate::policy::{AskingRule, Decision, Network, ParsedTask, Policy};
use crate::store::{Store, StoreError};

/// Most runs that are looked at, the newest.
pub const RUNS_MAX: usize = 20_000;
/// Exact commands that a proposal names.
const WORDS_SHOWN: usize = 5;

/// How a task is judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// `off`, `ask`, or hosts.
    pub network: String,
    /// Which changes wait.
    pub review: Review,
    /// The rule that says so.
    pub rule: String,
}

/// A task that two policies judge differently, with the runs that asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// Who asked.
    pub person: PersonId,
    /// What for; of others the programs.
    pub what: String,
    /// Newest first.
    pub runs: Vec<RunId>,
    /// Under the old policy.
    pub old: Judgement,
    /// Under the new one.
    pub new: Judgement,
}

/// Two policies over the runs on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// Runs that were looked at.
    pub runs: usize,
    /// Those that came out differently, the newest first.
    pub changed: Vec<Changed>,
}

/// A rule that could stop asking, or could not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// File and line of the rule.
    pub place: String,
    /// What it matches.
    pub pattern: String,
    /// What would stand there instead; `None` when the line would be removed.
    pub instead: Option<String>,
    /// Granted runs that would not have asked.
    pub covers: Vec<RunId>,
    /// The commands of the owner among them, and how often each was granted.
    pub commands: Vec<(String, usize)>,
    /// Runs that were refused or dropped, and would be allowed: with any, it is no proposal.
    pub against: Vec<RunId>,
}

/// What people's answers suggest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suggestions {
    /// Runs that were looked at.
    pub runs: usize,
    /// Runs that somebody said yes to.
    pub granted: usize,
    /// Rules that asked, and what the answers say of them.
    pub proposals: Vec<Proposal>,
}

/// One task on record and the runs of it, newest first.
struct Recorded {
    rights_of: PersonId,
    task: ParsedTask,
    /// Whether its runs got standard input, which no learned rule covers.
    has_input: bool,
    what: String,
    runs: Vec<RunRecord>,
}

impl Recorded {
    fn decide(&self, policy: &Policy) -> Option<Decision> {
        let principal = policy.principal(self.rights_of.as_str())?;
        Some(match &self.task {
            ParsedTask::Script(parsed) if self.has_input => policy.judge(&principal, parsed.clone()).decision().clone(),
            ParsedTask::Script(_) | ParsedTask::File(_) => policy.decide(&principal, &self.task),
        })
    }

    fn judged(&self, policy: &Policy) -> Judgement {
        let Some(decision) = self.decide(policy) else {
            let rule = format!("users.yaml: no `{}`", self.rights_of);
            let review = Review::Changes;
            return Judgement { verdict: Verdict::Deny, network: "off".to_owned(), review, rule };
        };
        Judgement {
            verdict: decision.verdict,
            network: match &decision.network {
                Network::Off => "off".to_owned(),
                Network::Ask => "ask".to_owned(),
                Network::Hosts(hosts) => hosts.join(" "),
            },
            review: decision.review,
            rule: decision.reasons.first().map(|reason| reason.rule.clone()).unwrap_or_default(),
        }
    }

    /// Whether it would run as it is, unasked.
    fn runs_under(&self, policy: &Policy) -> bool {
        self.decide(policy)
            .is_some_and(|decision| decision.verdict == Verdict::Allow && decision.network == Network::Off)
    }

    fn ids(&self, which: impl Fn(&RunRecord) -> bool) -> impl Iterator<Item = RunId> {
        self.runs.iter().filter(move |run| which(run)).map(|run| run.run.clone())
    }
}

/// Which runs of the last while `old` and `new` judge differently, for `reader`.
///
/// # Errors
/// When the store cannot be read.
pub fn compare(
    store: &Store,
    (old, new): (&Policy, &Policy),
    since: Timestamp,
    reader: &Principal,
) -> Result<Comparison, StoreError> {
    let recorded = recorded(store.runs_since(since, RUNS_MAX)?, reader);
    let runs = recorded.iter().map(|one| one.runs.len()).sum();
    let changed = recorded.iter().filter_map(|one| {
        let (old, new) = (one.judged(old), one.judged(new));
        let differs = (old.verdict, &old.network, old.review) != (new.verdict, &new.network, new.review);
        let person = one.runs.first()?.person.clone();
        differs.then(|| Changed { person, what: one.what.clone(), runs: one.ids(|_| true).collect(), old, new })
    });
    Ok(Comparison { runs, changed: changed.collect() })
}

/// What people's answers of the last while say of the rules of `policy` that ask, for `reader`.
///
/// # Errors
/// When the store cannot be read.
pub fn suggest(
    store: &Store,
    policy: &Policy,
    since: Timestamp,
    reader: &Principal,
) -> Result<Suggestions, StoreError> {
    let recorded = recorded(store.runs_since(since, RUNS_MAX)?, reader);
    let about_plans = store.approvals(false)?.into_iter().filter(|one| matches!(one.subject, Subject::Plan { .. }));
    let granted: BTreeSet<RunId> =
        about_plans.filter(|one| matches!(one.state, ApprovalState::Granted { .. })).map(|one| one.run).collect();
    let mut proposals: Vec<Proposal> = Vec::new();
    for asking in policy.asking_rules() {
        let touched: Vec<&Recorded> = recorded.iter().filter(|one| asking.asks_about(&one.task)).collect();
        if !touched.is_empty() {
            let proposal = proposal(policy, &asking, &touched, (&granted, reader));
            proposals.extend(Some(proposal).filter(|one| !one.covers.is_empty() || !one.against.is_empty()));
        }
    }
    let runs = recorded.iter().map(|one| one.runs.len()).sum();
    let granted = recorded.iter().map(|one| one.ids(|run| granted.contains(&run.run)).count()).sum();
    Ok(Suggestions { runs, granted, proposals })
}

fn proposal(
    policy: &Policy,
    asking: &AskingRule,
    touched: &[&Recorded],
    (granted, reader): (&BTreeSet<RunId>, &Principal),
) -> Proposal {
    let without = policy.without_asking(asking);
    let (mut covers, mut against, mut words) = (Vec::new(), Vec::new(), BTreeMap::<Words, usize>::new());
    for one in touched.iter().filter(|one| !one.runs_under(policy) && one.runs_under(&without)) {
        let said_yes = |run: &RunRecord| granted.contains(&run.run);
        covers.extend(one.ids(|run| said_yes(run) && !is_unwanted(run)));
        against.extend(one.ids(is_unwanted));
        let own = one.ids(|run| said_yes(run) && run.person == reader.person).count();
        let principal = policy.principal(one.rights_of.as_str());
        if let (ParsedTask::Script(parsed), Some(principal), 1..) = (&one.task, principal, own) {
            for command in policy.learnable(&principal, parsed).unwrap_or_default() {
                *words.entry(command).or_default() += own;
            }
        }
    }
    let mut commands: Vec<(String, usize)> =
        words.into_iter().map(|(words, times)| (words.to_string(), times)).collect();
    commands.sort_by(|(_, one), (_, other)| other.cmp(one));
    commands.truncate(WORDS_SHOWN);
    let (place, pattern) = (asking.line.place.clone(), asking.line.pattern.clone());
    Proposal { place, pattern, instead: asking.without.clone(), covers, commands, against }
}

/// Whether somebody said no to a run, or to what it changed.
fn is_unwanted(run: &RunRecord) -> bool {
    matches!(
        run.state,
        RunState::Refused { .. } | RunState::Dropping | RunState::Done { changes: Outcome::Dropped | Outcome::Undone }
    )
}

/// The tasks of these runs, each once, in the order of their newest runs; what can no longer be read as a
/// script is left out.
fn recorded(runs: Vec<RunRecord>, reader: &Principal) -> Vec<Recorded> {
    let mut places: BTreeMap<(PersonId, PersonId, bool, String), usize> = BTreeMap::new();
    let mut all: Vec<Recorded> = Vec::new();
    for run in runs {
        let has_input = run.plan.as_ref().is_some_and(|plan| plan.stdin.is_some());
        // Byte for byte, which no list shows.
        let Ok(text) = serde_json::to_string(&run.task) else { continue };
        let key = (run.person.clone(), run.rights_of.clone(), has_input, text);
        if let Some(known) = places.get(&key).and_then(|at| all.get_mut(*at)) {
            known.runs.push(run);
            continue;
        }
        let Ok(task) = ParsedTask::new(run.task.clone()) else { continue };
        let what =
            if run.is_readable_by(reader) { run.task.title() } else { run.clone().without_content().task.title() };
        places.insert(key, all.len());
        all.push(Recorded { rights_of: run.rights_of.clone(), task, has_input, what, runs: vec![run] });
    }
    all
}
