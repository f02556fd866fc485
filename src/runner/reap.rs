//! Removes what an earlier life of this installation's runner, or of the engine, left with the engine:
//! containers and volumes that carry its label. Another installation's are never touched.

use std::collections::{HashMap, HashSet};

use bollard::Docker;
use bollard::errors::Error as EngineError;
use bollard::query_parameters::{
    InspectContainerOptions, ListContainersOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveVolumeOptionsBuilder,
};

use super::harden::{LABEL_HOME, LABEL_RUN};

/// Removes every container and volume of `home` but those of the runs `under_way`; returns how many
/// containers there were. What the engine does not remove stays if nothing runs in it: the next start tries again.
pub(super) async fn reap(docker: &Docker, home: &str, under_way: &HashSet<String>) -> Result<usize, EngineError> {
    let (mut containers, mut left) = (0, false);
    let ours: HashMap<&str, Vec<String>> = [("label", vec![format!("{LABEL_HOME}={home}")])].into();
    let options = ListContainersOptionsBuilder::default().all(true).filters(&ours).build();
    for container in docker.list_containers(Some(options)).await? {
        let run = container.labels.as_ref().and_then(|labels| labels.get(LABEL_RUN));
        if let Some(id) = container.id.filter(|_| !run.is_some_and(|run| under_way.contains(run))) {
            tracing::info!(container = id, "removing a container that an earlier runner left");
            if let Err(error) = remove_container(docker, &id).await {
                // What still runs there must not be beside other runs.
                if is_alive(docker, &id).await? {
                    return Err(error);
                }
                tracing::warn!(container = id, %error, "the engine does not remove what an earlier runner left");
                left = true;
            }
            containers += 1;
        }
    }
    let options = ListVolumesOptionsBuilder::default().filters(&ours).build();
    for volume in docker.list_volumes(Some(options)).await?.volumes.unwrap_or_default() {
        match remove_volume(docker, &volume.name).await {
            // A run under way has it, or a container that stays.
            Err(EngineError::DockerResponseServerError { status_code: 409, .. }) if left || !under_way.is_empty() => {}
            removed => removed?,
        }
    }
    Ok(containers)
}

async fn is_alive(docker: &Docker, id: &str) -> Result<bool, EngineError> {
    let found = match docker.inspect_container(id, None::<InspectContainerOptions>).await {
        Err(EngineError::DockerResponseServerError { status_code: 404, .. }) => return Ok(false),
        found => found?,
    };
    Ok(found.state.and_then(|state| state.running) != Some(false))
}

/// Kills and removes a container; one that is gone already is no error.
pub(super) async fn remove_container(docker: &Docker, id: &str) -> Result<(), EngineError> {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    gone(docker.remove_container(id, Some(options)).await)
}

/// Removes a volume; one that is gone already is no error.
pub(super) async fn remove_volume(docker: &Docker, name: &str) -> Result<(), EngineError> {
    gone(docker.remove_volume(name, Some(RemoveVolumeOptionsBuilder::default().force(true).build())).await)
}

fn gone(answer: Result<(), EngineError>) -> Result<(), EngineError> {
    match answer {
        Err(EngineError::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
        // Another removal of the same container is under way.
        Err(EngineError::DockerResponseServerError { status_code: 409, message })
            if message.contains("already in progress") =>
        {
            Ok(())
        }
        answer => answer,
    }
}
