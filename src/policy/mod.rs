//! The judge: facts from a script's syntax tree, and what the policy says of them. Pure: no file system, clock or network.
