//! What the doctor asks of the engine, and what it removes afterwards.

use std::path::Path;

use super::{RunnerError, engine, readback, reap};

/// An engine that answers.
#[derive(Debug)]
pub struct Examined {
    /// Version, API version, storage driver, runtimes, cgroup version, kernel, security options.
    pub facts: Vec<(String, String)>,
    /// Walls that it does not have, for people.
    pub missing: Vec<String>,
}

/// Asks the engine at `docker` (`DOCKER_HOST`) what it is.
///
/// # Errors
/// [`RunnerError`] when it does not answer.
pub async fn examine(docker: Option<&str>) -> Result<Examined, RunnerError> {
    let docker = engine::connect(docker).await?;
    let info = docker.info().await?;
    let missing = readback::missing(&info);
    let security = info.security_options.clone().unwrap_or_default().join(" ");
    let mut facts = engine::facts(&docker, info);
    facts.push(("security".to_owned(), if security.is_empty() { "nothing".to_owned() } else { security }));
    Ok(Examined { facts, missing })
}

/// Removes all that an ended runner of `home` left with the engine, and says how many containers
/// were among it: a runner that ended well leaves none.
///
/// # Errors
/// [`RunnerError`] when the engine does not answer or refuses.
pub async fn clear(docker: Option<&str>, home: &Path) -> Result<usize, RunnerError> {
    let docker = engine::connect(docker).await?;
    Ok(reap::reap(&docker, &home.display().to_string(), &std::collections::HashSet::new()).await?)
}
