//! Approval cards: a question with everything that it is about, and its answer.

use crate::domain::learned::{Words, lines};
use crate::domain::record::{ApprovalRecord, ApprovalState, RunRecord, Subject};
use crate::domain::text::visible_line;

use super::super::outgoing::{Button, Outgoing, Press};
use super::super::rich::Rich;
use super::super::text::shortened;
use super::{Names, changes};

/// Longest script and reasons below a document, in UTF-16 units each.
const SHORT_UNITS: usize = 200;
/// Longest name of a person, in UTF-16 units.
const NAME_UNITS: usize = 40;

/// The card of an approval: of a plan, or of changes with their diff. While it is pending it has the
/// buttons for the answer; afterwards it says what became of it and has none. What fits no message
/// is attached as a file, whole.
pub fn approval(approval: &ApprovalRecord, run: &RunRecord, diff: &str, names: Names<'_>) -> Outgoing {
    let question = Question { approval, run, names };
    match approval.subject {
        Subject::Plan { .. } => plan(&question),
        Subject::Changes { .. } => changes::changes(&question, diff),
    }
}

/// A question, the run it is about, and what people are called.
pub(super) struct Question<'a> {
    approval: &'a ApprovalRecord,
    pub(super) run: &'a RunRecord,
    names: Names<'a>,
}

impl Question<'_> {
    /// Whether it can still be answered.
    fn open(&self) -> bool {
        matches!(self.approval.state, ApprovalState::Pending)
    }

    /// The first lines of its card: the question or what became of it, and who asks.
    pub(super) fn head(&self, asked: &str, (yes, no): (&str, &str)) -> Rich {
        let mut card = Rich::default();
        let by = |person| shortened(&visible_line(&(self.names)(person)), NAME_UNITS);
        match &self.approval.state {
            ApprovalState::Pending => card.bold(asked),
            ApprovalState::Granted { by: person, always: Some(rule) } => {
                card.bold(&format!("✅ Allowed always by {} ({rule})", by(person)));
            }
            ApprovalState::Granted { by: person, always: None } => {
                card.bold(&format!("✅ {yes} by {}", by(person)));
            }
            ApprovalState::Refused { by: person } => card.bold(&format!("❌ {no} by {}", by(person))),
            ApprovalState::Expired => card.bold("⌛ Expired: nobody answered in time"),
            ApprovalState::Void { why } => {
                card.bold(&format!("🚫 Void: {}", shortened(&visible_line(why), SHORT_UNITS)))
            }
        }
        card.say(&format!("\n{} asks · ", by(&self.approval.person)));
        card.code(self.run.run.as_str());
        if self.open() {
            card.say(&format!(" · until {}", self.approval.expires_at));
        }
        if self.run.rights_of != self.run.person {
            card.say(&format!("\nwith the rights of {}", by(&self.run.rights_of)));
        }
        card
    }

    /// The buttons of a question that can still be answered.
    pub(super) fn keyboard(&self, (yes, no): (&str, &str)) -> Vec<Vec<Button>> {
        if !self.open() {
            return Vec::new();
        }
        let approval = &self.approval.approval;
        vec![vec![Press::Yes(approval.clone()).button(yes), Press::No(approval.clone()).button(no)]]
    }
}

fn plan(question: &Question<'_>) -> Outgoing {
    let head = || question.head("May this run?", ("Allowed once", "Refused"));
    let run = question.run;
    let script = run.task.text();
    let (mut body, mut short) = (Rich::default(), Rich::default());
    body.pre(&script, "bash");
    let facts = facts(run);
    body.border(1, false);
    for (index, (name, value)) in facts.iter().enumerate() {
        body.say(if index == 0 { "" } else { "\n" });
        body.bold(name);
        body.say(": ");
        body.say(value);
    }
    short.pre(&shortened(&script, SHORT_UNITS), "bash");
    short.border(1, false);
    let reasons = facts.iter().filter(|(name, _)| *name == "why").map(|(_, value)| value.as_str());
    let reasons = reasons.collect::<Vec<_>>().join("; ");
    short.say(&format!("why: {}\n", shortened(&reasons, SHORT_UNITS)));
    short.bold("The file has the whole plan: read it before you answer.");
    let lines = facts.iter().map(|(name, value)| format!("{name}: {value}\n")).collect::<String>();
    let file = format!("{}\n\n{script}\n\n{lines}", super::super::plain(&head().html()));
    let name = format!("plan-{}.txt", run.run);
    let card = Outgoing::fitted(head(), body, short, (&name, &file));
    // What cannot be shown cannot be answered.
    let mut keyboard = if run.plan.is_some() { question.keyboard(("Allow once", "Refuse")) } else { Vec::new() };
    if !keyboard.is_empty() && !offered(run).is_empty() {
        keyboard.push(vec![Press::Always(question.approval.approval.clone()).button("Allow always …")]);
    }
    Outgoing { keyboard, ..card }
}

/// What "allow always" would cover.
fn offered(run: &RunRecord) -> &[Words] {
    run.verdict.as_ref().map(|verdict| verdict.always.as_slice()).unwrap_or_default()
}

/// The question that "allow always" leads to: every word of the rule, and a button that saves it. `None`
/// when there is nothing that could be allowed always.
pub fn always(approval: &ApprovalRecord, run: &RunRecord, names: Names<'_>) -> Option<Outgoing> {
    let commands = offered(run);
    if commands.is_empty() || approval.state != ApprovalState::Pending {
        return None;
    }
    let mut card = Rich::default();
    card.bold("Allow this always?");
    card.say(&format!("\nFor {}, in these very words and no others:", visible_line(&names(&approval.person))));
    card.border(1, false);
    card.pre(&lines(commands), "bash");
    card.border(1, false);
    card.say(
        "It lifts no refusal, and reviews stay as they are. /rights shows it; `castoff policy revoke` takes it back.",
    );
    let keyboard = vec![vec![Press::Learn(approval.approval.clone()).button("Save the rule and run")]];
    Some(Outgoing { keyboard, ..Outgoing::text(card.html()) })
}

/// Everything of a plan but its script, as names and values.
fn facts(run: &RunRecord) -> Vec<(&'static str, String)> {
    let reasons = run.verdict.iter().flat_map(|verdict| &verdict.reasons);
    let mut facts: Vec<_> =
        reasons.map(|reason| ("why", visible_line(&format!("{} ({})", reason.text, reason.rule)))).collect();
    let Some(plan) = &run.plan else { return facts };
    facts.extend(plan.facts());
    facts
}
