//! Runs the sessions of one worker process.

fn main() {}
