//! Reads a text in the format of OpenMetrics 1.0 (the specification's section "Text format"), and refuses what is not quite that.
//!
//! Written from the specification's grammar and rules, not from Lode's writer: each family begins with its own lines of metadata, is in one
//! piece, and has the samples of its kind alone; each sample is there once; histograms add up; the text ends with `# EOF`.

use std::collections::{BTreeMap, BTreeSet};

/// A family: its kind, and its samples in order.
#[derive(Debug, Clone, Default)]
pub struct Family {
    /// `counter`, `gauge`, `histogram`, `info` …
    pub kind: String,
    /// Its unit, if it has one.
    pub unit: String,
    /// What it means.
    pub help: String,
    /// Its samples.
    pub samples: Vec<Sample>,
}

/// One number.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The whole name, as `x_total`.
    pub name: String,
    /// Labels by name.
    pub labels: BTreeMap<String, String>,
    /// The number.
    pub value: f64,
}

/// All families by name.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// By name.
    pub families: BTreeMap<String, Family>,
}

impl Figures {
    /// Reads a text.
    pub fn parse(text: &str) -> Result<Figures, String> {
        let body = text.strip_suffix("# EOF\n").ok_or("it does not end with # EOF")?;
        if !body.is_empty() && !body.ends_with('\n') {
            return Err("# EOF is not a line of its own".into());
        }
        let mut figures = Figures::default();
        let mut current: Option<(String, Family)> = None;
        for (number, line) in (1..).zip(body.split_terminator('\n')) {
            let fault = |what: &str| format!("line {number}: {what}: {line}");
            if let Some(metadata) = line.strip_prefix("# ") {
                let mut parts = metadata.splitn(3, ' ');
                let (Some(word), Some(name), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
                    return Err(fault("not a line of metadata"));
                };
                if !is_name(name) {
                    return Err(fault("not a name"));
                }
                if current.as_ref().is_none_or(|(known, _)| known != name) {
                    figures.close(current.take())?;
                    current = Some((name.to_string(), Family::default()));
                }
                let (_, family) = current.as_mut().ok_or_else(|| fault("no family"))?;
                if !family.samples.is_empty() {
                    return Err(fault("metadata behind samples"));
                }
                let place = match word {
                    "TYPE" => &mut family.kind,
                    "UNIT" => &mut family.unit,
                    "HELP" => &mut family.help,
                    _ => return Err(fault("unknown metadata")),
                };
                if !place.is_empty() {
                    return Err(fault("said twice"));
                }
                *place = rest.to_string();
                continue;
            }
            let sample = parse_sample(line).ok_or_else(|| fault("not a sample"))?;
            let Some((name, family)) = &mut current else { return Err(fault("a sample without a family")) };
            let suffix = sample.name.strip_prefix(name.as_str());
            let allowed: &[&str] = match family.kind.as_str() {
                "counter" => &["_total", "_created"],
                "gauge" | "unknown" => &[""],
                "histogram" => &["_bucket", "_count", "_sum", "_created"],
                "info" => &["_info"],
                _ => return Err(fault("an unknown kind")),
            };
            if !suffix.is_some_and(|suffix| allowed.contains(&suffix)) {
                return Err(fault("a sample of another family, or with another suffix"));
            }
            let is_count = family.kind != "gauge";
            if is_count && (sample.value < 0.0 || sample.value.is_nan()) {
                return Err(fault("a number that cannot be counted"));
            }
            family.samples.push(sample);
        }
        figures.close(current)?;
        Ok(figures)
    }

    fn close(&mut self, family: Option<(String, Family)>) -> Result<(), String> {
        let Some((name, family)) = family else { return Ok(()) };
        if family.kind.is_empty() || family.help.is_empty() {
            return Err(format!("{name} has no TYPE or no HELP"));
        }
        if !family.unit.is_empty() && !name.ends_with(&format!("_{}", family.unit)) {
            return Err(format!("{name} does not end with its unit {}", family.unit));
        }
        let mut seen = BTreeSet::new();
        for sample in &family.samples {
            if !seen.insert((sample.name.clone(), sample.labels.clone())) {
                return Err(format!("{} {:?} is there twice", sample.name, sample.labels));
            }
        }
        if family.kind == "histogram" {
            check_histogram(&name, &family)?;
        }
        match self.families.insert(name.clone(), family) {
            None => Ok(()),
            Some(_) => Err(format!("{name} is in two pieces")),
        }
    }

    /// The sum of all samples of this name that have these labels; 0 if there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let samples = self.families.values().flat_map(|family| &family.samples);
        let has = |sample: &&Sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(label, value)| sample.labels.get(*label).is_some_and(|known| known == value))
        };
        samples.filter(has).map(|sample| sample.value).sum()
    }

    /// The names of all samples.
    pub fn sample_names(&self) -> BTreeSet<&str> {
        self.families.values().flat_map(|family| &family.samples).map(|sample| sample.name.as_str()).collect()
    }
}

