//! Posts: what people are shown in their Telegram chats. The engine says what is to be shown and when
//! anew; the chat renders it from what is on record, sends it, and says what became of it.
//!
//! ```text
//!  Waiting ── taken up ──▶ Sending ── message ──▶ Shown ── its subject changed ──▶ Waiting
//!     ▲                       │ not sent for sure, or Castoff stopped (may repeat)
//!     └───────────────────────┘            blocked by the person ──▶ Lost
//!          or another bot begins
//! ```

use serde_json::json;

use super::turn::note;
use super::{Effect, Engine, Step};
use crate::domain::ids::{ApprovalId, PersonId, PostId, RunId, TurnId};
use crate::domain::record::{ApprovalState, Record, RunRecord, RunState};
use crate::domain::run::Ending;
use crate::domain::task::{FileRequest, Task};
use crate::domain::turn::{Channel, Post, PostState, PostSubject};

/// What became of a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Posted {
    /// It is being sent from now on.
    Taken,
    /// It stands in the chat, in this message.
    Shown(i32),
    /// The message that shows it stays behind; it is sent anew, in another one.
    Moved,
    /// It was not sent; it is to be tried again.
    NotSent,
    /// Nobody knows whether it was sent; it is tried again, and says so.
    Unknown,
    /// The person does not want it.
    Lost,
}

impl Engine {
    /// What became of a post that was taken up.
    pub(super) fn posted(&mut self, id: &PostId, what: Posted, step: &mut Step) {
        let Some(post) = self.posts.get_mut(id) else { return };
        match what {
            Posted::Taken => post.state = PostState::Sending,
            Posted::Shown(message) => {
                post.message = Some(message);
                post.may_repeat = false;
                // What changed while it was being sent is shown next.
                if post.state == PostState::Sending {
                    post.state = PostState::Shown;
                }
            }
            Posted::Moved => post.message = None,
            Posted::NotSent => post.state = PostState::Waiting,
            Posted::Unknown => {
                post.state = PostState::Waiting;
                post.may_repeat = true;
            }
            Posted::Lost => post.state = PostState::Lost,
        }
        let text = match what {
            Posted::Taken => "post.taken",
            Posted::Shown(_) => "post.shown",
            Posted::Moved => "post.moved",
            Posted::NotSent | Posted::Unknown => "post.not-sent",
            Posted::Lost => "post.lost",
        };
        note(step, None, text, json!({ "post": id.as_str() }));
        step.records.push(Record::Post(Box::new(post.clone())));
        step.effects.push(Effect::Post { post: Box::new(post.clone()), reported: Some(what) });
        let over = matches!(post.state, PostState::Shown | PostState::Lost) && !self.may_change(id);
        if over {
            self.posts.remove(id);
        }
    }

    /// Whether a post's subject may still change.
    fn may_change(&self, id: &PostId) -> bool {
        match self.posts.get(id).map(|post| &post.subject) {
            Some(PostSubject::Turn(turn)) => self.turns.contains_key(turn),
            Some(PostSubject::Approval(approval)) => self.approvals.contains_key(approval),
            Some(PostSubject::Run(run)) => self.runs.contains_key(run),
            Some(PostSubject::Note(_) | PostSubject::Answer { .. }) | None => false,
        }
    }

    /// Shows something, or shows it anew.
    pub(super) fn post(&mut self, person: &PersonId, chat: i64, subject: PostSubject, step: &mut Step) {
        let id = id_of(chat, &subject);
        let post = self.posts.entry(id.clone()).or_insert_with(|| Post {
            post: id,
            person: person.clone(),
            chat,
            subject,
            state: PostState::Waiting,
            message: None,
            may_repeat: false,
        });
        // A crash before anything is said of it leaves nobody who knows whether it was sent.
        post.may_repeat |= post.state == PostState::Sending && post.message.is_none();
        post.state = PostState::Waiting;
        step.records.push(Record::Post(Box::new(post.clone())));
        step.effects.push(Effect::Post { post: Box::new(post.clone()), reported: None });
    }

    /// Keeps and shows what a person's command gave back: that it was answered is known when it comes again.
    pub(super) fn command_answered(
        &mut self,
        (person, chat): (&PersonId, i64),
        answer: (TurnId, String),
        step: &mut Step,
    ) {
        let (turn, text) = answer;
        note(step, None, "command.answered", json!({ "turn": turn.as_str() }));
        self.post(person, chat, PostSubject::Answer { turn, text }, step);
    }

