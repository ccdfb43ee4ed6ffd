//! How rooms that show records are given them: in a caller's scope, from a start.

use std::sync::Arc;

use enforcer_core::event::redact::redact;
use enforcer_proto::v1;
use tokio_stream::StreamExt as _;

use crate::door::records::{Held, Holding, Records, Scope, Start, Subscribe};
use crate::forensics::Forensics;

/// Records within a scope.
pub(crate) fn subscribe(forensics: &Forensics) -> Subscribe {
    let forensics = forensics.clone();
    Arc::new(move |scope, start, follow| {
        let (last, after) = match start {
            Start::Oldest => (None, None),
            Start::Newest => (Some(0), None),
            Start::After(sequence) => (None, Some(sequence)),
        };
        let request = v1::ObserveRequest { follow, last, after, ..v1::ObserveRequest::default() };
        match forensics.observe(&request) {
            Ok(records) => scoped(records, scope),
            // A request without a word in it has none that means nothing.
            Err(_) => Box::pin(tokio_stream::empty()),
        }
    })
}

fn scoped(records: impl tokio_stream::Stream<Item = v1::Record> + Send + 'static, scope: Scope) -> Records {
    match scope {
        Scope::Everything => Box::pin(records),
        Scope::Tenant(tenant) => Box::pin(records.filter_map(move |record| redact(&record, &tenant))),
    }
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
