//! What no other tool checks. Each check returns all its faults, as `file: what`.

mod arrows;
mod leftovers;
mod locks;
mod scripts;
mod seam;
mod unsafe_list;

/// Runs all checks and prints every fault.
pub(crate) fn run() -> Result<(), String> {
    let checks = [
        arrows::check(),
        unsafe_list::check(),
        leftovers::check(),
        locks::check(),
        scripts::check(),
        seam::check(),
    ];
    let mut faults = Vec::new();
    for check in checks {
        faults.extend(check?);
    }
    for fault in &faults {
        println!("tidy: {fault}");
    }
    if faults.is_empty() { Ok(()) } else { Err(format!("{} faults", faults.len())) }
}
