//! The presets, embedded: what `prepare` writes into a config directory at first start.

/// A preset: a name and its three files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// `default`, `strict`, `family` or `developer`.
    pub name: &'static str,
    /// Name and content of each file.
    pub files: [(&'static str, &'static str); 3],
}

macro_rules! preset {
    ($name:literal) => {
        Preset {
            name: $name,
            files: [
                ("tools.yaml", include_str!(concat!("../../policies/", $name, "/tools.yaml"))),
                ("users.yaml", include_str!(concat!("../../policies/", $name, "/users.yaml"))),
                ("limits.yaml", include_str!(concat!("../../policies/", $name, "/limits.yaml"))),
            ],
        }
    };
}

/// All presets, `default` first.
pub fn presets() -> &'static [Preset] {
    const PRESETS: [Preset; 4] = [preset!("default"), preset!("strict"), preset!("family"), preset!("developer")];
    &PRESETS
}
