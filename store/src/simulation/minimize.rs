//! Finds the few steps that a failure needs.

use std::path::Path;

use super::run::{Stop, run};
use super::step::Step;

/// Takes steps away, many at a time first, as long as the run fails, in any way. The shortest list that does, and how.
pub(super) fn shortest(
    seed: u64,
    mut steps: Vec<Step>,
    folder: &Path,
    most_runs: u32,
) -> Option<(Vec<Step>, Stop)> {
    let mut runs = 0;
    let mut fails = |steps: &[Step]| {
        runs += 1;
        if runs > most_runs { None } else { run(seed, steps, folder, None).1.err() }
    };
    let mut stop = fails(&steps)?;
    steps.truncate(stop.step + 1);
    let mut some = steps.len() / 2;
    while some > 0 {
        let mut start = 0;
        let mut shorter = false;
        while start < steps.len() {
            let end = (start + some).min(steps.len());
            let mut fewer = steps[..start].to_vec();
            fewer.extend_from_slice(&steps[end..]);
            match fails(&fewer) {
                Some(other) => {
                    fewer.truncate(other.step + 1);
                    (steps, stop, shorter) = (fewer, other, true);
                }
                None => start = end,
            }
        }
        if !shorter || some > 1 {
            some /= 2;
        }
    }
    Some((steps, stop))
}
