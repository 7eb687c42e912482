//! What is counted and measured: one row for each handler row, and one for the router itself.
//!
//! A row of measurements belongs to the handler's *row*, not to the process in it: it is never set back, so that the sums over
//! all rows only grow, whatever handlers come and go. Gauges say how things are and are cleared with the process.
//!
//! Everything is one relaxed atomic addition. What is added, what it is called outside, and what that means stands in
//! `metrics/names.rs`, once.

mod names;
#[cfg(test)]
mod tests;

pub use self::names::{FAMILIES, Family, Gauge, Histogram, Kind, Label, Tally};

use crate::layout::MetricsShared;
use crate::table::{Table, TableView};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Bounds of each histogram; what is above the last is counted, too.
pub const HISTOGRAM_BOUNDS: usize = 21;
/// Counts of each histogram: one for each bound, and one for what is above the last.
pub const HISTOGRAM_BUCKETS: usize = HISTOGRAM_BOUNDS + 1;
/// The lowest bound of a histogram of times, in microseconds. Each further bound is twice the one before.
const LOWEST_TIME_MICROSECONDS: u64 = 16;
const LOWEST_TIME_NS: u64 = LOWEST_TIME_MICROSECONDS * 1000;

/// What the values of a histogram are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Times: bounds from 16 µs to 16.8 s.
    Time,
    /// Numbers of things: bounds from 1 to 1,048,576.
    Count,
}

impl Scale {
    /// The upper bounds, each of which belongs to its bucket: microseconds, or numbers.
    pub fn bounds(self) -> [u64; HISTOGRAM_BOUNDS] {
        let lowest = match self {
            Scale::Time => LOWEST_TIME_MICROSECONDS,
            Scale::Count => 1,
        };
        std::array::from_fn(|at| lowest << at)
    }

    /// The bucket of a value: nanoseconds, or a number.
    fn bucket(self, value: u64) -> usize {
        let units = match self {
            Scale::Time => value.div_ceil(LOWEST_TIME_NS),
            Scale::Count => value,
        };
        let doublings = u64::BITS - units.saturating_sub(1).leading_zeros();
        (doublings as usize).min(HISTOGRAM_BOUNDS)
    }
}

/// What a histogram says, copied, or the sum of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistogramInfo {
    /// Values in each bucket; the last has what is above all bounds.
    pub buckets: [u64; HISTOGRAM_BUCKETS],
    /// All values together: nanoseconds, or a number.
    pub sum: u64,
}

impl HistogramInfo {
    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, bucket| sum.wrapping_add(*bucket))
    }
}

/// Access to one row of measurements.
#[derive(Clone, Copy)]
pub struct Metrics<'a> {
    shared: &'a MetricsShared,
}

impl<'a> Metrics<'a> {
    pub(crate) fn new(shared: &'a MetricsShared) -> Metrics<'a> {
        Metrics { shared }
    }

    /// Counts one.
    pub fn count(&self, tally: Tally) {
        self.add(tally, 1);
    }

    /// Counts some.
    pub fn add(&self, tally: Tally, by: u64) {
        self.shared.tallies[tally as usize].fetch_add(by, Ordering::Relaxed);
    }

    /// Says how things are now.
    pub fn set(&self, gauge: Gauge, value: u64) {
        self.shared.gauges[gauge as usize].store(value, Ordering::Relaxed);
    }

    /// Raises a gauge to `value`, if it is lower.
    pub fn raise(&self, gauge: Gauge, value: u64) {
        self.shared.gauges[gauge as usize].fetch_max(value, Ordering::Relaxed);
    }

    /// Adds a value to a histogram: nanoseconds, or a number, as its scale says.
    pub fn observe(&self, histogram: Histogram, value: u64) {
        let shared = &self.shared.histograms[histogram as usize];
        let bucket = names::scale(histogram).bucket(value);
        shared.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        shared.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Adds a time to a histogram of times.
    pub fn observe_time(&self, histogram: Histogram, took: Duration) {
        debug_assert_eq!(names::scale(histogram), Scale::Time);
        self.observe(histogram, u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// What is counted up to here.
    pub fn tally(&self, tally: Tally) -> u64 {
        self.shared.tallies[tally as usize].load(Ordering::Relaxed)
    }

    /// How things are.
    pub fn gauge(&self, gauge: Gauge) -> u64 {
        self.shared.gauges[gauge as usize].load(Ordering::Relaxed)
    }

    /// A histogram, copied.
    pub fn histogram(&self, histogram: Histogram) -> HistogramInfo {
        let shared = &self.shared.histograms[histogram as usize];
        HistogramInfo {
            buckets: std::array::from_fn(|at| shared.buckets[at].load(Ordering::Relaxed)),
            sum: shared.sum.load(Ordering::Relaxed),
        }
    }

    /// The process is gone, and how things were with it.
    pub(crate) fn clear_gauges(&self) {
        for gauge in &self.shared.gauges {
            gauge.store(0, Ordering::Relaxed);
        }
    }
}

impl Table {
    /// The measurements of a handler row.
    pub fn metrics(&self, handler: u32) -> Metrics<'_> {
        assert!(handler < self.limits().handlers, "handler {handler}");
        Metrics::new(self.metrics_shared(handler))
    }

    /// The measurements of the router itself.
    pub fn router_metrics(&self) -> Metrics<'_> {
        Metrics::new(self.metrics_shared(self.limits().handlers))
    }
}

impl TableView {
    /// What was counted in all rows together.
    pub fn total(&self, tally: Tally) -> u64 {
        self.metrics_rows().fold(0, |sum, row| sum.wrapping_add(row.tally(tally)))
    }

    /// The gauge of all rows together.
    pub fn gauge_sum(&self, gauge: Gauge) -> u64 {
        self.metrics_rows().fold(0, |sum, row| sum.wrapping_add(row.gauge(gauge)))
    }

    /// The highest of a gauge in all rows.
    pub fn gauge_most(&self, gauge: Gauge) -> u64 {
        self.metrics_rows().map(|row| row.gauge(gauge)).max().unwrap_or(0)
    }

    /// A gauge of the handler that has looked at the store last; 0 if none has.
    pub fn latest_store_gauge(&self, gauge: Gauge) -> u64 {
        let latest = self.metrics_rows().max_by_key(|row| row.gauge(Gauge::StoreMeasured));
        latest.map_or(0, |row| row.gauge(gauge))
    }

    /// A histogram over all rows.
    pub fn histogram_total(&self, histogram: Histogram) -> HistogramInfo {
        let mut total = HistogramInfo { buckets: [0; HISTOGRAM_BUCKETS], sum: 0 };
        for row in self.metrics_rows() {
            let info = row.histogram(histogram);
            total.sum = total.sum.wrapping_add(info.sum);
            for (sum, count) in total.buckets.iter_mut().zip(info.buckets) {
                *sum = sum.wrapping_add(count);
            }
        }
        total
    }

    fn metrics_rows(&self) -> impl Iterator<Item = Metrics<'_>> {
        (0..=self.limits().handlers).map(|row| Metrics::new(self.metrics_shared(row)))
    }
}
