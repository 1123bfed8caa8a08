//! Writes metrics as text: OpenMetrics 1.0.0, or Prometheus's older text format 0.0.4. A pure writer: it knows the syntax, and
//! neither what is measured nor how the page travels.
//!
//! # Invariants
//! - The samples of a family follow its head, and no family has two heads: the caller's duty, checked in debug builds.
//! - OpenMetrics lets a counter's samples only end in `_total`. A counter with another name, which dashboards know, is there
//!   declared as of unknown type, so that samples have the same names in both formats.
//!
//! Source: <https://prometheus.io/docs/specs/om/open_metrics_spec/> and
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::fmt::{Display, Write};

/// Which of the two formats is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// Prometheus's text format 0.0.4.
    Text,
}

impl Format {
    /// The media type of a page.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// What the samples of a family are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until the server starts anew or its statistics are reset.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by upper bounds.
    Histogram,
    /// Labels with the value 1. The name of the sample ends in `_info`.
    Info,
}

/// A page being written.
#[derive(Debug)]
pub struct Page {
    format: Format,
    text: String,
    /// What was declared, to find a second head.
    #[cfg(debug_assertions)]
    families: std::collections::BTreeSet<String>,
}

const TO_STRING: &str = "a string takes any text";

impl Page {
    /// An empty page with room for so many bytes.
    pub fn new(format: Format, bytes: usize) -> Page {
        Page {
            format,
            text: String::with_capacity(bytes),
            #[cfg(debug_assertions)]
            families: Default::default(),
        }
    }

    /// Begins a family. `name` is that of its samples, and for a histogram what comes before `_bucket`. O(text).
    pub fn family(&mut self, name: &str, kind: Kind, help: impl Display) {
        let (family, kind) = match (self.format, kind) {
            (Format::OpenMetrics, Kind::Counter) => match name.strip_suffix("_total") {
                Some(family) => (family, "counter"),
                None => (name, "unknown"),
            },
            (Format::OpenMetrics, Kind::Info) => (name.strip_suffix("_info").unwrap_or(name), "info"),
            (Format::Text, Kind::Counter) => (name, "counter"),
            (Format::Text, Kind::Info) | (_, Kind::Gauge) => (name, "gauge"),
            (_, Kind::Histogram) => (name, "histogram"),
        };
        #[cfg(debug_assertions)]
        assert!(self.families.insert(family.to_owned()), "{family} has two heads");
        write!(self.text, "# HELP {family} {help}\n# TYPE {family} {kind}\n").expect(TO_STRING);
    }

    /// A sample of the family begun last. O(text).
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(name);
        self.labels(labels);
        writeln!(self.text, " {value}").expect(TO_STRING);
    }

    /// A histogram of the family begun last: upper bounds, ascending, each with the samples up to it; how many samples there are,
    /// and their sum. O(text).
    pub fn histogram<B: Display>(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        buckets: impl Iterator<Item = (B, u64)>,
        count: u64,
        sum: impl Display,
    ) {
        // OpenMetrics wants the point even in whole numbers.
        let bounds: Vec<(String, u64)> = buckets.map(|(bound, upto)| (bound.to_string(), upto)).collect();
        for (bound, upto) in &bounds {
            let point = if self.format == Format::OpenMetrics && !bound.contains('.') { ".0" } else { "" };
            self.bucket(name, labels, format_args!("{bound}{point}"), *upto);
        }
        self.bucket(name, labels, format_args!("+Inf"), count);
        for (suffix, value) in [("_sum", &sum as &dyn Display), ("_count", &count)] {
            self.text.push_str(name);
            self.text.push_str(suffix);
            self.labels(labels);
            writeln!(self.text, " {value}").expect(TO_STRING);
        }
    }

    fn bucket(&mut self, name: &str, labels: &[(&str, &str)], bound: impl Display, upto: u64) {
        self.text.push_str(name);
        self.text.push_str("_bucket{");
        for (label, value) in labels {
            self.label(label, value);
            self.text.push(',');
        }
        writeln!(self.text, "le=\"{bound}\"}} {upto}").expect(TO_STRING);
    }

    fn labels(&mut self, labels: &[(&str, &str)]) {
        let Some(((label, value), more)) = labels.split_first() else { return };
        self.text.push('{');
        self.label(label, value);
        for (label, value) in more {
            self.text.push(',');
            self.label(label, value);
        }
        self.text.push('}');
    }

    fn label(&mut self, label: &str, value: &str) {
        self.text.push_str(label);
        self.text.push_str("=\"");
        for c in value.chars() {
            match c {
                '\\' => self.text.push_str("\\\\"),
                '"' => self.text.push_str("\\\""),
                '\n' => self.text.push_str("\\n"),
                c => self.text.push(c),
            }
        }
        self.text.push('"');
    }

    /// The finished page.
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(format: Format) -> String {
        let mut page = Page::new(format, 0);
        page.family("calls_total", Kind::Counter, "Calls.");
        page.sample("calls_total", &[("cmd", "get"), ("odd", "a\"b\\c\nd")], 3);
        page.family("errors", Kind::Counter, "Errors.");
        page.sample("errors", &[], 1);
        page.family("it_info", Kind::Info, "It.");
        page.sample("it_info", &[("version", "1")], 1);
        page.family("took", Kind::Histogram, "Times.");
        page.histogram("took", &[("cmd", "get")], [(1.0, 2), (2.5, 3)].into_iter(), 4, 9.5);
        page.finish()
    }

    #[test]
    fn openmetrics_reads_as_its_specification_says() {
        let expected = "# HELP calls Calls.\n# TYPE calls counter\ncalls_total{cmd=\"get\",odd=\"a\\\"b\\\\c\\nd\"} 3\n\
            # HELP errors Errors.\n# TYPE errors unknown\nerrors 1\n# HELP it It.\n# TYPE it info\nit_info{version=\"1\"} 1\n\
            # HELP took Times.\n# TYPE took histogram\ntook_bucket{cmd=\"get\",le=\"1.0\"} 2\n\
            took_bucket{cmd=\"get\",le=\"2.5\"} 3\ntook_bucket{cmd=\"get\",le=\"+Inf\"} 4\ntook_sum{cmd=\"get\"} 9.5\n\
            took_count{cmd=\"get\"} 4\n# EOF\n";
        assert_eq!(page(Format::OpenMetrics), expected);
    }

    #[test]
    fn the_older_format_names_samples_and_has_no_end() {
        let expected = "# HELP calls_total Calls.\n# TYPE calls_total counter\ncalls_total{cmd=\"get\",odd=\"a\\\"b\\\\c\\nd\"} 3\n\
            # HELP errors Errors.\n# TYPE errors counter\nerrors 1\n# HELP it_info It.\n# TYPE it_info gauge\n\
            it_info{version=\"1\"} 1\n# HELP took Times.\n# TYPE took histogram\ntook_bucket{cmd=\"get\",le=\"1\"} 2\n\
            took_bucket{cmd=\"get\",le=\"2.5\"} 3\ntook_bucket{cmd=\"get\",le=\"+Inf\"} 4\ntook_sum{cmd=\"get\"} 9.5\n\
            took_count{cmd=\"get\"} 4\n";
        assert_eq!(page(Format::Text), expected);
    }
}
