//! How much the programs tell, and the responses that hold in them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use enforcer_common::response::{MODE_DENY_NEW, MODE_LIMIT};
use enforcer_common::telling::{
    AGGREGATION_CONNECTIONS, AGGREGATION_NONE, AGGREGATION_STATES, ResponseValue, TaskLayout,
};
use enforcer_core::enforce::{Aggregation, EnforceError, Response, ResponseMode};
use nix::time::{ClockId, clock_gettime};

use super::error::kernel;
use super::tables::Tables;

/// Tells the programs where a task keeps what; answers why they cannot know, where that is so.
pub(super) fn settle_layout(
    tables: &mut Tables,
    tasks: Result<TaskLayout, String>,
) -> Result<Option<String>, EnforceError> {
    let (layout, lacking) = match tasks {
        Ok(layout) => (layout, None),
        Err(reason) => (TaskLayout::default(), Some(reason)),
    };
    tables.layout.set(0, layout, 0).map_err(kernel("write", "LAYOUT"))?;
    Ok(lacking)
}

/// Puts a response in the place of a tenant's earlier one, or takes it out.
pub(super) fn set_response(
    tables: &mut Tables,
    tenant: u32,
    response: Option<&Response>,
) -> Result<(), EnforceError> {
    let Some(response) = response else {
        if tables.responses.get(&tenant, 0).is_ok() {
            tables.responses.remove(&tenant).map_err(kernel("delete from", "RESPONSES"))?;
        }
        return Ok(());
    };
    let (mode, rate) = match response.mode {
        ResponseMode::DenyNew => (MODE_DENY_NEW, 0),
        ResponseMode::Limit { flows_per_second } => (MODE_LIMIT, flows_per_second.get()),
    };
    let value = ResponseValue { until_ns: after(response.lasts)?, mode, rate };
    tables.responses.insert(tenant, value, 0).map_err(kernel("write", "RESPONSES"))
}

/// The time on the hooks' clock when so much has passed.
fn after(lasts: Duration) -> Result<u64, EnforceError> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_err(kernel("read", "the monotonic clock"))?;
    let until = Duration::from(now).saturating_add(lasts);
    Ok(u64::try_from(until.as_nanos()).unwrap_or(u64::MAX))
}

/// Makes the table of aggregations what is wanted, and nothing else.
pub(super) fn set_aggregation(
    tables: &mut Tables,
    wanted: &BTreeMap<u32, Aggregation>,
) -> Result<(), EnforceError> {
    let held = tables.aggregation.keys().collect::<Result<BTreeSet<u32>, _>>();
    let held = held.map_err(kernel("read", "AGGREGATION"))?;
    for tenant in held.iter().filter(|tenant| !wanted.contains_key(tenant)) {
        tables.aggregation.remove(tenant).map_err(kernel("delete from", "AGGREGATION"))?;
    }
    for (tenant, aggregation) in wanted {
        let level = match aggregation {
            Aggregation::None => AGGREGATION_NONE,
            Aggregation::Connections => AGGREGATION_CONNECTIONS,
            Aggregation::States => AGGREGATION_STATES,
        };
        tables.aggregation.insert(tenant, level, 0).map_err(kernel("write", "AGGREGATION"))?;
    }
    Ok(())
}