    /// Where a person is reached.
    pub(super) fn chat_of(&self, person: &PersonId) -> Option<i64> {
        let listed = self.policy.telegram_id(person).and_then(|id| id.parse().ok());
        let owner = self.owner_chat.filter(|_| *person == PersonId::owner());
        listed.or(owner).filter(|_| self.telegram)
    }

    /// Tells the owner in his chat, and puts it on record.
    pub(super) fn tell_owner(&mut self, text: String, step: &mut Step) {
        note(step, None, "owner.told", json!({ "text": text }));
        self.post_to_owner(text, step);
    }

    pub(super) fn post_to_owner(&mut self, text: String, step: &mut Step) {
        let owner = PersonId::owner();
        match (self.chat_of(&owner), &mut self.untold) {
            (Some(chat), _) => self.post(&owner, chat, PostSubject::Note(text), step),
            (None, Some(untold)) => untold.push(text),
            (None, None) => {}
        }
    }

    /// Looks through what a step put on record for what people are to be shown.
    pub(super) fn post_news(&mut self, step: &mut Step) {
        let mut at = 0;
        while let Some(record) = step.records.get(at) {
            at += 1;
            match record.clone() {
                Record::Turn(turn) => {
                    let over = turn.state.is_over();
                    let known = |chat| self.posts.contains_key(&id_of(chat, &PostSubject::Turn(turn.turn.clone())));
                    if let Channel::Telegram { chat, .. } = turn.channel
                        && (over || !known(chat))
                    {
                        self.post(&turn.person, chat, PostSubject::Turn(turn.turn.clone()), step);
                    }
                }
                Record::Approval(approval) => {
                    let id = approval.approval.clone();
                    self.post_approval(&id, &approval.run, approval.state == ApprovalState::Pending, step);
                }
                Record::Run(run) => self.post_run(&run, step),
                Record::Message(_)
                | Record::Output(_)
                | Record::Input { .. }
                | Record::Ledger(_)
                | Record::Post(_)
                | Record::Setting { .. }
                | Record::Learned { .. }
                | Record::Audit(_) => {}
            }
        }
    }

    /// A question goes to the owner: those of others, and those of turns in a chat; and to whoever asks, if
    /// a rule lets them answer it.
    fn post_approval(&mut self, approval: &ApprovalId, run: &RunId, pending: bool, step: &mut Step) {
        let own = self.runs.get(run).map(|live| &live.record).filter(|record| {
            matches!(record.state, RunState::Asking { .. })
                && record.verdict.as_ref().is_some_and(|verdict| verdict.approvers.contains(&record.person))
        });
        let asking = own.map(|record| record.person.clone()).filter(|person| *person != PersonId::owner());
        self.post_approval_to(&PersonId::owner(), (approval, run), pending, step);
        if let Some(person) = asking.or_else(|| self.asked_of(approval)) {
            self.post_approval_to(&person, (approval, run), pending, step);
        }
    }

    /// Who beside the owner was shown this question.
    fn asked_of(&self, approval: &ApprovalId) -> Option<PersonId> {
        let subject = PostSubject::Approval(approval.clone());
        let mut posts = self.posts.values().filter(|post| post.subject == subject && post.person != PersonId::owner());
        posts.next().map(|post| post.person.clone())
    }

    fn post_approval_to(
        &mut self,
        to: &PersonId,
        (approval, run): (&ApprovalId, &RunId),
        pending: bool,
        step: &mut Step,
    ) {
        let Some(chat) = self.chat_of(to) else { return };
        let subject = PostSubject::Approval(approval.clone());
        let known = self.posts.contains_key(&id_of(chat, &subject));
        let Some(record) = self.runs.get(run).map(|live| &live.record) else {
            if known {
                self.post(to, chat, subject, step);
            }
            return;
        };
        // What was answered beforehand is nobody's question.
        let in_a_chat = self.channel_of(&record.turn).is_some() || record.chat.is_some();
        let asks = pending && !record.yes && (record.person != *to || in_a_chat);
        if known || asks {
            self.post(to, chat, subject, step);
        }
    }

