//! `lode check`: reads every structure of a store, compares them with each other, and says exactly where something is wrong.
//!
//! Invariants:
//! - A check changes nothing and stops nobody. What it finds wrong without a lock is looked at again under the lock of
//!   whoever may be changing it, and is reported only if it is wrong then, too.
//! - Data is read in the order in which it lies, and memory does not grow with the store but for a bounded list of faults.
//!
//! `report` is what is found.

mod report;

pub use report::{
    Affected, CheckOptions, CheckProgress, CheckReport, Checked, Fault, FaultKind, Mend, Severity,
};