/// Buckets grow from bound to bound, the last is `+Inf` and has as many as `_count`.
fn check_histogram(name: &str, family: &Family) -> Result<(), String> {
    let mut by_labels: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
    let mut counts = BTreeMap::new();
    for sample in &family.samples {
        let mut labels = sample.labels.clone();
        match sample.name.strip_prefix(name) {
            Some("_bucket") => {
                let bound = labels.remove("le").ok_or(format!("{name} has a bucket without bound"))?;
                let bound = number(&bound).ok_or(format!("{name} has the bound {bound}"))?;
                by_labels.entry(labels).or_default().push((bound, sample.value));
            }
            Some("_count") => drop(counts.insert(labels, sample.value)),
            _ => {}
        }
    }
    for (labels, buckets) in by_labels {
        let rises = buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
        let last = buckets.last().filter(|last| last.0 == f64::INFINITY).map(|last| last.1);
        if !rises || last.is_none() || last != counts.get(&labels).copied() {
            return Err(format!("{name} {labels:?} does not add up: {buckets:?}"));
        }
    }
    Ok(())
}

fn parse_sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            if !is_label(label) || labels.insert(label.to_string(), value).is_some() {
                return None;
            }
            match after.split_at_checked(1)? {
                (",", more) => rest = more,
                ("}", more) => {
                    rest = more;
                    break;
                }
                _ => return None,
            }
        }
    }
    let value = number(rest.strip_prefix(' ')?)?;
    is_name(name).then(|| Sample { name: name.to_string(), labels, value })
}

/// A value up to its quote, unescaped, and what is behind.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match letters.next()?.1 {
                'n' => '\n',
                other @ ('"' | '\\') => other,
                _ => return None,
            }),
            other => value.push(other),
        }
    }
    None
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        _ if text.bytes().all(|octet| octet.is_ascii_digit() || b"+-.eE".contains(&octet)) => {
            text.parse().ok()
        }
        _ => None,
    }
}

fn is_name(text: &str) -> bool {
    let rest = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'_' || octet == b':';
    text.bytes().next().is_some_and(|first| rest(first) && !first.is_ascii_digit()) && text.bytes().all(rest)
}

fn is_label(text: &str) -> bool {
    is_name(text) && !text.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# TYPE a_seconds histogram\n# UNIT a_seconds seconds\n# HELP a_seconds Times.\n\
                        a_seconds_bucket{c=\"x\\\"\",le=\"0.5\"} 1\na_seconds_bucket{c=\"x\\\"\",le=\"+Inf\"} 3\n\
                        a_seconds_count{c=\"x\\\"\"} 3\na_seconds_sum{c=\"x\\\"\"} 1e1\n\
                        # TYPE b counter\n# HELP b Things.\nb_total 7\n# EOF\n";

    #[test]
    fn a_good_text_is_read() {
        let figures = Figures::parse(GOOD).expect("good");
        assert_eq!(figures.sum("a_seconds_sum", &[("c", "x\"")]), 10.0);
        assert_eq!(figures.sum("b_total", &[]), 7.0);
        assert_eq!(figures.families["a_seconds"].unit, "seconds");
    }

    #[test]
    fn each_fault_is_found() {
        for (from, to) in [
            ("# EOF\n", ""),
            ("# EOF\n", "# EOF"),
            ("b_total 7", "b 7"),
            ("b_total 7", "b_total -7"),
            ("b_total 7", "b_total seven"),
            ("b_total 7", "b_total  7"),
            ("b_total 7\n", "b_total 7\nb_total 7\n"),
            ("b_total 7", "b_total{} 7"),
            ("le=\"+Inf\"} 3", "le=\"+Inf\"} 2"),
            ("le=\"0.5\"} 1", "le=\"0.5\"} 4"),
            ("# UNIT a_seconds seconds", "# UNIT a_seconds hours"),
            ("# HELP b Things.\n", ""),
            ("# TYPE b counter\n", "# TYPE b counter\n# TYPE b counter\n"),
            ("# TYPE b counter", "# TYPE b meter"),
            ("b_total 7\n", "b_total 7\n\n"),
            ("b_total 7\n", "b_total 7\n# TYPE a_seconds gauge\n# HELP a_seconds Again.\na_seconds 1\n"),
        ] {
            let bad = GOOD.replacen(from, to, 1);
            assert_ne!(bad, GOOD);
            assert!(Figures::parse(&bad).is_err(), "{from:?} as {to:?}");
        }
    }
}
