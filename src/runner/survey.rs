//! Surveys: a person's home is made, every mount is probed, and the denied paths that exist in the
//! mounts are found. Done for the core when it plans, and again before a run, since nothing that the
//! core says about it is believed.

use std::path::{Path, PathBuf};

use super::rules::Rules;
use super::state::{Engine, Runner};
use super::{check, keeper, overlay, probe};
use crate::domain::ids::PersonId;
use crate::domain::plan::{Cover, Mount};
use crate::protocol::init::Probed;
use crate::protocol::keeper::{FromKeeper, ToKeeper};
use crate::protocol::runner::Unusable;

/// What a survey found.
#[derive(Debug)]
pub(super) struct Survey {
    /// Mounts that can be mounted, with what stands there.
    pub(super) fit: Vec<(Mount, Probed)>,
    /// Denied paths that exist in them.
    pub(super) covers: Vec<Cover>,
    /// Mounts that cannot.
    pub(super) unusable: Vec<Unusable>,
}

/// Surveys the mounts of a person. The error is for people.
pub(super) async fn survey(
    runner: &Runner,
    engine: &Engine,
    rules: &Rules,
    person: &PersonId,
    mounts: &[Mount],
) -> Result<Survey, String> {
    check::mounts(mounts, &rules.mounts_of(person)?)?;
    overlay::make_home(runner, &rules.home_of(person))
        .map_err(|error| format!("the home of `{person}` cannot be made: {error}"))?;
    let mut survey = Survey { fit: Vec::new(), covers: Vec::new(), unusable: Vec::new() };
    for mount in mounts {
        match probe::probe(runner, engine, mount).await {
            Ok(probed) => survey.fit.push((mount.clone(), probed)),
            Err(unusable) => survey.unusable.push(unusable),
        }
    }
    for (mount, _) in &survey.fit {
        let found = covers(runner, rules, &mount.path).await?;
        survey.covers.extend(found);
    }
    survey.covers.sort();
    survey.covers.dedup();
    Ok(survey)
}

/// The denied paths that exist in a workspace; its keeper is asked only when one could.
async fn covers(runner: &Runner, rules: &Rules, workspace: &Path) -> Result<Vec<Cover>, String> {
    let denied: Vec<PathBuf> = rules.denied().into_iter().filter(|path| path.starts_with(workspace)).collect();
    if denied.is_empty() {
        return Ok(Vec::new());
    }
    let answer = keeper::ask(runner, workspace, &ToKeeper::Covers { denied }).await?;
    let FromKeeper::Covers(covers) = answer else {
        return Err("the keeper gave another answer than the covers".to_owned());
    };
    Ok(covers)
}
