//! Gives back the space of what nobody needs any more, while the store is in use: `FORMAT.md`, "Giving space back", has the order of the
//! steps and the argument for it.
//!
//! - `gate`: who may destroy, and when
//! - `report`: what is asked and told

pub(crate) mod gate;
mod report;

pub use report::{GcOptions, GcProgress, GcReport, GcStep};
