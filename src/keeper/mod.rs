//! The keeper of one workspace: reads overlays, makes diffs, applies and takes back. The only part that touches people's files.
