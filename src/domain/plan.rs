//! The plan: all that defines a run. What was approved is what runs: one digest binds approval,
//! record and launch, and the runner computes it again.

mod facts;
mod row;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::ids::{Digest, PersonId};
use super::limits::Limits;
use super::task::{FileRequest, Task};

/// All that defines a run. The same plan has the same digest, whichever run it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "row::Row", into = "row::Row")]
pub struct Plan {
    /// Whose home is mounted, and whose name the run sees.
    pub person: PersonId,
    /// The name that `whoami` and git show.
    pub user_name: String,
    /// What the run does.
    pub task: Task,
    /// Standard input, if any is passed on.
    pub stdin: Option<Input>,
    /// Where the script starts; inside one of the mounts.
    pub workdir: PathBuf,
    /// The whole environment of the script.
    pub env: BTreeMap<String, String>,
    /// The image, by name for people and by id for the engine.
    pub image: Image,
    /// Every directory of the host that the run sees.
    pub mounts: Vec<Mount>,
    /// Paths inside the mounts that are hidden from the run.
    pub covers: Vec<Cover>,
    /// What the run may use.
    pub limits: Limits,
    /// Which changes wait for a review.
    pub review: Review,
    /// Whether each deletion is one of them, also in caches and of what the turn made: `delete` is taken literally.
    pub deletions: bool,
}

/// Standard input of a script: its digest stands in the plan, its bytes travel beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Length in bytes.
    pub bytes: u64,
    /// Digest of the bytes.
    pub digest: Digest,
}

/// An image as a plan names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// `base`, `workbench`, …
    pub name: String,
    /// The engine's immutable id, `sha256:…`.
    pub id: String,
}

/// A directory of the host in a run, at the same path inside as outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute path, the same on both sides.
    pub path: PathBuf,
    /// How the run sees it.
    pub access: Access,
}

/// How a run sees a directory of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// A copy-on-write view: changes land after the run, reviewed and undoable.
    Overlay,
    /// The directory itself, read-only.
    Read,
    /// The directory itself, writable: no review, no undo.
    Direct,
}

/// A path inside a mount that a run must not see.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cover {
    /// Absolute path.
    pub path: PathBuf,
    /// What lies over it.
    pub kind: CoverKind,
}

/// What lies over a covered path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CoverKind {
    /// An empty read-only tmpfs.
    Directory,
    /// A read-only bind of `/dev/null`.
    File,
}

/// Which changes of a run wait for a person before they land.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Review {
    /// None: they land at once (and can be undone).
    Never,
    /// Deletions, bulk changes, and files that the host would obey.
    Risky,
    /// All.
    Changes,
}

impl fmt::Display for Review {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Never => "never",
            Self::Risky => "risky",
            Self::Changes => "changes",
        })
    }
}

impl Plan {
    /// The digest of everything in the plan: SHA-256 over the fields in their order, each preceded
    /// by its length, so that no two plans share an encoding.
    pub fn digest(&self) -> Digest {
        let mut fields = Fields::default();
        // The first field tells the two kinds apart, so that no script shares a digest with a request.
        match &self.task {
            Task::Script(_) => fields.text("castoff plan 1"),
            Task::File(_) => fields.text("castoff file plan 1"),
        }
        fields.text(self.person.as_str());
        fields.text(&self.user_name);
        match &self.task {
            Task::Script(script) => fields.text(script.as_str()),
            Task::File(request) => fields.file(request),
        }
        match &self.stdin {
            None => fields.text("no input"),
            Some(input) => {
                fields.number(input.bytes);
                fields.bytes(input.digest.as_bytes());
            }
        }
        fields.path(&self.workdir);
        fields.number(self.env.len() as u64);
        for (name, value) in &self.env {
            fields.text(name);
            fields.text(value);
        }
        fields.text(&self.image.name);
        fields.text(&self.image.id);
        fields.number(self.mounts.len() as u64);
        for mount in &self.mounts {
            fields.path(&mount.path);
            fields.number(mount.access as u64);
        }
        fields.number(self.covers.len() as u64);
        for cover in &self.covers {
            fields.path(&cover.path);
            fields.number(cover.kind as u64);
        }
        fields.limits(&self.limits);
        fields.number(self.review as u64);
        // Last, and only where it holds.
        if self.deletions {
            fields.text("each deletion");
        }
        Digest::from_bytes(fields.0.finalize().into())
    }
}

#[derive(Default)]
struct Fields(Sha256);

