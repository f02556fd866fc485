//! The files of `config/`, read and turned into a policy; and `installation.yaml`.
