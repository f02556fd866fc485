//! A plan in words: what an approver must see of it beside the script.

use super::{Access, Plan, Review};
use crate::domain::text::visible_line;

impl Plan {
    /// What an approver sees of a plan beside its task, as names (of ten letters at most) and values in one line each,
    /// without invisible characters; the digest, which binds the smaller limits too, last.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let shown = |path: &std::path::Path| visible_line(&path.to_string_lossy());
        let mut facts =
            vec![("directory", shown(&self.workdir)), ("image", format!("{} {}", self.image.name, self.image.id))];
        for mount in &self.mounts {
            let how = match mount.access {
                Access::Overlay => "copy-on-write",
                Access::Read => "read only",
                Access::Direct => "written directly: no review, no undo",
            };
            facts.push(("mount", format!("{} ({how})", shown(&mount.path))));
        }
        facts.extend(self.covers.iter().map(|cover| ("hidden", shown(&cover.path))));
        if let Some(input) = &self.stdin {
            facts.push(("input", format!("{} bytes, sha256 {}", input.bytes, input.digest)));
        }
        facts.push(("network", "none".to_owned()));
        facts.push(("limits", self.limits.to_string()));
        let review = match self.review {
            Review::Never => "none: changes land at once",
            Review::Risky if self.deletions => "of risky changes and of each deletion",
            Review::Risky => "of risky changes",
            Review::Changes => "of all changes",
        };
        facts.push(("review", review.to_owned()));
        let env = self.env.iter().map(|(name, value)| visible_line(&format!("{name}={value}")));
        facts.push(("env", env.collect::<Vec<_>>().join(" ")));
        facts.push(("digest", self.digest().to_string()));
        facts
    }
}
