//! Posts as messages: what a chat shows, from what is on record now.

use super::Bot;
use crate::chat::telegram::{Outgoing, cards};
use crate::domain::ids::PersonId;
use crate::domain::record::{ApprovalRecord, ApprovalState, RunRecord, Subject};
use crate::domain::run::Stream;
use crate::domain::task::FileRequest;
use crate::domain::turn::{Post, PostSubject, TurnRecord, TurnState};

impl Bot {
    /// The messages of a post, from what is on record now.
    pub(super) async fn render(&self, post: &Post) -> Vec<Outgoing> {
        match &post.subject {
            PostSubject::Note(text) => cards::note(text),
            PostSubject::Answer { turn: _, text } => cards::reply(text),
            PostSubject::Turn(turn) => match self.turn(turn).await {
                Some(TurnRecord { state: TurnState::Done { outcome }, .. }) => cards::outcome(&outcome),
                Some(record) => vec![cards::draft(&record, None, "")],
                None => Vec::new(),
            },
            PostSubject::Run(run) => {
                let id = run.clone();
                match self.read(move |store| store.run(&id)).await {
                    Some(record) => vec![self.run_card(&record).await],
                    None => Vec::new(),
                }
            }
            PostSubject::Approval(approval) => {
                let id = approval.clone();
                let found = self.read(move |store| match store.approval(&id)? {
                    Some(approval) => Ok(store.run(&approval.run)?.map(|run| (approval, run))),
                    None => Ok(None),
                });
                match found.await {
                    Some((approval, mut run)) => {
                        // What only the owner may do is offered to nobody else.
                        if let Some(verdict) = run.verdict.as_mut().filter(|_| post.person != PersonId::owner()) {
                            verdict.always.clear();
                        }
                        vec![self.approval_card(&approval, &run).await]
                    }
                    None => Vec::new(),
                }
            }
        }
    }

    async fn approval_card(&self, approval: &ApprovalRecord, run: &RunRecord) -> Outgoing {
        let diff = match approval.subject {
            Subject::Changes { .. } => match self.handle.diff(&run.run).await {
                Ok(diff) => diff,
                // Nobody is to take that for a change without content.
                Err(why) if approval.state == ApprovalState::Pending => format!("the diff cannot be shown: {why}"),
                Err(_) => String::new(),
            },
            Subject::Plan { .. } => String::new(),
        };
        cards::approval(approval, run, &diff, &self.names())
    }

    /// What people call a person.
    pub(super) fn names(&self) -> impl Fn(&PersonId) -> String + use<> {
        let policy = self.handle.view().policy;
        move |person| policy.principal(person.as_str()).map_or_else(|| person.to_string(), |one| one.name)
    }

    /// A run's card, or the file that it sends.
    pub(super) async fn run_card(&self, record: &RunRecord) -> Outgoing {
        let Some(FileRequest::Send { path }) = record.task.file() else { return cards::run(record) };
        let run = record.run.clone();
        let pieces = self.read(move |store| store.output(&run, 0).map(Some)).await.unwrap_or_default();
        let parts = pieces.into_iter().flat_map(|piece| piece.parts);
        let bytes = parts.filter(|(stream, _)| *stream == Stream::Stdout).flat_map(|(_, bytes)| bytes);
        let name = path.as_str().rsplit('/').next().unwrap_or("file");
        Outgoing::document(name, bytes.collect(), String::new())
    }
}