    /// Takes the card of a run up again, which is under way anew.
    pub(super) fn know_card(&mut self, card: Option<Box<Post>>) {
        let is_open = |post: &Post| matches!(&post.subject, PostSubject::Run(run) if self.runs.contains_key(run));
        if let Some(card) = card.filter(|post| is_open(post)) {
            self.posts.entry(card.post.clone()).or_insert(*card);
        }
    }

    /// A run of a turn in a chat is shown when it is over, if it changed something or sends a file; a run
    /// that was asked for in a chat by itself always, and while it waits for somebody else's answer. A card that
    /// stands there stays true also after its turn.
    fn post_run(&mut self, record: &RunRecord, step: &mut Step) {
        let of_turn = self.channel_of(&record.turn);
        let subject = PostSubject::Run(record.run.clone());
        let shown = || self.posts.values().find(|post| post.subject == subject).map(|post| post.chat);
        let Some(chat) = of_turn.or(record.chat).or_else(shown) else { return };
        let refused = matches!(record.state, RunState::Refused { .. }) && of_turn.is_none();
        let over = refused || matches!(record.state, RunState::Done { .. } | RunState::Held { approval: None, .. });
        let changed = record.end.iter().flat_map(|end| &end.changes).any(|set| !set.changes.is_empty());
        let sends = matches!(record.task, Task::File(FileRequest::Send { .. }))
            && record.end.as_ref().is_some_and(|end| end.ending == Ending::Exited { code: 0 });
        if over && (changed || sends || of_turn.is_none()) || of_turn.is_none() && asks_another(record) {
            self.post(&record.person, chat, subject, step);
        }
    }

    fn channel_of(&self, turn: &TurnId) -> Option<i64> {
        match self.turns.get(turn)?.record.channel {
            Channel::Telegram { chat, .. } => Some(chat),
            Channel::Terminal => None,
        }
    }

    /// Posts after a restart: after going back to a backup what waited may have been sent, too.
    pub(super) fn recover_posts(&mut self, posts: Vec<Post>, restored: bool, step: &mut Step) {
        for mut post in posts {
            if restored && post.state == PostState::Waiting {
                post.state = PostState::Sending;
            }
            wait_again(&mut post, step);
            self.posts.insert(post.post.clone(), post);
        }
    }

    /// Another bot begins, or none goes on: the last one left what it had not shown.
    pub(super) fn telegram_chosen(&mut self, on: bool, owner: Option<i64>, step: &mut Step) {
        (self.telegram, self.owner_chat) = (on, owner);
        if on {
            self.posts.values_mut().for_each(|post| wait_again(post, step));
        }
        let untold = self.untold.take().unwrap_or_default();
        untold.into_iter().for_each(|text| self.post_to_owner(text, step));
    }
}

/// Lets a post be shown by whoever begins now, if it still has to be: what was being sent may have been.
fn wait_again(post: &mut Post, step: &mut Step) {
    if post.state == PostState::Sending {
        post.state = PostState::Waiting;
        post.may_repeat = true;
        note(step, None, "post.not-sent", json!({ "post": post.post.as_str() }));
        step.records.push(Record::Post(Box::new(post.clone())));
    }
    if post.state == PostState::Waiting {
        step.effects.push(Effect::Post { post: Box::new(post.clone()), reported: None });
    }
}

/// Whether a run waits for the answer of somebody else than whoever asked for it.
fn asks_another(record: &RunRecord) -> bool {
    let own = record.verdict.as_ref().is_some_and(|verdict| verdict.approvers.contains(&record.person));
    let asks = matches!(record.state, RunState::Asking { .. }) && !own;
    let holds = matches!(record.state, RunState::Held { approval: Some(_), .. });
    record.person != PersonId::owner() && (asks || holds)
}

/// The one post of a subject in a chat.
pub fn id_of(chat: i64, subject: &PostSubject) -> PostId {
    let what = match subject {
        PostSubject::Turn(turn) => format!("turn {turn}"),
        PostSubject::Approval(approval) => format!("approval {approval}"),
        PostSubject::Run(run) => format!("run {run}"),
        PostSubject::Note(text) => format!("note {text}"),
        PostSubject::Answer { turn, text: _ } => return answer_id(chat, turn),
    };
    PostId::derived(&chat.to_string(), &what)
}

/// The post with the answer to a command.
pub fn answer_id(chat: i64, turn: &TurnId) -> PostId {
    PostId::derived(&chat.to_string(), &format!("answer {turn}"))
}
