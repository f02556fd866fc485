//! `castoff version`: what this program is, and what serves at the home, since when.

use std::path::Path;

use serde_json::json;

use super::manage::print;
use super::outcome::UNAVAILABLE;
use crate::control::client::{Client, Refused};
use crate::control::wire::Serving;
use crate::domain::time::Timestamp;
use crate::runtime::{COMMIT, clock};
use crate::store::SCHEMA;

/// Says it. Returns the exit code, 0 also when nothing serves.
///
/// # Errors
/// What broke, or why the core refused.
pub(super) async fn version(home: &Path, json: bool) -> anyhow::Result<u8> {
    let serving: Option<Serving> = match Client::connect(home).await {
        Ok(mut client) => Some(client.get("/version").await?),
        Err(error) if error.downcast_ref::<Refused>().is_some_and(|refused| refused.code == UNAVAILABLE) => None,
        Err(error) => return Err(error),
    };
    let version = env!("CARGO_PKG_VERSION");
    if json {
        let answer = json!({ "version": version, "commit": COMMIT, "store_form": SCHEMA, "serving": serving });
        print(&answer.to_string())?;
        return Ok(0);
    }
    print(&format!("castoff {version}, {}, store form {SCHEMA}", commit(COMMIT)))?;
    let Some(Serving { version, commit: built_from, started_at_ms, image, images, store_form }) = serving else {
        print(&format!("serving: nothing, at {}", home.display()))?;
        return Ok(0);
    };
    let since = Timestamp::from_ms(started_at_ms);
    let image = image.map_or_else(String::new, |image| format!(", image {image}"));
    print(&format!(
        "serving: {version}, {}, store form {store_form}{image}, since {since} ({})",
        commit(built_from.as_deref()),
        lasted(clock::now().ms_since(since))
    ))?;
    images.iter().try_for_each(|(name, id)| print(&format!("image of runs: {name} {id}")))?;
    Ok(0)
}

fn commit(commit: Option<&str>) -> String {
    commit.map_or_else(|| "of an unknown commit".to_owned(), |commit| format!("commit {commit}"))
}

/// A length of time in its two largest units.
fn lasted(ms: u64) -> String {
    let (seconds, minutes, hours, days) = (ms / 1000, ms / 60_000, ms / 3_600_000, ms / 86_400_000);
    if days > 0 {
        format!("{days} d {} h", hours % 24)
    } else if hours > 0 {
        format!("{hours} h {} min", minutes % 60)
    } else if minutes > 0 {
        format!("{minutes} min {} s", seconds % 60)
    } else {
        format!("{seconds} s")
    }
}

#[cfg(test)]
mod tests {
    use super::lasted;

    #[test]
    fn how_long_it_lasted_is_said_in_two_units() {
        let cases = [(999, "0 s"), (61_000, "1 min 1 s"), (3_600_000, "1 h 0 min"), (90_000_000, "1 d 1 h")];
        for (ms, text) in cases {
            assert_eq!(lasted(ms), text);
        }
    }
}
