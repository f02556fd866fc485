//! The core's state and every decision about it. Pure: events in, records and effects out.
