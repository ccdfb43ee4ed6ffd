//! Names: pods, workloads, clusters, nodes, identifiers.

use enforcer_proto::hubble::flow::{Endpoint, Flow, Workload};

use super::pattern::Pattern;
use super::{Clause, Place, Refusal};

type End = fn(&Flow) -> Option<&Endpoint>;

const SOURCE: End = |flow| flow.source.as_ref();
const DESTINATION: End = |flow| flow.destination.as_ref();

pub(super) fn source_pods(place: &Place<'_>, values: &[String]) -> Result<Clause, Refusal> {
    pods(place, values, SOURCE)
}

pub(super) fn destination_pods(place: &Place<'_>, values: &[String]) -> Result<Clause, Refusal> {
    pods(place, values, DESTINATION)
}

/// `namespace/prefix`: without a namespace in any, without a prefix every one that has a namespace.
fn pods(place: &Place<'_>, values: &[String], end: End) -> Result<Clause, Refusal> {
    let mut wanted = Vec::with_capacity(values.len());
    for (at, value) in values.iter().enumerate() {
        if value.is_empty() {
            return Err(place.refuse(at, "is empty; a name is [namespace/][prefix of a pod's name]"));
        }
        let (namespace, prefix) = value.split_once('/').unwrap_or(("", value));
        wanted.push((namespace.to_owned(), prefix.to_owned()));
    }
    Ok(Box::new(move |flow| {
        let Some(end) = end(flow) else { return false };
        let has_name = !end.namespace.is_empty() || !end.pod_name.is_empty();
        has_name
            && wanted.iter().any(|(namespace, prefix)| {
                (namespace.is_empty() || *namespace == end.namespace) && end.pod_name.starts_with(prefix)
            })
    }))
}

pub(super) fn source_workloads(place: &Place<'_>, values: &[Workload]) -> Result<Clause, Refusal> {
    workloads(place, values, SOURCE)
}

pub(super) fn destination_workloads(place: &Place<'_>, values: &[Workload]) -> Result<Clause, Refusal> {
    workloads(place, values, DESTINATION)
}

fn workloads(place: &Place<'_>, values: &[Workload], end: End) -> Result<Clause, Refusal> {
    if let Some(at) = values.iter().position(|value| value.name.is_empty() && value.kind.is_empty()) {
        return Err(place.refuse(at, "names neither a workload nor a kind"));
    }
    let wanted = values.to_vec();
    let is = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
    Ok(Box::new(move |flow| {
        let found = end(flow).map_or(&[][..], |end| end.workloads.as_slice());
        found
            .iter()
            .any(|one| wanted.iter().any(|wish| is(&wish.name, &one.name) && is(&wish.kind, &one.kind)))
    }))
}

pub(super) fn source_clusters(place: &Place<'_>, values: &[String]) -> Result<Clause, Refusal> {
    clusters(place, values, SOURCE)
}

pub(super) fn destination_clusters(place: &Place<'_>, values: &[String]) -> Result<Clause, Refusal> {
    clusters(place, values, DESTINATION)
}

fn clusters(place: &Place<'_>, values: &[String], end: End) -> Result<Clause, Refusal> {
    let wanted = texts(place, values)?;
    Ok(Box::new(move |flow| end(flow).is_some_and(|end| wanted.contains(&end.cluster_name))))
}

pub(super) fn nodes(place: &Place<'_>, values: &[String]) -> Result<Clause, Refusal> {
    let mut wanted = Vec::with_capacity(values.len());
    for (at, value) in values.iter().enumerate() {
        wanted.push(Pattern::parse(value).map_err(|problem| place.refuse(at, problem))?);
    }
    Ok(Box::new(move |flow| wanted.iter().any(|pattern| pattern.matches(&flow.node_name))))
}

pub(super) fn uuids(place: &Place<'_>, values: &[String]) -> Result<Clause, Refusal> {
    let wanted = texts(place, values)?;
    Ok(Box::new(move |flow| wanted.iter().any(|uuid| uuid.eq_ignore_ascii_case(&flow.uuid))))
}

pub(super) fn traces(place: &Place<'_>, values: &[String]) -> Result<Clause, Refusal> {
    let wanted = texts(place, values)?;
    Ok(Box::new(move |flow| {
        let trace = flow.trace_context.as_ref().and_then(|context| context.parent.as_ref());
        trace.is_some_and(|trace| wanted.contains(&trace.trace_id))
    }))
}

fn texts(place: &Place<'_>, values: &[String]) -> Result<Vec<String>, Refusal> {
    match values.iter().position(String::is_empty) {
        Some(at) => Err(place.refuse(at, "is empty")),
        None => Ok(values.to_vec()),
    }
}