impl Fields {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn path(&mut self, path: &Path) {
        use std::os::unix::ffi::OsStrExt as _;
        self.bytes(path.as_os_str().as_bytes());
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_be_bytes());
    }

    fn file(&mut self, request: &FileRequest) {
        self.text(request.tool());
        self.text(request.path().as_str());
        match request {
            FileRequest::Read { path: _, from_line, lines } => {
                self.optional(from_line.as_ref(), |fields, line| fields.number((*line).into()));
                self.optional(lines.as_ref(), |fields, count| fields.number((*count).into()));
            }
            FileRequest::Search { path: _, text, glob } => {
                self.text(text.as_str());
                self.optional(glob.as_ref(), |fields, glob| fields.text(glob.as_str()));
            }
            FileRequest::Write { path: _, text } => self.text(text.as_str()),
            FileRequest::Edit { path: _, old, new, all } => {
                self.text(old.as_str());
                self.text(new.as_str());
                self.number((*all).into());
            }
            // What is received is the plan's input, which has its digest.
            FileRequest::List { path: _ } | FileRequest::Send { path: _ } | FileRequest::Receive { path: _ } => {}
        }
    }

    fn optional<T>(&mut self, value: Option<&T>, add: impl Fn(&mut Self, &T)) {
        self.number(value.is_some().into());
        if let Some(value) = value {
            add(self, value);
        }
    }

    fn limits(&mut self, limits: &Limits) {
        // Taken apart by name, so that a new limit cannot be forgotten here.
        let Limits {
            wall_time_ms,
            memory_bytes,
            cpu_millis,
            pids,
            open_files,
            file_bytes,
            output_bytes,
            stdin_bytes,
            disk_bytes,
            disk_files,
            tmp_bytes,
        } = *limits;
        for number in [
            wall_time_ms,
            memory_bytes,
            cpu_millis.into(),
            pids.into(),
            open_files.into(),
            file_bytes,
            output_bytes,
            stdin_bytes,
            disk_bytes,
            disk_files,
            tmp_bytes,
        ] {
            self.number(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::script::Script;

    fn plan(task: Task) -> Plan {
        Plan {
            person: PersonId::owner(),
            user_name: "ann".to_owned(),
            task,
            stdin: None,
            workdir: "/w".into(),
            env: BTreeMap::new(),
            image: Image { name: "base".to_owned(), id: "sha256:1".to_owned() },
            mounts: Vec::new(),
            covers: Vec::new(),
            limits: Limits::default(),
            review: Review::Risky,
            deletions: false,
        }
    }

    fn file(json: &str) -> Task {
        Task::File(serde_json::from_str(json).unwrap())
    }

    fn script(text: &str) -> Task {
        Task::Script(Script::new(text.to_owned()).unwrap())
    }

    #[test]
    fn every_part_of_a_task_is_in_the_digest_and_no_two_kinds_share_one() {
        let tasks = [
            file(r#"{"read":{"path":"a"}}"#),
            file(r#"{"read":{"path":"b"}}"#),
            file(r#"{"read":{"path":"a","from_line":1}}"#),
            file(r#"{"read":{"path":"a","lines":1}}"#),
            file(r#"{"list":{"path":"a"}}"#),
            file(r#"{"send":{"path":"a"}}"#),
            file(r#"{"search":{"path":"a","text":"x"}}"#),
            file(r#"{"search":{"path":"a","text":"x","glob":"x"}}"#),
            file(r#"{"write":{"path":"a","text":"x"}}"#),
            file(r#"{"write":{"path":"ax","text":""}}"#),
            file(r#"{"edit":{"path":"a","old":"x","new":"y"}}"#),
            file(r#"{"edit":{"path":"a","old":"y","new":"x"}}"#),
            file(r#"{"edit":{"path":"a","old":"x","new":"y","all":true}}"#),
            script("read_file"),
            script(r#"{"read":{"path":"a"}}"#),
            script("castoff file plan 1"),
        ];
        let digests: std::collections::BTreeSet<_> = tasks.iter().map(|task| plan(task.clone()).digest()).collect();
        assert_eq!(digests.len(), tasks.len());
    }

    #[test]
    fn a_plan_survives_a_frame_and_json_and_an_older_one_is_read() {
        for task in [script("true"), file(r#"{"write":{"path":"a","text":"x"}}"#)] {
            let plan = plan(task);
            let frame = postcard::to_allocvec(&plan).unwrap();
            assert_eq!(postcard::from_bytes::<Plan>(&frame).unwrap(), plan);
            let json = serde_json::to_value(&plan).unwrap();
            assert_eq!(serde_json::from_value::<Plan>(json).unwrap(), plan);
        }
        let mut json = serde_json::to_value(plan(script("true"))).unwrap();
        assert_eq!(json["script"], "true");
        json.as_object_mut().unwrap().remove("file");
        assert_eq!(serde_json::from_value::<Plan>(json.clone()).unwrap(), plan(script("true")));
        json.as_object_mut().unwrap().remove("script");
        assert!(serde_json::from_value::<Plan>(json).is_err());
    }
}
