//! Patterns of node names: `k8s*`, `cluster/node-*`, `cluster/`. A star stands for anything but the slash between cluster
//! and node; without a cluster the node may be in any.

use std::fmt;

/// Characters of a pattern, at most: as many as two DNS names have.
const LENGTH_MAX: usize = 512;

/// Patterns of a cluster and a node; `None` is anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    cluster: Option<String>,
    node: Option<String>,
}

/// Not a pattern.
#[derive(Debug)]
pub(super) struct NoPattern(&'static str);

impl fmt::Display for NoPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, NoPattern> {
        if text.is_empty() || text.len() > LENGTH_MAX {
            return Err(NoPattern("is no pattern of a node's name: empty, or too long"));
        }
        let some = |text: &str| (!text.is_empty()).then(|| text.to_ascii_lowercase());
        match text.split_once('/') {
            None => Ok(Self { cluster: None, node: some(text) }),
            Some((_, node)) if node.contains('/') => {
                Err(NoPattern("is no pattern of a node's name: it has more than one slash"))
            }
            Some((cluster, node)) => Ok(Self { cluster: some(cluster), node: some(node) }),
        }
    }

    /// A name without a cluster is in the default one.
    pub(super) fn matches(&self, name: &str) -> bool {
        if name.is_empty() {
            return false;
        }
        let (cluster, node) = name.split_once('/').unwrap_or(("default", name));
        let is = |pattern: &Option<String>, text: &str| {
            pattern.as_deref().is_none_or(|pattern| glob(pattern.as_bytes(), text.as_bytes()))
        };
        is(&self.cluster, cluster) && is(&self.node, node)
    }
}

/// Goes back to the last star only, so that no pattern takes longer than its length times the name's.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at + 1, seen));
                at += 1;
            }
            Some(byte) if text.get(seen) == Some(byte) => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((behind, from)) = star else { return false };
                star = Some((behind, from + 1));
                (at, seen) = (behind, from + 1);
            }
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(pattern: &str, name: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(name)
    }

    #[test]
    fn stars_stop_at_the_slash() {
        assert!(is("n1", "n1") && is("n1", "prod/n1") && is("N1", "n1"));
        assert!(is("k8s*", "k8s-7") && is("*.domain.com", "a.b.domain.com") && is("*", "prod/n1"));
        assert!(!is("n1", "n10") && !is("n*1", "n2") && !is("p*1", "prod/n1"));
        assert!(is("a*b*c", "a-b-b-c") && !is("a*b*c", "a-c-b"));
    }

    #[test]
    fn a_cluster_alone_is_all_of_it() {
        assert!(is("prod/", "prod/n1") && is("prod/n*", "prod/n1") && is("/n1", "prod/n1"));
        assert!(is("default/n1", "n1") && !is("default/n1", "prod/n1") && !is("prod/", "n1"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", "a/b/c", &"*".repeat(513)] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
        assert!(!is(&"*a".repeat(200), &"a".repeat(100)));
    }
}
