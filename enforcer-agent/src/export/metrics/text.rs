//! The two formats: Prometheus' text format 0.0.4, and OpenMetrics 1.0.0; and which of them a scraper wants.

use std::fmt::{self, Write as _};

use super::{Family, Kind, Value};

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Prometheus,
    OpenMetrics,
}

impl Format {
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// What an `Accept` header asks for most (RFC 9110 section 12.5.1). Whoever asks for neither gets the older format,
    /// as from every client library.
    pub(super) fn wanted(accept: &str) -> Self {
        let mut best = (Self::Prometheus, 0.0);
        for range in accept.split(',') {
            let mut parameters = range.split(';').map(str::trim);
            let format = match parameters.next().map(str::to_ascii_lowercase).as_deref() {
                Some("application/openmetrics-text") => Self::OpenMetrics,
                Some("text/plain" | "text/*" | "*/*") => Self::Prometheus,
                Some(_) | None => continue,
            };
            let (mut quality, mut is_known) = (1.0_f64, true);
            for parameter in parameters {
                match parameter
                    .split_once('=')
                    .map(|(name, value)| (name.trim(), value.trim().trim_matches('"')))
                {
                    Some(("q", value)) => quality = value.parse().unwrap_or(0.0),
                    Some(("version", version)) => is_known = format.has_version(version),
                    Some(_) | None => {}
                }
            }
            if is_known && quality > best.1 {
                best = (format, quality);
            }
        }
        best.0
    }

    fn has_version(self, version: &str) -> bool {
        match self {
            Self::Prometheus => version == "0.0.4",
            Self::OpenMetrics => matches!(version, "1.0.0" | "0.0.1"),
        }
    }
}

/// Every family, in a format.
pub(super) fn write(families: &[Family], format: Format) -> String {
    let mut text = String::new();
    for family in families.iter().filter(|family| !family.samples.is_empty()) {
        // A String takes whatever is written to it.
        let _infallible = write_family(&mut text, family, format);
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

fn write_family(text: &mut String, family: &Family, format: Format) -> fmt::Result {
    let Family { name, help, kind, since: _, samples } = family;
    let suffix = match kind {
        Kind::Counter => "_total",
        Kind::Gauge => "",
        Kind::Info => "_info",
    };
    // OpenMetrics names the family, the older format the samples.
    let (named, word) = match (format, kind) {
        (Format::OpenMetrics, Kind::Counter) => ("", "counter"),
        (Format::OpenMetrics, Kind::Info) => ("", "info"),
        (Format::Prometheus, Kind::Counter) => (suffix, "counter"),
        (Format::Prometheus, Kind::Info) => (suffix, "gauge"),
        (Format::OpenMetrics | Format::Prometheus, Kind::Gauge) => ("", "gauge"),
    };
    let quotes = format == Format::OpenMetrics;
    writeln!(text, "# HELP {name}{named} {}", Escaped { text: help, quotes })?;
    writeln!(text, "# TYPE {name}{named} {word}")?;
    for sample in samples {
        write!(text, "{name}{suffix}")?;
        for (index, (label, value)) in sample.labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            write!(text, "{before}{label}=\"{}\"", Escaped { text: value, quotes: true })?;
        }
        let after = if sample.labels.is_empty() { "" } else { "}" };
        writeln!(text, "{after} {}", sample.value)?;
    }
    Ok(())
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(value) => value.fmt(f),
            Self::Real(value) => value.fmt(f),
        }
    }
}

/// Backslash, line feed and, where the format wants it, the quotation mark.
struct Escaped<'a> {
    text: &'a str,
    quotes: bool,
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.text.chars() {
            match character {
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '"' if self.quotes => f.write_str("\\\"")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_that_is_asked_for_most_is_given() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;\
                            q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                            text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for open in [
            prometheus_2,
            prometheus_3,
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; version=\"1.0.0\"",
        ] {
            assert_eq!(Format::wanted(open), Format::OpenMetrics, "{open}");
        }
        for plain in [
            "",
            "*/*",
            "text/plain",
            "application/json",
            "application/openmetrics-text;version=2.0.0",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=nonsense",
            "text/plain;q=0.9,application/openmetrics-text;q=0.1",
        ] {
            assert_eq!(Format::wanted(plain), Format::Prometheus, "{plain}");
        }
    }

    #[test]
    fn each_format_has_its_own_names_and_escapes() {
        let families = [
            Family::counter("a", "says \"no\"\\\nwell").with(&[("l", "q\"b\\n\nx")], u64::MAX),
            Family::info("build", "b").with(&[("version", "1")], 1),
            Family::gauge("g", "g").with_real(0.5),
            Family::gauge("empty", "nothing"),
        ];
        let open = "# HELP a says \\\"no\\\"\\\\\\nwell\n# TYPE a counter\na_total{l=\"q\\\"b\\\\n\\nx\"} 18446744073709551615\n\
                    # HELP build b\n# TYPE build info\nbuild_info{version=\"1\"} 1\n# HELP g g\n# TYPE g gauge\ng 0.5\n# EOF\n";
        assert_eq!(write(&families, Format::OpenMetrics), open);
        let plain = "# HELP a_total says \"no\"\\\\\\nwell\n# TYPE a_total counter\na_total{l=\"q\\\"b\\\\n\\nx\"} \
                     18446744073709551615\n# HELP build_info b\n# TYPE build_info gauge\nbuild_info{version=\"1\"} 1\n\
                     # HELP g g\n# TYPE g gauge\ng 0.5\n";
        assert_eq!(write(&families, Format::Prometheus), plain);
    }
}
