//! Images with castoff-init or castoff of earlier builds: each build leaves two, and nobody else
//! removes them. Those of base images stay, since plans on record name them.

use std::collections::{HashMap, HashSet};

use bollard::Docker;
use bollard::errors::Error as EngineError;
use bollard::models::ImageSummary;
use bollard::query_parameters::{ListImagesOptionsBuilder, ListVolumesOptionsBuilder, RemoveImageOptions};

use super::harden::LABEL_HOME;
use super::images::{LABEL_IMAGE, LABEL_INIT, LABEL_KEEPER};

/// Younger ones are left alone: another Castoff may be about to start from them.
const AGE_S_MIN: i64 = 24 * 60 * 60;

/// Removes every image of a program of ours that is older than a day and that no runner on this
/// engine and no container uses; returns how many.
pub(super) async fn remove(docker: &Docker, now_s: i64) -> Result<usize, EngineError> {
    let ours = HashMap::from([("label", vec![LABEL_IMAGE])]);
    let images = docker.list_images(Some(ListImagesOptionsBuilder::default().filters(&ours).build())).await?;
    let used = used(docker).await?;
    let mut removed = 0;
    for image in images.iter().filter(|image| is_old_program(image, now_s) && !used.contains(&image.id)) {
        match docker.remove_image(&image.id, None::<RemoveImageOptions>, None).await {
            Ok(_) => {
                tracing::info!(image = image.id, "removed a program of an earlier build");
                removed += 1;
            }
            // A container uses it, or it is gone already.
            Err(EngineError::DockerResponseServerError { status_code: 404 | 409, .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(removed)
}

fn is_old_program(image: &ImageSummary, now_s: i64) -> bool {
    let name = image.labels.get(LABEL_IMAGE).map(String::as_str);
    matches!(name, Some("init" | "keeper")) && now_s.saturating_sub(image.created) > AGE_S_MIN
}

/// The images that runners on this engine start from, as the labels of their volumes tell.
async fn used(docker: &Docker) -> Result<HashSet<String>, EngineError> {
    let ours = HashMap::from([("label", vec![LABEL_HOME])]);
    let options = ListVolumesOptionsBuilder::default().filters(&ours).build();
    let volumes = docker.list_volumes(Some(options)).await?.volumes.unwrap_or_default();
    let labels = volumes.into_iter().flat_map(|volume| volume.labels);
    Ok(labels.filter(|(name, _)| [LABEL_INIT, LABEL_KEEPER].contains(&name.as_str())).map(|(_, id)| id).collect())
}
