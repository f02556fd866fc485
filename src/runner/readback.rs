//! What was asked against what is there: the engine's own account of a container before it starts,
//! and castoff-init's account from inside before it is told anything of a person's.
//!
//! Older engines drop fields that they do not know without a word, so the first comparison is of
//! everything; and what the engine stored is an intention, so the second one counts.

mod confirm;

use std::collections::BTreeSet;

use bollard::models::{ContainerCreateBody, ContainerInspectResponse, SystemInfo};
use serde_json::{Map, Value};

use super::harden::Places;
use crate::domain::ids::Digest;
use crate::domain::plan::Plan;
use crate::domain::run::Enforced;
use crate::protocol::init::Ready;

/// Paths that must be hidden, whatever the engine's version.
const MASKED: &[&str] = &["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"];
/// Paths that must be read-only likewise.
const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Lists whose order means nothing.
const SETS: &[&str] = &["Ulimits", "Mounts", "CapDrop", "SecurityOpt"];

/// The differences between the container that was asked for and the one that the engine made, for
/// people. Empty: it may be started. The warnings of the creation are the caller's to refuse.
pub fn compare(asked: &ContainerCreateBody, got: &ContainerInspectResponse) -> Vec<String> {
    let mut differences = Vec::new();
    let mut asked_config = object(asked);
    let asked_host = asked_config.remove("HostConfig").unwrap_or_default();
    let mut got_config = object(&got.config);
    let got_host = object(&got.host_config);
    if got.image.as_ref() != asked.image.as_ref() {
        differences.push(format!("it is of image {:?}", got.image.as_deref().unwrap_or_default()));
    }
    merged_environment(&mut asked_config, &mut got_config, &mut differences);
    merged_labels(&mut asked_config, &mut got_config, &mut differences);
    // The image's; Castoff kills with SIGKILL, and asks through castoff-init.
    for of_the_image in ["StopSignal", "StopTimeout", "Shell"] {
        got_config.remove(of_the_image);
    }
    fields("", &asked_config, &got_config, &mut differences);
    host(asked_host.as_object().unwrap_or(&Map::new()), got_host, &mut differences);
    differences
}

/// What castoff-init found against what the plan asks for; `init_digest` is that of the file which
/// was put into the volume. The container's id in [`Enforced`] is left empty: the caller has it.
pub fn confirm(plan: &Plan, places: &Places, init_digest: &Digest, ready: &Ready) -> Result<Enforced, Vec<String>> {
    confirm::confirm(plan, places, init_digest, ready)
}

/// Walls that this engine does not have, for people: to be added to [`Enforced::missing`].
pub fn missing(info: &SystemInfo) -> Vec<String> {
    let options = info.security_options.as_deref().unwrap_or_default();
    let has = |name: &str| options.iter().any(|option| option.contains(name));
    let mut missing = Vec::new();
    if !has("name=apparmor") && !has("name=selinux") {
        missing.push("neither AppArmor nor SELinux confines containers on this host".to_owned());
    }
    if !has("name=rootless") && !has("name=userns") {
        missing
            .push("user ids in a run are the host's: the engine is neither rootless nor does it map them".to_owned());
    }
    missing
}

fn object(value: &impl serde::Serialize) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(object)) => object,
        Ok(_) | Err(_) => Map::new(),
    }
}

/// The image's variables are merged in. None of them may change how a program is loaded.
fn merged_environment(asked: &mut Map<String, Value>, got: &mut Map<String, Value>, differences: &mut Vec<String>) {
    let (asked, got) = (texts(asked.remove("Env")), texts(got.remove("Env")));
    for variable in asked.difference(&got) {
        differences.push(format!("Env lacks {variable}"));
    }
    for variable in got.difference(&asked) {
        if ["LD_", "GLIBC_", "GCONV_", "MALLOC_", "PATH="].iter().any(|start| variable.starts_with(start)) {
            differences.push(format!("Env has {variable}"));
        }
    }
}

/// The image's labels are merged in.
fn merged_labels(asked: &mut Map<String, Value>, got: &mut Map<String, Value>, differences: &mut Vec<String>) {
    let asked = asked.remove("Labels").unwrap_or_default();
    let got = got.remove("Labels").unwrap_or_default();
    for (name, value) in asked.as_object().into_iter().flatten() {
        if got.get(name) != Some(value) {
            differences.push(format!("label {name} is {}", got.get(name).unwrap_or(&Value::Null)));
        }
    }
}

fn texts(list: Option<Value>) -> BTreeSet<String> {
    let list = list.unwrap_or_default();
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn host(asked: &Map<String, Value>, mut got: Map<String, Value>, differences: &mut Vec<String>) {
    for (field, least) in [("MaskedPaths", MASKED), ("ReadonlyPaths", READ_ONLY)] {
        let paths = texts(got.remove(field));
        for path in least.iter().filter(|path| !paths.contains(**path)) {
            differences.push(format!("{field} lacks {path}"));
        }
    }
    // Filled in by the engine, and without effect in a container whose network is disabled.
    let network = got.remove("NetworkMode").unwrap_or_default();
    if !["", "default", "bridge", "none"].contains(&network.as_str().unwrap_or_default()) {
        differences.push(format!("NetworkMode is {network}"));
    }
    got.remove("ConsoleSize");
    if !asked.contains_key("Runtime") {
        // The engine's default, by its name.
        got.remove("Runtime");
    }
    fields("", asked, &got, differences);
}

/// Every field that was asked for is as asked; every other one is as good as absent.
fn fields(prefix: &str, asked: &Map<String, Value>, got: &Map<String, Value>, differences: &mut Vec<String>) {
    let names: BTreeSet<&String> = asked.keys().chain(got.keys()).collect();
    for name in names {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let wanted = asked.get(name).unwrap_or(&Value::Null);
        let found = got.get(name).unwrap_or(&Value::Null);
        if SETS.contains(&name.as_str()) {
            values(&path, &sorted(wanted), &sorted(found), differences);
        } else {
            values(&path, wanted, found, differences);
        }
    }
}

fn values(path: &str, asked: &Value, got: &Value, differences: &mut Vec<String>) {
    match (asked, got) {
        (Value::Object(asked), Value::Object(got)) => fields(path, asked, got, differences),
        (Value::Array(asked), Value::Array(got)) if asked.len() == got.len() => {
            for (index, (asked, got)) in asked.iter().zip(got).enumerate() {
                values(&format!("{path}.{index}"), asked, got, differences);
            }
        }
        _ if asked == got || (is_empty(asked) && is_empty(got)) => {}
        _ => differences.push(format!("{path} is {} and not {}", short(got), short(asked))),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
    }
}

fn sorted(value: &Value) -> Value {
    let mut list = value.as_array().cloned().unwrap_or_default();
    let key = |item: &Value| {
        let named = item.get("Target").or_else(|| item.get("Name"));
        named.unwrap_or(item).to_string()
    };
    list.sort_by_key(key);
    Value::Array(list)
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(120).collect()
}

#[cfg(test)]
mod tests;
