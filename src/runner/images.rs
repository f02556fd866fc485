//! The images that runs, keepers and probes start from: built by the runner from files inside its
//! own program, found again by label, never pulled by name.
//!
//! | image | from | holds |
//! | --- | --- | --- |
//! | `base` | debian | the shell and the usual text tools |
//! | `workbench` | `base` | git, Python, Node, a C toolchain |
//! | `init` | scratch | castoff-init, at [`INIT_PATH`] |
//! | `keeper` | scratch | castoff, at [`KEEPER_PATH`] |

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType, VolumeCreateRequest};
use bollard::query_parameters::{
    BuildImageOptionsBuilder, BuilderVersion, ListImagesOptionsBuilder, RemoveContainerOptionsBuilder,
};
use futures_util::StreamExt as _;

use super::harden::{INIT_DIR, INIT_PATH, KEEPER_PATH, LABEL_HOME};
use crate::domain::ids::Digest;
use crate::domain::plan::Image;

/// The image's name: `base`, `workbench`, `init`, `keeper`.
pub const LABEL_IMAGE: &str = "castoff.image";
/// Digest of all that the image was built from.
pub const LABEL_SOURCE: &str = "castoff.source";

/// On the volume with castoff-init: the id of the image of castoff-init that this runner uses.
pub const LABEL_INIT: &str = "castoff.init";
/// Likewise, that of its keepers.
pub const LABEL_KEEPER: &str = "castoff.keeper";

macro_rules! embedded {
    ($dir:literal: $($file:literal),+) => {
        &[$(($file, include_bytes!(concat!("../../images/", $dir, "/", $file)))),+]
    };
}

type Files<'a> = &'a [(&'a str, &'a [u8])];

const BASE: Files<'static> = embedded!("base": "Dockerfile", "inventory", "programs.txt", "slim.cfg");
const WORKBENCH: Files<'static> = embedded!("workbench": "Dockerfile", "programs.txt");

/// Takes the lines that a build prints.
pub type Progress<'a> = &'a mut (dyn FnMut(&str) + Send);

