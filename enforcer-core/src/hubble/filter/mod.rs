//! Which flows a client asked for. A flow passes when no filter of the blacklist matches and the whitelist is empty or one
//! of its filters matches; within a filter every field that is set must agree, and of a field's values one.
//!
//! What cannot be compared is refused with its path, never ignored: an ignored filter shows more than was asked for.

mod address;
mod label;
mod name;
mod number;
mod pattern;

use std::fmt;

use enforcer_proto::hubble::flow::{Flow, FlowFilter};

use super::refusal::Refusal;

/// Filters of one list, at most.
const FILTERS_MAX: usize = 256;

/// One field of a filter.
type Clause = Box<dyn Fn(&Flow) -> bool + Send + Sync>;

/// Both lists.
#[derive(Debug, Default)]
pub struct Filters {
    whitelist: Vec<Filter>,
    blacklist: Vec<Filter>,
}

impl Filters {
    /// From a request's lists.
    ///
    /// # Errors
    /// The first field that cannot be compared, or value that means nothing.
    pub fn parse(whitelist: &[FlowFilter], blacklist: &[FlowFilter]) -> Result<Self, Refusal> {
        Ok(Self { whitelist: list("whitelist", whitelist)?, blacklist: list("blacklist", blacklist)? })
    }

    /// True for a flow to show.
    #[must_use]
    pub fn passes(&self, flow: &Flow) -> bool {
        let is_wanted = self.whitelist.is_empty() || self.whitelist.iter().any(|filter| filter.matches(flow));
        is_wanted && !self.blacklist.iter().any(|filter| filter.matches(flow))
    }
}

/// A filter: the fields that are set. Without any it matches every flow.
struct Filter(Vec<Clause>);

impl Filter {
    fn matches(&self, flow: &Flow) -> bool {
        self.0.iter().all(|clause| clause(flow))
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter({} fields)", self.0.len())
    }
}

fn list(name: &str, filters: &[FlowFilter]) -> Result<Vec<Filter>, Refusal> {
    if filters.len() > FILTERS_MAX {
        let problem = format!("holds {} filters, and at most {FILTERS_MAX} are looked at", filters.len());
        return Err(Refusal::new(name, problem));
    }
    filters.iter().enumerate().map(|(place, filter)| parse(&format!("{name}[{place}]"), filter)).collect()
}

/// Where values come from, for their refusals.
struct Place<'a> {
    filter: &'a str,
    field: &'static str,
}

impl Place<'_> {
    fn refuse(&self, value: usize, problem: impl fmt::Display) -> Refusal {
        Refusal::new(format!("{}.{}[{value}]", self.filter, self.field), problem)
    }
}

/// Collects the clauses of the fields that are set.
struct Builder<'a> {
    path: &'a str,
    clauses: Vec<Clause>,
}

impl Builder<'_> {
    /// A field that is compared when it has values.
    fn compare<V>(
        &mut self,
        field: &'static str,
        values: &[V],
        parse: impl FnOnce(&Place<'_>, &[V]) -> Result<Clause, Refusal>,
    ) -> Result<(), Refusal> {
        if !values.is_empty() {
            self.clauses.push(parse(&Place { filter: self.path, field }, values)?);
        }
        Ok(())
    }

    /// A field that must not be set.
    fn refuse(&self, field: &str, is_set: bool) -> Result<(), Refusal> {
        if is_set { Err(Refusal::unsupported(format!("{}.{field}", self.path))) } else { Ok(()) }
    }
}

/// Every field is named, so that a new one is decided upon and not ignored by accident.
fn parse(path: &str, filter: &FlowFilter) -> Result<Filter, Refusal> {
    let FlowFilter {
        source_ip,
        source_pod,
        destination_ip,
        destination_pod,
        verdict,
        event_type,
        source_fqdn,
        destination_fqdn,
        http_status_code,
        source_label,
        destination_label,
        protocol,
        source_port,
        destination_port,
        reply,
        source_service,
        destination_service,
        dns_query,
        source_identity,
        destination_identity,
        http_method,
        http_path,
        tcp_flags,
        node_name,
        ip_version,
        source_workload,
        destination_workload,
        trace_id,
        uuid,
        traffic_direction,
        http_url,
        http_header,
        drop_reason_desc,
        source_ip_xlated,
        interface,
        node_labels,
        source_cluster_name,
        destination_cluster_name,
        ip_trace_id,
        encrypted,
        experimental,
    } = filter;
    let mut build = Builder { path, clauses: Vec::new() };
    build.refuse("source_fqdn", !source_fqdn.is_empty())?;
    build.refuse("destination_fqdn", !destination_fqdn.is_empty())?;
    build.refuse("http_status_code", !http_status_code.is_empty())?;
    build.refuse("source_service", !source_service.is_empty())?;
    build.refuse("destination_service", !destination_service.is_empty())?;
    build.refuse("dns_query", !dns_query.is_empty())?;
    build.refuse("http_method", !http_method.is_empty())?;
    build.refuse("http_path", !http_path.is_empty())?;
    build.refuse("http_url", !http_url.is_empty())?;
    build.refuse("http_header", !http_header.is_empty())?;
    build.refuse("source_ip_xlated", !source_ip_xlated.is_empty())?;
    build.refuse("interface", !interface.is_empty())?;
    build.refuse("node_labels", !node_labels.is_empty())?;
    build.refuse("ip_trace_id", !ip_trace_id.is_empty())?;
    let has_expression = experimental.as_ref().is_some_and(|it| !it.cel_expression.is_empty());
    build.refuse("experimental.cel_expression", has_expression)?;

    build.compare("source_ip", source_ip, address::source)?;
    build.compare("destination_ip", destination_ip, address::destination)?;
    build.compare("ip_version", ip_version, address::versions)?;
    build.compare("source_port", source_port, address::source_ports)?;
    build.compare("destination_port", destination_port, address::destination_ports)?;
    build.compare("source_pod", source_pod, name::source_pods)?;
    build.compare("destination_pod", destination_pod, name::destination_pods)?;
    build.compare("source_workload", source_workload, name::source_workloads)?;
    build.compare("destination_workload", destination_workload, name::destination_workloads)?;
    build.compare("source_cluster_name", source_cluster_name, name::source_clusters)?;
    build.compare("destination_cluster_name", destination_cluster_name, name::destination_clusters)?;
    build.compare("node_name", node_name, name::nodes)?;
    build.compare("uuid", uuid, name::uuids)?;
    build.compare("trace_id", trace_id, name::traces)?;
    build.compare("source_label", source_label, label::source)?;
    build.compare("destination_label", destination_label, label::destination)?;
    build.compare("verdict", verdict, number::verdicts)?;
    build.compare("drop_reason_desc", drop_reason_desc, number::drop_reasons)?;
    build.compare("traffic_direction", traffic_direction, number::directions)?;
    build.compare("event_type", event_type, number::event_types)?;
    build.compare("protocol", protocol, number::protocols)?;
    build.compare("tcp_flags", tcp_flags, number::tcp_flags)?;
    build.compare("reply", reply, number::replies)?;
    build.compare("encrypted", encrypted, number::encrypted)?;
    build.compare("source_identity", source_identity, number::source_identities)?;
    build.compare("destination_identity", destination_identity, number::destination_identities)?;
    Ok(Filter(build.clauses))
}

#[cfg(test)]
mod tests;
