//! Requests about the policy in force and what people may do.

use axum::Json;
use axum::extract::{Path, State};

use super::runs::send;
use super::server::{Caller, Problem, owner_only, read};
use super::wire::{DiffRequest, PolicyView, RightsRequest, SuggestRequest};
use crate::domain::ids::RuleId;
use crate::domain::time::Timestamp;
use crate::engine::Event;
use crate::policy::Rights;
use crate::runtime::handle::Handle;
use crate::runtime::history::{self, Comparison, Suggestions};
use crate::runtime::{clock, rights};

/// The policy in force, with what was amended beside the files.
pub(super) async fn show(State(handle): State<Handle>, Caller(caller): Caller) -> Result<Json<PolicyView>, Problem> {
    owner_only(&caller, "sees the whole policy; `castoff policy show --user YOU` says what you may do")?;
    let policy = handle.view().policy;
    let (listing, mut learned) = (policy.listing(), policy.learned().to_vec());
    // Others' words are theirs.
    learned.iter_mut().filter(|rule| rule.person != caller.person).for_each(|rule| rule.commands.clear());
    let amendments = read(&handle, rights::amendments).await?;
    Ok(Json(PolicyView { in_force: true, listing, amendments, learned }))
}

/// Takes a learned rule back: by its id or its beginning.
pub(super) async fn revoke(
    State(handle): State<Handle>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<Json<RuleId>, Problem> {
    owner_only(&caller, "takes rules back")?;
    let policy = handle.view().policy;
    let mut found = policy.learned().iter().filter(|rule| rule.rule.as_str().starts_with(&id));
    let rule = match (found.next(), found.next()) {
        (Some(rule), None) => rule.rule.clone(),
        (Some(_), Some(_)) => return Err(Problem::new(66, format!("more than one learned rule begins with `{id}`"))),
        (None, _) => {
            let why = format!("there is no learned rule `{id}`\nhint: `castoff policy show` lists them");
            return Err(Problem::new(66, why));
        }
    };
    send(&handle, Event::RevokeAsked { rule: rule.clone(), by: caller }).await?;
    Ok(Json(rule))
}

/// What two policies make of the runs on record.
pub(super) async fn diff(
    State(handle): State<Handle>,
    Caller(caller): Caller,
    Json(DiffRequest { old, new, days }): Json<DiffRequest>,
) -> Result<Json<Comparison>, Problem> {
    owner_only(&caller, "compares policies over everybody's runs")?;
    let load = |texts| handle.policy_of(texts).map_err(|errors| Problem::new(78, errors.to_string()));
    let learned = handle.view().policy.learned().to_vec();
    let (old, new) = (load(&old)?.with_learned(learned.clone()), load(&new)?.with_learned(learned));
    let since = since(days);
    Ok(Json(read(&handle, move |store| history::compare(store, (&old, &new), since, &caller)).await?))
}

/// What the answers on record say of the rules that ask.
pub(super) async fn suggest(
    State(handle): State<Handle>,
    Caller(caller): Caller,
    Json(SuggestRequest { days }): Json<SuggestRequest>,
) -> Result<Json<Suggestions>, Problem> {
    owner_only(&caller, "sees what people's answers suggest")?;
    let policy = handle.view().policy;
    let since = since(days);
    Ok(Json(read(&handle, move |store| history::suggest(store, &policy, since, &caller)).await?))
}

/// So many days ago.
fn since(days: u32) -> Timestamp {
    Timestamp::from_ms(clock::now().as_ms().saturating_sub(u64::from(days).saturating_mul(24 * 60 * 60 * 1000)))
}

/// What a person may do: oneself, or for the owner anybody.
pub(super) async fn rights(
    State(handle): State<Handle>,
    Caller(caller): Caller,
    Json(RightsRequest { name }): Json<RightsRequest>,
) -> Result<Json<Rights>, Problem> {
    let found = rights::rights(&handle.view().policy, &caller, name.as_deref().unwrap_or_default());
    found.map(Json).map_err(|why| Problem::new(77, why))
}
