//! Another policy comes into force, or one that was tried does not.
//!
//! What already runs goes on: its plan was permitted. What has not begun is judged again under the policy
//! of the moment: a question when it is answered (`approve`), and a run before it starts.

use serde_json::json;

use super::ask::explain;
use super::turn::note;
use super::{Engine, Step};
use crate::domain::ids::{PersonId, RunId};
use crate::domain::principal::{Principal, Trust};
use crate::domain::turn::PostSubject;
use crate::policy::Policy;

/// Characters of mistakes that are shown in a chat.
const WHY_SHOWN: usize = 1500;

impl Engine {
    pub(super) fn policy_loaded(&mut self, policy: &Policy, step: &mut Step) {
        let before = self.policy.digest();
        self.lay_over(policy);
        self.amend_terms();
        let now = self.policy.digest();
        if before != now {
            note(step, None, "policy.loaded", json!({ "policy": now, "before": before }));
        }
        if std::mem::take(&mut self.files_are_wrong) {
            note(step, None, "policy.right-again", json!({ "policy": now }));
            self.say_to_owner("The configuration is right again, and in force.".to_owned(), step);
        }
    }

    /// Tells the owner that the old policy stays.
    pub(super) fn policy_refused(&mut self, why: &str, step: &mut Step) {
        note(step, None, "policy.refused", json!({ "why": why, "policy": self.policy.digest() }));
        self.files_are_wrong = true;
        let mut shown: String = why.chars().take(WHY_SHOWN).collect();
        if shown.len() < why.len() {
            shown.push_str(" …\n`castoff policy check` says the rest");
        }
        let text = format!("The configuration was changed and is wrong; the old one stays in force:\n{shown}");
        self.say_to_owner(text, step);
    }

    fn say_to_owner(&mut self, text: String, step: &mut Step) {
        let owner = PersonId::owner();
        if let Some(chat) = self.chat_of(&owner) {
            self.post(&owner, chat, PostSubject::Note(text), step);
        }
    }

    /// A person with the rights of the moment; one who is no longer on the list has none.
    pub(super) fn as_of_now(&self, person: &Principal) -> Principal {
        let known = self.policy.principal(person.person.as_str());
        known.unwrap_or_else(|| Principal { trust: Trust::Blocked, ..person.clone() })
    }

    /// Why a run that was permitted under an earlier policy must not begin under this one.
    pub(super) fn became_stricter(&self, run: &RunId) -> Option<String> {
        let live = self.runs.get(run)?;
        let judged_by = live.record.verdict.as_ref().map(|verdict| verdict.policy);
        if judged_by == Some(self.policy.digest()) {
            return None;
        }
        let decision = self.decide(&self.as_of_now(&live.rights), &live.task, live.stdin.as_deref());
        let stricter = decision.verdict > live.decision.verdict;
        stricter.then(|| format!("the policy became stricter while it waited: {}", explain(&decision)))
    }
}
