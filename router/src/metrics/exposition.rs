//! Figures as text, in the format of OpenMetrics 1.0: families with their meaning, their samples behind them, `# EOF` at the end.

use shm_abi::{Family, HISTOGRAM_BOUNDS, HistogramInfo, Kind, Label, Scale};
use std::fmt::Write;

/// What the text is, for `Content-Type`.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A text that grows family by family.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    text: String,
}

impl Exposition {
    /// Begins a family; its samples must follow at once.
    pub(super) fn family(&mut self, family: &Family) {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.line(format_args!("# TYPE {} {kind}", family.name));
        if !family.unit.is_empty() {
            self.line(format_args!("# UNIT {} {}", family.name, family.unit));
        }
        self.line(format_args!("# HELP {} {}", family.name, escaped(family.help)));
    }

    /// A sample of a counter.
    pub(super) fn counter(&mut self, family: &Family, labels: &[Label], value: u64) {
        self.line(format_args!("{}_total{} {value}", family.name, Labels(labels, None)));
    }

    /// A sample of a gauge.
    pub(super) fn gauge(&mut self, family: &Family, labels: &[(&str, &str)], value: f64) {
        self.line(format_args!("{}{} {}", family.name, Labels(labels, None), Number(value)));
    }

    /// The samples of a histogram.
    pub(super) fn histogram(
        &mut self,
        family: &Family,
        labels: &[Label],
        scale: Scale,
        info: &HistogramInfo,
    ) {
        let (name, unit) = (family.name, unit_of(scale));
        let mut upto = 0;
        for (bound, count) in scale.bounds().iter().zip(info.buckets) {
            upto += count;
            let bound = Number(*bound as f64 / unit.0).to_string();
            self.line(format_args!("{name}_bucket{} {upto}", Labels(labels, Some(&bound))));
        }
        upto += info.buckets[HISTOGRAM_BOUNDS];
        self.line(format_args!("{name}_bucket{} {upto}", Labels(labels, Some("+Inf"))));
        self.line(format_args!("{name}_count{} {upto}", Labels(labels, None)));
        let sum = Number(info.sum as f64 / unit.1);
        self.line(format_args!("{name}_sum{} {sum}", Labels(labels, None)));
    }

    /// Facts that never change.
    pub(super) fn info(&mut self, name: &str, help: &str, labels: &[(&str, &str)]) {
        self.line(format_args!("# TYPE {name} info"));
        self.line(format_args!("# HELP {name} {}", escaped(help)));
        self.line(format_args!("{name}_info{} 1", Labels(labels, None)));
    }

    /// The whole text.
    pub(super) fn finish(mut self) -> String {
        self.text.push_str("# EOF\n");
        self.text
    }

    fn line(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing into a String does not fail.
        let _ = self.text.write_fmt(arguments);
        self.text.push('\n');
    }
}

/// What bounds and sums are to be divided by.
fn unit_of(scale: Scale) -> (f64, f64) {
    match scale {
        Scale::Time => (1e6, 1e9),
        Scale::Count => (1.0, 1.0),
    }
}

struct Labels<'a>(&'a [(&'a str, &'a str)], Option<&'a str>);

impl std::fmt::Display for Labels<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bound = self.1.map(|bound| ("le", bound));
        let mut separator = '{';
        for (name, value) in self.0.iter().copied().chain(bound) {
            write!(out, "{separator}{name}=\"{}\"", escaped(value))?;
            separator = ',';
        }
        if separator == ',' { out.write_char('}') } else { Ok(()) }
    }
}

/// A number with a point or an exponent where it is not whole, and `.0` where it is: so it is a float to every reader.
struct Number(f64);

impl std::fmt::Display for Number {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.fract() == 0.0 { write!(out, "{:.1}", self.0) } else { write!(out, "{}", self.0) }
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use shm_abi::HISTOGRAM_BUCKETS;

    #[test]
    fn families_are_written_as_openmetrics_wants_them() {
        let mut text = Exposition::default();
        let waits =
            Family { name: "waits_seconds", kind: Kind::Histogram, unit: "seconds", help: "How \"long\"." };
        text.family(&waits);
        let mut buckets = [0; HISTOGRAM_BUCKETS];
        (buckets[0], buckets[1], buckets[HISTOGRAM_BOUNDS]) = (2, 1, 1);
        text.histogram(
            &waits,
            &[("class", "a")],
            Scale::Time,
            &HistogramInfo { buckets, sum: 1_500_000_000 },
        );
        let done = Family { name: "done", kind: Kind::Counter, unit: "", help: "Done." };
        text.family(&done);
        text.counter(&done, &[], 7);
        text.info("build", "What runs.", &[("version", "1\\\"\n")]);
        let text = text.finish();
        for line in [
            "# TYPE waits_seconds histogram\n# UNIT waits_seconds seconds\n# HELP waits_seconds How \\\"long\\\".\n",
            "waits_seconds_bucket{class=\"a\",le=\"0.000016\"} 2\n",
            "waits_seconds_bucket{class=\"a\",le=\"0.000032\"} 3\n",
            "waits_seconds_bucket{class=\"a\",le=\"16.777216\"} 3\n",
            "waits_seconds_bucket{class=\"a\",le=\"+Inf\"} 4\n",
            "waits_seconds_count{class=\"a\"} 4\nwaits_seconds_sum{class=\"a\"} 1.5\n",
            "# TYPE done counter\n# HELP done Done.\ndone_total 7\n",
            "build_info{version=\"1\\\\\\\"\\n\"} 1\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(text.ends_with("\n# EOF\n"));
    }

    #[test]
    fn whole_numbers_are_floats_too() {
        assert_eq!(Number(3.0).to_string(), "3.0");
        assert_eq!(Number(0.25).to_string(), "0.25");
        assert_eq!(Number(1e15).to_string(), "1000000000000000.0");
    }
}
