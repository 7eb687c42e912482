//! Buckets, names, and sums that outlive processes.

use super::*;
use crate::layout::{GAUGES, HISTOGRAMS, TALLIES};
use crate::table::Limits;
use std::collections::HashSet;

#[test]
fn each_bound_belongs_to_its_bucket_and_what_is_above_to_the_next() {
    for (at, bound) in Scale::Time.bounds().into_iter().enumerate() {
        assert_eq!(Scale::Time.bucket(bound * 1000), at);
        assert_eq!(Scale::Time.bucket(bound * 1000 + 1), at + 1);
    }
    for (at, bound) in Scale::Count.bounds().into_iter().enumerate() {
        assert_eq!(Scale::Count.bucket(bound), at);
        assert_eq!(Scale::Count.bucket(bound + 1), at + 1);
    }
    assert_eq!(Scale::Count.bucket(0), 0);
    assert_eq!(Scale::Time.bucket(u64::MAX), HISTOGRAM_BOUNDS);
}

#[test]
fn everything_listed_has_room_a_family_and_labels_of_its_own() {
    assert!(Tally::ALL.len() <= TALLIES);
    assert!(Gauge::ALL.len() <= GAUGES);
    assert!(Histogram::ALL.len() <= HISTOGRAMS);
    let tallies = Tally::ALL.iter().map(|tally| (tally.family(), tally.labels(), Kind::Counter));
    let gauges = Gauge::ALL.iter().map(|gauge| (gauge.family(), gauge.labels(), Kind::Gauge));
    let histograms = Histogram::ALL.iter().map(|one| (one.family(), one.labels(), Kind::Histogram));
    let mut seen = HashSet::new();
    let mut used = HashSet::new();
    for (family, labels, kind) in tallies.chain(gauges).chain(histograms) {
        let found = FAMILIES.iter().find(|known| known.name == family).expect(family);
        assert_eq!(found.kind, kind, "{family}");
        assert!(found.unit.is_empty() || family.ends_with(found.unit), "{family}");
        assert!(!family.ends_with("_total"), "{family}");
        assert!(seen.insert((family, labels)), "{family} {labels:?} is there twice");
        used.insert(family);
    }
    for family in FAMILIES {
        assert!(used.contains(family.name), "nothing is counted as {}", family.name);
    }
}

#[test]
fn totals_do_not_fall_when_a_handler_ends() {
    let name = format!("/lode-test-metrics-{}", std::process::id());
    let table = Table::create(&name, Limits { handlers: 2, sessions: 3 }, 1, 1).unwrap();
    table.begin_handler(1, 5).unwrap();
    table.metrics(1).add(Tally::Kicked, 3);
    table.metrics(1).set(Gauge::RunQueue, 7);
    table.metrics(1).observe_time(Histogram::Sync, Duration::from_micros(17));
    table.handler(1).count(crate::Counter::Commands, 5);
    table.router_metrics().count(Tally::Kicked);
    table.clear_handler(1);
    table.begin_handler(1, 6).unwrap();
    table.metrics(1).observe_time(Histogram::Sync, Duration::from_secs(100));
    table.handler(1).count(crate::Counter::Commands, 1);
    assert_eq!(table.total(Tally::Kicked), 4);
    assert_eq!(table.gauge_sum(Gauge::RunQueue), 0);
    let syncs = table.histogram_total(Histogram::Sync);
    assert_eq!((syncs.count(), syncs.sum), (2, 100_000_017_000));
    assert_eq!((syncs.buckets[1], syncs.buckets[HISTOGRAM_BOUNDS]), (1, 1));
    assert_eq!(table.counter_total(crate::Counter::Commands), 6);
    assert_eq!(table.handlers()[0].counters[crate::Counter::Commands as usize], 1);
}
