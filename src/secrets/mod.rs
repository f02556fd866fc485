//! Keys, and the sealed envelope that every value with a person's words is kept in.
