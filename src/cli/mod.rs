//! The command line: arguments to requests, answers to text or JSON, outcomes to exit codes.

pub mod policy;
