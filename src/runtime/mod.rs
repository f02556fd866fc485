//! Where the parts meet: the core loop, its workers, recovery, shutdown, the clock.
