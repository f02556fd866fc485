//! Where a test may end the keeper as a crash would, or do something to it. Outside tests, nothing happens here.

use super::KeeperError;

/// How many moments pass before it, and what is done then.
#[cfg(test)]
type Deed = (u64, Box<dyn FnOnce()>);

#[cfg(test)]
thread_local! {
    static LEFT: std::cell::Cell<Option<u64>> = const { std::cell::Cell::new(None) };
    static DEED: std::cell::RefCell<Option<Deed>> = const { std::cell::RefCell::new(None) };
}

/// A moment at which the process may die.
#[cfg(not(test))]
pub(super) fn point() -> Result<(), KeeperError> {
    Ok(())
}

/// Whether the process died: then nothing more may be done.
#[cfg(not(test))]
pub(super) fn happened() -> bool {
    false
}

#[cfg(test)]
pub(super) fn point() -> Result<(), KeeperError> {
    DEED.with(|deed| match deed.take() {
        Some((0, act)) => act(),
        later => drop(deed.replace(later.map(|(points, act)| (points - 1, act)))),
    });
    LEFT.with(|left| match left.get() {
        Some(0) => Err(KeeperError::Cut),
        Some(more) => {
            left.set(Some(more - 1));
            Ok(())
        }
        None => Ok(()),
    })
}

#[cfg(test)]
pub(super) fn happened() -> bool {
    LEFT.with(|left| left.get() == Some(0))
}

/// Lets `points` moments pass and dies at the next; `None` for never.
#[cfg(test)]
pub(super) fn after(points: Option<u64>) {
    LEFT.with(|left| left.set(points));
}

/// Lets `points` moments pass and acts at the next.
#[cfg(test)]
pub(super) fn act_after(points: u64, act: impl FnOnce() + 'static) {
    DEED.with(|deed| deed.replace(Some((points, Box::new(act)))));
}

/// Whether the deed was done.
#[cfg(test)]
pub(super) fn acted() -> bool {
    DEED.with(|deed| deed.take().is_none())
}
