//! Which sealed files have to go: those too old, then the oldest of what is too much. A decision, no deed.

use std::collections::BTreeMap;

use crate::chain::{Facts, RemovedWhy};
use crate::limits::Limits;

/// A file that has to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) tenant: String,
    pub(crate) facts: Facts,
    pub(crate) why: RemovedWhy,
}

/// What has to go, by the limits of each tenant and of all together. Files of a tenant come oldest first.
pub(crate) fn due(files: &BTreeMap<&str, Vec<Facts>>, limits: &Limits, now_ns: u64) -> Vec<Due> {
    let mut due = Vec::new();
    let mut kept = Vec::new();
    for (tenant, files) in files {
        let keep = limits.keep(tenant);
        let oldest_ns = now_ns.saturating_sub(keep.age_ns);
        let (young, old): (Vec<_>, Vec<_>) = files.iter().partition(|facts| facts.last_time_ns >= oldest_ns);
        due.extend(old.into_iter().map(|facts| of(tenant, facts, RemovedWhy::Age)));
        let mut over =
            young.iter().map(|facts| facts.bytes).fold(0, u64::saturating_add).saturating_sub(keep.bytes);
        for facts in young {
            if over > 0 {
                over = over.saturating_sub(facts.bytes);
                due.push(of(tenant, facts, RemovedWhy::Size));
            } else {
                kept.push((*tenant, facts));
            }
        }
    }
    kept.sort_by_key(|(_, facts)| facts.last_time_ns);
    let mut over = kept
        .iter()
        .map(|(_, facts)| facts.bytes)
        .fold(0, u64::saturating_add)
        .saturating_sub(limits.total_bytes);
    for (tenant, facts) in kept {
        if over == 0 {
            break;
        }
        over = over.saturating_sub(facts.bytes);
        due.push(of(tenant, facts, RemovedWhy::Size));
    }
    due
}

fn of(tenant: &str, facts: &Facts, why: RemovedWhy) -> Due {
    Due { tenant: tenant.to_owned(), facts: facts.clone(), why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Keep;

    fn file(number: u64, bytes: u64) -> Facts {
        Facts {
            path: format!("f{number}"),
            bytes,
            records: 1,
            first: number,
            last: number,
            first_time_ns: number,
            last_time_ns: number,
            segment: number,
        }
    }

    fn limits(age_ns: u64, bytes: u64, total_bytes: u64) -> Limits {
        Limits { keep: Keep { age_ns, bytes }, total_bytes, ..Limits::default() }
    }

    fn gone(files: &[(&'static str, Vec<Facts>)], limits: &Limits) -> Vec<(String, String, RemovedWhy)> {
        let files = files.iter().cloned().collect();
        due(&files, limits, 100).into_iter().map(|due| (due.tenant, due.facts.path, due.why)).collect()
    }

    fn row(tenant: &str, path: &str, why: RemovedWhy) -> (String, String, RemovedWhy) {
        (tenant.to_owned(), path.to_owned(), why)
    }

    #[test]
    fn nothing_goes_while_there_is_room() {
        assert_eq!(gone(&[("a", vec![file(90, 5), file(95, 5)])], &limits(50, 10, 10)), []);
    }

    #[test]
    fn the_old_go_and_then_the_oldest_of_what_is_too_much() {
        let files = [("a", vec![file(10, 5), file(90, 5), file(95, 5), file(99, 5)])];
        let expected = [row("a", "f10", RemovedWhy::Age), row("a", "f90", RemovedWhy::Size)];
        assert_eq!(gone(&files, &limits(50, 10, 100)), expected);
    }

    #[test]
    fn a_tenant_with_limits_of_its_own_is_held_to_those() {
        let mut limits = limits(50, 10, 100);
        limits.tenants.insert("b".to_owned(), Keep { age_ns: 1, bytes: 100 });
        let files = [("a", vec![file(90, 5)]), ("b", vec![file(90, 5)])];
        assert_eq!(gone(&files, &limits), [row("b", "f90", RemovedWhy::Age)]);
    }

    #[test]
    fn of_all_together_the_oldest_go_whosever_they_are() {
        let files = [("a", vec![file(80, 5), file(95, 5)]), ("b", vec![file(70, 5), file(90, 5)])];
        let expected = [row("b", "f70", RemovedWhy::Size), row("a", "f80", RemovedWhy::Size)];
        assert_eq!(gone(&files, &limits(50, 100, 12)), expected);
    }
}
