//! The project's own checks: formatting, lints, arrows between crates, list of unsafe.

fn main() {}
