//! The decision about a file request of one person: the same rights and paths as for a script, but a
//! path that is known. What it is really about (symbolic links, the working directory) the mounts and
//! covers of the run enforce.

use std::path::Path;

use crate::domain::obeyed::is_obeyed;
use crate::domain::plan::{Access, Review};
use crate::domain::principal::Principal;
use crate::domain::record::Verdict;
use crate::domain::script::BadScript;
use crate::domain::task::{FileRequest, Task};

use super::judge::{Decision, Draft};
use super::parsed::Parsed;
use super::policy::Policy;
use super::word::Word;

/// The tool that stands for all of them in `tools:`.
const FILES: &str = "files";

/// What is asked for, as far as it must be understood before it is judged.
#[derive(Debug, Clone)]
pub enum ParsedTask {
    /// A script and its facts.
    Script(Parsed),
    /// A request about a file.
    File(FileRequest),
}

impl ParsedTask {
    /// Parses the script of `task`, if it is one.
    ///
    /// # Errors
    /// As [`Parsed::new`].
    pub fn new(task: Task) -> Result<Self, BadScript> {
        match task {
            Task::Script(script) => Parsed::new(script).map(Self::Script),
            Task::File(request) => Ok(Self::File(request)),
        }
    }

    /// What was parsed.
    pub fn task(&self) -> Task {
        match self {
            Self::Script(parsed) => Task::Script(parsed.script().clone()),
            Self::File(request) => Task::File(request.clone()),
        }
    }
}

impl Policy {
    /// Decides about `task` for `principal`.
    pub fn decide(&self, principal: &Principal, task: &ParsedTask) -> Decision {
        match task {
            ParsedTask::Script(parsed) => {
                let decision = self.judge(principal, parsed.clone()).decision().clone();
                self.lifted(principal, parsed, decision)
            }
            ParsedTask::File(request) => self.judge_file(principal, request),
        }
    }

    /// Decides about `request` for `principal`. The network is off, and the image the smallest.
    pub fn judge_file(&self, principal: &Principal, request: &FileRequest) -> Decision {
        let area = self.area(principal);
        let path = request.path().as_str();
        let mut draft = Draft::new(self, principal);
        draft.rights(&[FILES, request.tool()]);
        // Such a request is about the person's home, where nothing else is said.
        let whole = if path.starts_with(['/', '~']) { path.into() } else { area.home.join(path) };
        draft.place(&Word::of(&whole.to_string_lossy()), request.writes(), &area);
        if Path::new(path).starts_with("/tmp") {
            let text = format!("`{path}`: every run has an empty `/tmp` of its own; name a file of your home instead");
            draft.add(Verdict::Deny, "own `/tmp`", text);
        }
        if request.writes() {
            draft.effect("overwrite");
            self.obeyed(principal, path, &mut draft);
        }
        draft.asked_effects();
        if let Some(tool) = self.spec.effects.iter().find(|effect| [FILES, request.tool()].contains(&effect.as_str())) {
            draft.add(Verdict::Ask, "require_approval", format!("`{tool}` asks first"));
        }
        draft.decision(&[], ("allowed paths", "its path is among the allowed ones"))
    }

    /// What the host would obey is reviewed, whatever the policy says of other files: with the diff,
    /// which says more than a question beforehand. Where nothing can be reviewed it is asked before.
    fn obeyed(&self, principal: &Principal, path: &str, draft: &mut Draft<'_>) {
        if !is_obeyed(path) {
            return;
        }
        draft.effect("obeyed");
        draft.review_at_least(Review::Changes);
        let is_relative = !path.starts_with(['/', '~']);
        let direct = |access: Access| access == Access::Direct;
        let written_directly = self
            .mounts(principal)
            .iter()
            .any(|mount| direct(mount.access) && (is_relative || Path::new(path).starts_with(&mount.path)));
        let verdict = if written_directly { Verdict::Ask } else { Verdict::Allow };
        draft.add(verdict, "obeyed", format!("`{path}` is obeyed by programs that run later"));
    }
}
