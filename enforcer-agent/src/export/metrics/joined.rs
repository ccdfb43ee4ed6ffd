//! Metrics that other rooms write as OpenMetrics text, read back into families, so that they can be scoped to a tenant
//! and sent to collectors like the rest.

use std::borrow::Cow;

use super::family::Sample;
use super::{Family, Kind, Since, Value};

/// Series of one metric; what is beyond is counted, not shown.
pub(super) const SERIES_MAX: usize = 10_000;

/// The families of a text. Lines that make no sense are left out.
pub(super) fn families(text: &str) -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            families.extend(begin(rest));
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            let (Some(family), Some((name, help))) = (families.last_mut(), rest.split_once(' ')) else {
                continue;
            };
            if family.name == name {
                family.help = Cow::Owned(unescaped(help));
            }
        } else if let (Some(family), Some(sample)) = (families.last_mut(), sample(line)) {
            family.samples.push(sample);
        }
    }
    families
}

fn begin(declared: &str) -> Option<Family> {
    let (name, kind) = declared.split_once(' ')?;
    let kind = match kind {
        "counter" => Kind::Counter,
        "gauge" => Kind::Gauge,
        _ => return None,
    };
    let (name, help) = (Cow::Owned(name.to_owned()), Cow::Borrowed(""));
    Some(Family { name, help, kind, since: Since::Agent, samples: Vec::new() })
}

/// `name{label="value",...} number`; the name is its family's.
fn sample(line: &str) -> Option<Sample> {
    let (head, value) = line.rsplit_once(' ')?;
    let labels = match head.split_once('{') {
        None => Vec::new(),
        Some((_, labels)) => self::labels(labels.strip_suffix('}')?)?,
    };
    let value = match value.parse() {
        Ok(whole) => Value::Whole(whole),
        Err(_) => Value::Real(value.parse().ok()?),
    };
    (!head.starts_with('#')).then_some(Sample { labels, value })
}

fn labels(mut text: &str) -> Option<Vec<(Cow<'static, str>, String)>> {
    let mut labels = Vec::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"")?;
        let end = end_of_value(rest)?;
        let (value, after) = rest.split_at_checked(end)?;
        labels.push((Cow::Owned(name.to_owned()), unescaped(value)));
        text = after.strip_prefix('"')?;
        text = text.strip_prefix(',').unwrap_or(text);
    }
    Some(labels)
}

/// Where a value ends: at the first quotation mark that is not escaped.
fn end_of_value(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.char_indices().find_map(|(at, character)| {
        let is_end = character == '"' && !is_escaped;
        is_escaped = character == '\\' && !is_escaped;
        is_end.then_some(at)
    })
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, character == '\\') {
            (_, true) => match characters.next() {
                Some('n') => plain.push('\n'),
                Some(other) => plain.push(other),
                None => plain.push('\\'),
            },
            (other, false) => plain.push(other),
        }
    }
    plain
}

/// Cuts families down to their bound, and says what was cut off of which.
pub(super) fn bounded(families: &mut [Family]) -> Family {
    let help = "Series of a metric that were too many and are not shown.";
    let mut cut = Family::gauge("enforcer_metrics_series_cut", help);
    for family in families {
        if let Some(over) = family.samples.len().checked_sub(SERIES_MAX).filter(|over| *over > 0) {
            family.samples.truncate(SERIES_MAX);
            cut.push(&[("metric", &family.name)], u64::try_from(over).unwrap_or(u64::MAX));
        }
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::super::text::{Format, write};
    use super::*;

    #[test]
    fn what_was_written_is_read_back_as_it_was() {
        let text = "# HELP a An \\\"a\\\".\n# TYPE a counter\na_total{tenant=\"x\\\"},y\\\\\\n\",b=\"\"} 7\na_total 8\n\
                    # HELP g G.\n# TYPE g gauge\ng 0.25\n# EOF\n";
        let swapped = text.replace(
            "# HELP a An \\\"a\\\".\n# TYPE a counter\n",
            "# TYPE a counter\n# HELP a An \\\"a\\\".\n",
        );
        let swapped = swapped.replace("# HELP g G.\n# TYPE g gauge\n", "# TYPE g gauge\n# HELP g G.\n");
        let families = families(&swapped);
        assert_eq!(families.len(), 2);
        assert_eq!(families[0].samples[0].label("tenant"), Some("x\"},y\\\n"));
        assert_eq!(write(&families, Format::OpenMetrics), text);
    }

    #[test]
    fn nonsense_is_left_out() {
        for text in
            ["", "a 1\n", "# TYPE a\n", "# TYPE a gauge\na{b=\"c} 1\na{b} 1\na one\n# EOF\n", "{} {}\n\u{0}"]
        {
            assert!(families(text).iter().all(|family| family.samples.is_empty()), "{text:?}");
        }
    }

    #[test]
    fn a_metric_with_too_many_series_is_cut_and_says_so() {
        let mut many = Family::gauge("many", "Many.");
        (0..SERIES_MAX + 3).for_each(|n| many.push(&[("n", &n.to_string())], 1));
        let mut families = [many, Family::gauge("few", "Few.").with(&[], 1)];
        let cut = bounded(&mut families);
        assert_eq!(families[0].samples.len(), SERIES_MAX);
        assert_eq!((cut.samples.len(), cut.samples[0].value), (1, Value::Whole(3)));
        assert_eq!(cut.samples[0].label("metric"), Some("many"));
    }
}
