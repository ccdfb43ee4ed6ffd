//! How rooms that show records are given them: in a caller's scope, from a start.

use std::sync::Arc;

use crate::door::records::{Held, Holding, Subscribe};
use crate::forensics::Forensics;

/// Records within a scope.
pub(crate) fn subscribe(forensics: &Forensics) -> Subscribe {
    let forensics = forensics.clone();
    Arc::new(move |scope, start, follow| forensics.subscribe(scope, start, follow))
}

/// How many flows are held.
pub(crate) fn holding(forensics: &Forensics, capacity: usize) -> Holding {
    let forensics = forensics.clone();
    let capacity = u64::try_from(capacity).unwrap_or(u64::MAX);
    Arc::new(move || {
        let totals = forensics.totals();
        let has_pushed_out = totals.evicted != 0 || totals.evicted_samples != 0;
        Held { capacity, flows_ever: totals.flows, has_pushed_out }
    })
}
