//! How the core is stopped: new work is refused, what is under way drains, the rest is cut. A second
//! signal ends the waiting.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::engine::{Event, Stopping};
use crate::runtime::handle::{Handle, View};

/// How long what is under way may take to end by itself.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(15);
/// How long runs that are cut may take to end.
const CUT_TIME_MAX: Duration = Duration::from_secs(10);
/// How long the last posts may take to be shown.
const SAY_TIME_MAX: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(20);

/// Returns when nothing is under way any more, or its time is over.
pub async fn drain(handle: &Handle) {
    handle.close();
    tracing::info!("stopping: what is under way has {} s to end", DRAIN_TIME_MAX.as_secs());
    if !handle.send(Event::StopBegun { time: DRAIN_TIME_MAX }).await {
        return;
    }
    if !until(handle, DRAIN_TIME_MAX, |view| view.stopping != Stopping::No && view.under_way == 0).await {
        tracing::warn!("stopping: {} runs and turns are cut", handle.view().under_way);
        handle.send(Event::Cut).await;
        if !until(handle, CUT_TIME_MAX, |view| view.stopping == Stopping::Cut && view.runs_under_way == 0).await {
            tracing::warn!("stopping: runs did not end in time; the next start finds out what became of them");
        }
    }
    if !until(handle, SAY_TIME_MAX, |view| view.unsaid == 0).await {
        tracing::warn!("stopping: not everything could be said; the next start does");
    }
}

async fn until(handle: &Handle, most: Duration, holds: impl Fn(&View) -> bool) -> bool {
    let looks = async {
        while !holds(&handle.view()) {
            sleep(LOOK).await;
        }
    };
    timeout(most, looks).await.is_ok()
}