/// Why an image is not there.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The engine did not answer, or refused.
    #[error("{doing}: {source}")]
    Engine {
        /// What was asked of it.
        doing: String,
        /// What it said.
        source: bollard::errors::Error,
    },
    /// A step of the build failed.
    #[error("build image `{name}`: {why}")]
    Build {
        /// The image.
        name: String,
        /// What the engine or the step printed last.
        why: String,
    },
    /// The files of an image could not be packed.
    #[error("pack image `{name}`: {source}")]
    Pack {
        /// The image.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A program that is to be put into an image cannot be read.
    #[error("read `{path}`: {source} (build it with scripts/build-static)")]
    Program {
        /// Where it should be.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The images among `base` and `workbench` that are built and up to date.
pub async fn found(docker: &Docker) -> Result<Vec<Image>, ImageError> {
    let mut images = Vec::new();
    let base = Recipe::base();
    if let Some(image) = find(docker, &base).await? {
        let workbench = Recipe::workbench(&image);
        images.push(image);
        images.extend(find(docker, &workbench).await?);
    }
    Ok(images)
}

/// `base`, built when it is not there. Takes minutes, and the network of the engine.
pub async fn base(docker: &Docker, progress: Progress<'_>) -> Result<Image, ImageError> {
    find_or_build(docker, &Recipe::base(), progress).await
}

/// `workbench` on this `base`, likewise.
pub async fn workbench(docker: &Docker, base: &Image, progress: Progress<'_>) -> Result<Image, ImageError> {
    find_or_build(docker, &Recipe::workbench(base), progress).await
}

/// Both, built anew whether or not they are there: with the packages of today.
pub async fn anew(docker: &Docker, progress: Progress<'_>) -> Result<Vec<Image>, ImageError> {
    let base = build(docker, &Recipe::base(), Cache::Unused, progress).await?;
    let workbench = build(docker, &Recipe::workbench(&base), Cache::Unused, progress).await?;
    Ok(vec![base, workbench])
}

/// The image of the probe, which also fills [`init_volume`]: castoff-init alone.
pub async fn init(docker: &Docker, program: &[u8]) -> Result<Image, ImageError> {
    let dockerfile = format!("FROM scratch\nCOPY program {INIT_PATH}\n");
    find_or_build(docker, &Recipe::program("init", &dockerfile, program), &mut |_| {}).await
}

/// The image of keepers: castoff alone.
pub async fn keeper(docker: &Docker, program: &[u8]) -> Result<Image, ImageError> {
    let dockerfile = format!("FROM scratch\nCOPY program {KEEPER_PATH}\n");
    find_or_build(docker, &Recipe::program("keeper", &dockerfile, program), &mut |_| {}).await
}

/// A program beside this one: `dir` is the directory of `/proc/self/exe`.
pub fn program(dir: &Path, name: &str) -> Result<Vec<u8>, ImageError> {
    let path = dir.join(name);
    std::fs::read(&path).map_err(|source| ImageError::Program { path, source })
}

/// The volume with castoff-init for [`super::harden::Places::init_volume`]: named by the image,
/// filled by the engine as a container of it is created. That container is never started. Its labels
/// name the two images, so that no other runner takes them for old.
pub async fn init_volume(
    docker: &Docker,
    init: &Image,
    keeper: &Image,
    home_label: &str,
) -> Result<String, ImageError> {
    let id: String = init.id.trim_start_matches("sha256:").chars().take(12).collect();
    let home = Digest::of(home_label.as_bytes()).short();
    let name = format!("castoff-init-{home}-{id}");
    let labels = HashMap::from([(LABEL_HOME.to_owned(), home_label.to_owned())]);
    let mut marks = labels.clone();
    marks.extend([(LABEL_INIT.to_owned(), init.id.clone()), (LABEL_KEEPER.to_owned(), keeper.id.clone())]);
    let volume =
        VolumeCreateRequest { name: Some(name.clone()), labels: Some(marks), ..VolumeCreateRequest::default() };
    docker.create_volume(volume).await.map_err(engine(&format!("make the volume {name}")))?;
    let mount = Mount {
        typ: Some(MountType::VOLUME),
        source: Some(name.clone()),
        target: Some(INIT_DIR.to_owned()),
        ..Mount::default()
    };
    let body = ContainerCreateBody {
        image: Some(init.id.clone()),
        entrypoint: Some(vec![INIT_PATH.to_owned()]),
        network_disabled: Some(true),
        labels: Some(labels),
        host_config: Some(HostConfig { mounts: Some(vec![mount]), ..HostConfig::default() }),
        ..ContainerCreateBody::default()
    };
    let doing = format!("fill the volume {name}");
    let filler = docker.create_container(None, body).await.map_err(engine(&doing))?;
    let options = RemoveContainerOptionsBuilder::new().force(true).build();
    docker.remove_container(&filler.id, Some(options)).await.map_err(engine(&doing))?;
    Ok(name)
}

/// What an image is built from.
struct Recipe {
    name: &'static str,
    files: Vec<(String, Vec<u8>)>,
    /// Id of the image that it stands on.
    base: Option<String>,
}

impl Recipe {
    fn base() -> Self {
        Self { name: "base", files: owned(BASE), base: None }
    }

    fn workbench(base: &Image) -> Self {
        Self { name: "workbench", files: owned(WORKBENCH), base: Some(base.id.clone()) }
    }

    fn program(name: &'static str, dockerfile: &str, program: &[u8]) -> Self {
        Self { name, files: owned(&[("Dockerfile", dockerfile.as_bytes()), ("program", program)]), base: None }
    }

    /// The build context: the same bytes for the same files.
    fn context(&self) -> Result<Vec<u8>, ImageError> {
        let mut tar = tar::Builder::new(Vec::new());
        let packed = self.files.iter().try_for_each(|(name, bytes)| {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(if name == "program" { 0o755 } else { 0o644 });
            tar.append_data(&mut header, name, bytes.as_slice())
        });
        let pack = |source| ImageError::Pack { name: self.name.to_owned(), source };
        packed.map_err(pack)?;
        tar.into_inner().map_err(pack)
    }

    fn source(&self) -> Result<Digest, ImageError> {
        let mut bytes = self.context()?;
        bytes.extend_from_slice(self.base.as_deref().unwrap_or_default().as_bytes());
        Ok(Digest::of(&bytes))
    }
}

fn owned(files: Files<'_>) -> Vec<(String, Vec<u8>)> {
    files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect()
}

async fn find_or_build(docker: &Docker, recipe: &Recipe, progress: Progress<'_>) -> Result<Image, ImageError> {
    match find(docker, recipe).await? {
        Some(image) => Ok(image),
        None => build(docker, recipe, Cache::Used, progress).await,
    }
}

async fn find(docker: &Docker, recipe: &Recipe) -> Result<Option<Image>, ImageError> {
    let labels = vec![format!("{LABEL_IMAGE}={}", recipe.name), format!("{LABEL_SOURCE}={}", recipe.source()?)];
    // Not all: layers of `workbench` have the labels of `base`.
    let options = ListImagesOptionsBuilder::new().filters(&HashMap::from([("label", labels)])).build();
    let mut images = docker.list_images(Some(options)).await.map_err(engine("list the images"))?;
    // Two builds at once leave two: the newest is the tagged one.
    images.sort_by_key(|image| image.created);
    Ok(images.pop().map(|image| Image { name: recipe.name.to_owned(), id: image.id }))
}

/// Whether a build takes the results of earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cache {
    Used,
    Unused,
}

async fn build(docker: &Docker, recipe: &Recipe, cache: Cache, progress: Progress<'_>) -> Result<Image, ImageError> {
    let source = recipe.source()?;
    let labels = HashMap::from([
        (LABEL_IMAGE.to_owned(), recipe.name.to_owned()),
        (LABEL_SOURCE.to_owned(), source.to_string()),
    ]);
    let tag = format!("castoff-{}:{}", recipe.name, source.short());
    let arguments: HashMap<&str, &str> = recipe.base.iter().map(|id| ("BASE", id.as_str())).collect();
    let options = BuildImageOptionsBuilder::new()
        .dockerfile("Dockerfile")
        .version(BuilderVersion::BuilderV1)
        .t(&tag)
        .labels(&labels)
        .buildargs(&arguments)
        .nocache(cache == Cache::Unused)
        .rm(true)
        .forcerm(true)
        .build();
    let context = bollard::body_full(recipe.context()?.into());
    let mut lines = docker.build_image(options, None, Some(context));
    let mut last = String::new();
    while let Some(line) = lines.next().await {
        let failed = |why: String| ImageError::Build { name: recipe.name.to_owned(), why };
        let step = line.map_err(|error| failed(format!("{error}; the last line was: {last}")))?;
        if let Some(detail) = step.error_detail {
            let why = detail.message.unwrap_or_else(|| "it did not say why".to_owned());
            return Err(failed(format!("{why}; the last line was: {last}")));
        }
        let text = step.stream.or(step.status).unwrap_or_default();
        for text in text.lines().map(str::trim).filter(|text| !text.is_empty()) {
            progress(text);
            text.clone_into(&mut last);
        }
    }
    let missing = || ImageError::Build {
        name: recipe.name.to_owned(),
        why: "the engine said that it is built, but does not list it".to_owned(),
    };
    find(docker, recipe).await?.ok_or_else(missing)
}

fn engine(doing: &str) -> impl FnOnce(bollard::errors::Error) -> ImageError + use<> {
    let doing = doing.to_owned();
    |source| ImageError::Engine { doing, source }
}
