//! Kubernetes' label selectors: `key`, `!key`, `key=value`, `key!=value`, `key in (a, b)`, `key notin (a, b)`, several of them
//! with commas between. A key may begin with its source and a colon, as in `reserved:host`.

use enforcer_proto::hubble::flow::{Endpoint, Flow};

use super::{Clause, Place, Refusal};

type End = fn(&Flow) -> Option<&Endpoint>;

/// The source that stands for all.
const ANY: &str = "any";

pub(super) fn source(place: &Place<'_>, values: &[String]) -> Result<Clause, Refusal> {
    labels(place, values, |flow| flow.source.as_ref())
}

pub(super) fn destination(place: &Place<'_>, values: &[String]) -> Result<Clause, Refusal> {
    labels(place, values, |flow| flow.destination.as_ref())
}

fn labels(place: &Place<'_>, values: &[String], end: End) -> Result<Clause, Refusal> {
    let mut wanted = Vec::with_capacity(values.len());
    for (at, value) in values.iter().enumerate() {
        let selector = selector(value);
        wanted.push(selector.ok_or_else(|| place.refuse(at, format!("{value:?} is no label selector")))?);
    }
    Ok(Box::new(move |flow| {
        let held = end(flow).map_or(&[][..], |end| end.labels.as_slice());
        wanted.iter().any(|selector| selector.iter().all(|one| one.holds(held)))
    }))
}

/// What a selector asks of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    /// `None`: from any source.
    source: Option<String>,
    key: String,
    /// Empty: that the key is there, whatever its value.
    values: Vec<String>,
    is_negated: bool,
}

impl Requirement {
    fn holds(&self, labels: &[String]) -> bool {
        labels.iter().any(|label| self.is(label)) != self.is_negated
    }

    fn is(&self, label: &str) -> bool {
        let (key, value) = label.split_once('=').unwrap_or((label, ""));
        let (source, key) = match key.split_once(':') {
            Some((source, key)) => (Some(source), key),
            None => (None, key),
        };
        key == self.key
            && (self.source.is_none() || self.source.as_deref() == source)
            && (self.values.is_empty() || self.values.iter().any(|wanted| wanted == value))
    }
}

fn selector(text: &str) -> Option<Vec<Requirement>> {
    parts(text)?.into_iter().map(requirement).collect()
}

/// Between the commas that are in no parentheses.
fn parts(text: &str) -> Option<Vec<&str>> {
    let (mut parts, mut from, mut is_inside) = (Vec::new(), 0, false);
    for (at, character) in text.char_indices() {
        match character {
            '(' if is_inside => return None,
            ')' if !is_inside => return None,
            '(' => is_inside = true,
            ')' => is_inside = false,
            ',' if !is_inside => {
                parts.push(text.get(from..at)?.trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(from..)?.trim());
    (!is_inside).then_some(parts)
}

fn requirement(text: &str) -> Option<Requirement> {
    if let Some(key) = text.strip_prefix('!') {
        return of(key, Vec::new(), true);
    }
    if let Some((key, values)) = set(text, " notin ") {
        return of(key, values?, true);
    }
    if let Some((key, values)) = set(text, " in ") {
        return of(key, values?, false);
    }
    if let Some((key, value)) = text.split_once("!=") {
        return of(key, vec![word(value)?], true);
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return of(key, vec![word(value)?], false);
    }
    of(text, Vec::new(), false)
}

fn set<'a>(text: &'a str, between: &str) -> Option<(&'a str, Option<Vec<String>>)> {
    let (key, values) = text.split_once(between)?;
    let inner = values.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    Some((key, inner.and_then(|inner| inner.split(',').map(word).collect())))
}

fn of(key: &str, values: Vec<String>, is_negated: bool) -> Option<Requirement> {
    let (source, key) = match key.trim().split_once(':') {
        Some((source, key)) => (Some(source), key),
        None => (None, key.trim()),
    };
    let is_key = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/'))
    };
    (is_key(key) && source.is_none_or(is_key)).then(|| Requirement {
        source: source.filter(|source| *source != ANY).map(str::to_owned),
        key: key.to_owned(),
        values,
        is_negated,
    })
}

fn word(text: &str) -> Option<String> {
    let text = text.trim();
    let is_word = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    is_word.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str, labels: &[&str]) -> bool {
        let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        selector(text).unwrap_or_else(|| panic!("{text}")).iter().all(|one| one.holds(&labels))
    }

    #[test]
    fn every_form_of_a_selector_is_understood() {
        let red = &["tenant=red"][..];
        for text in [
            "tenant",
            "tenant=red",
            "tenant==red",
            "tenant = red",
            "any:tenant=red",
            "tenant!=blue",
            "!app",
            "app!=x",
            "tenant in (blue, red)",
            "tenant notin (blue,green)",
            "tenant in (red),!app",
        ] {
            assert!(holds(text, red), "{text}");
        }
        for text in [
            "tenant=blue",
            "!tenant",
            "app",
            "k8s:tenant=red",
            "tenant notin (red)",
            "tenant=red,app",
            "tenant in (blue)",
        ] {
            assert!(!holds(text, red), "{text}");
        }
    }

    #[test]
    fn a_reserved_label_is_a_source_and_a_key() {
        assert!(holds("reserved:host", &["reserved:host"]));
        assert!(holds("host", &["reserved:host"]));
        assert!(!holds("reserved:world", &["reserved:host"]));
        assert!(!holds("k8s:host", &["reserved:host"]));
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for text in ["", ",", "=x", "a=b c", "a in b", "a in (b", "a in ((b))", "!", "a:b:c", "ä=b", "a)"] {
            assert_eq!(selector(text), None, "{text}");
        }
    }
}
