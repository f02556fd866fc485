//! A plan as it is written, in frames and as JSON: what it does stands in the field `script` or in
//! `file`, one of the two.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Cover, Image, Input, Mount, Plan, Review};
use crate::domain::ids::PersonId;
use crate::domain::limits::Limits;
use crate::domain::script::Script;
use crate::domain::task::{FileRequest, Task};

/// See [`Plan`].
#[derive(Serialize, Deserialize)]
pub(super) struct Row {
    person: PersonId,
    user_name: String,
    #[serde(default)]
    script: Option<Script>,
    #[serde(default)]
    file: Option<FileRequest>,
    stdin: Option<Input>,
    workdir: PathBuf,
    env: BTreeMap<String, String>,
    image: Image,
    mounts: Vec<Mount>,
    covers: Vec<Cover>,
    limits: Limits,
    review: Review,
    #[serde(default)]
    deletions: bool,
}

/// A plan that does nothing, or two things.
#[derive(Debug, thiserror::Error)]
#[error("a plan has either a script or a file request")]
pub(super) struct NotOneTask;

impl TryFrom<Row> for Plan {
    type Error = NotOneTask;

    fn try_from(row: Row) -> Result<Self, NotOneTask> {
        let task = match (row.script, row.file) {
            (Some(script), None) => Task::Script(script),
            (None, Some(request)) => Task::File(request),
            (Some(_), Some(_)) | (None, None) => return Err(NotOneTask),
        };
        Ok(Self {
            person: row.person,
            user_name: row.user_name,
            task,
            stdin: row.stdin,
            workdir: row.workdir,
            env: row.env,
            image: row.image,
            mounts: row.mounts,
            covers: row.covers,
            limits: row.limits,
            review: row.review,
            deletions: row.deletions,
        })
    }
}

impl From<Plan> for Row {
    fn from(plan: Plan) -> Self {
        let (script, file) = match plan.task {
            Task::Script(script) => (Some(script), None),
            Task::File(request) => (None, Some(request)),
        };
        Self {
            person: plan.person,
            user_name: plan.user_name,
            script,
            file,
            stdin: plan.stdin,
            workdir: plan.workdir,
            env: plan.env,
            image: plan.image,
            mounts: plan.mounts,
            covers: plan.covers,
            limits: plan.limits,
            review: plan.review,
            deletions: plan.deletions,
        }
    }
}
