//! How often a person may do something: what came within the window, oldest first. Pure.

use std::collections::{BTreeMap, VecDeque};

use crate::domain::ids::PersonId;
use crate::domain::time::Timestamp;

/// Messages of one person a minute.
pub(super) const MESSAGES: Pace = Pace { most: 30, window_ms: 60 * 1000 };
/// Runs of one person an hour, those of their turns too.
pub(super) const RUNS: Pace = Pace { most: 500, window_ms: 60 * 60 * 1000 };

/// At most so many within a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) most: usize,
    window_ms: u64,
}

/// What people did lately; forgotten at a restart.
#[derive(Debug, Default)]
pub(super) struct Lately(BTreeMap<PersonId, VecDeque<Timestamp>>);

impl Lately {
    /// Counts one more at `now`; `false` when it is one too many, which is not counted.
    pub(super) fn may(&mut self, person: &PersonId, pace: Pace, now: Timestamp) -> bool {
        let times = self.0.entry(person.clone()).or_default();
        // A clock that jumped back must not lock anybody out.
        while times.front().is_some_and(|time| *time > now || now.ms_since(*time) >= pace.window_ms) {
            times.pop_front();
        }
        let fits = times.len() < pace.most;
        if fits {
            times.push_back(now);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_opens_again_and_people_do_not_share_it() {
        let (ann, bob) = (PersonId::owner(), PersonId::try_from("bob".to_owned()).unwrap());
        let pace = Pace { most: 2, window_ms: 1000 };
        let mut lately = Lately::default();
        let mut may = |person: &PersonId, ms| lately.may(person, pace, Timestamp::from_ms(ms));
        assert!(may(&ann, 5000) && may(&ann, 5500) && !may(&ann, 5900));
        assert!(may(&bob, 5900));
        assert!(may(&ann, 6000), "the first is a second ago");
        assert!(!may(&ann, 6100));
        assert!(may(&ann, 100), "the clock jumped back");
    }
}
