//! Requests about the policy in force and what people may do.

use axum::Json;
use axum::extract::State;

use super::server::{Caller, Problem, owner_only, read};
use super::wire::{PolicyView, RightsRequest};
use crate::policy::Rights;
use crate::runtime::handle::Handle;
use crate::runtime::rights;

/// The policy in force, with what was amended beside the files.
pub(super) async fn show(State(handle): State<Handle>, Caller(caller): Caller) -> Result<Json<PolicyView>, Problem> {
    owner_only(&caller, "sees the whole policy; `castoff policy show --user YOU` says what you may do")?;
    let listing = handle.view().policy.listing();
    let amendments = read(&handle, rights::amendments).await?;
    Ok(Json(PolicyView { in_force: true, listing, amendments }))
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
