//! Gives back the space of what nobody needs any more, while the store is in use: `FORMAT.md`, "Giving space back", has the order of the
//! steps and the argument for it.
//!
//! - `gate`: who may destroy, and when
//! - `walk`: which mailboxes there are
//! - `release`, `recount`, `free`, `buckets`: the steps
//! - `pass`: all of them, one small piece after the other
//! - `background`: what a handler does by itself
//! - `report`: what is asked and told

pub(crate) mod background;
mod buckets;
mod free;
pub(crate) mod gate;
mod pass;
mod recount;
mod release;
mod report;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod walk;

use std::sync::Arc;

use crate::error::Result;
use crate::store::Store;

pub(crate) use gate::Gate;
pub use pass::Collector;
pub(crate) use pass::check_syncs;
pub use report::{GcOptions, GcProgress, GcReport, GcStep};

impl Store {
    /// Gives back the space of what nobody needs: a whole pass, in the caller's thread. `progress` is told after each piece.
    ///
    /// Errors: `Busy` if another process is at it, `Failed` after a failed sync. What was done until an error stays done.
    pub fn gc(
        self: &Arc<Self>,
        options: GcOptions,
        progress: &mut dyn FnMut(GcProgress),
    ) -> Result<GcReport> {
        let only_looks = options.dry_run;
        let mut collector = self.collector(options)?;
        while let Some(now) = collector.step()? {
            progress(now);
        }
        if !only_looks {
            self.note_pass()?;
        }
        Ok(collector.report().clone())
    }

    /// A pass to be done piece by piece.
    ///
    /// Errors: as [`Store::gc`].
    pub fn collector(self: &Arc<Self>, options: GcOptions) -> Result<Collector<'_>> {
        Collector::begin(self, options)
    }
}
