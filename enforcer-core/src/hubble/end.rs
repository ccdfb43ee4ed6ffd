//! An end of a flow: who it is, as Hubble says it.

use enforcer_proto::hubble::flow;
use enforcer_proto::v1;

use super::names::Names;
use crate::event::redact::ANOTHER_TENANT;

/// Cilium's numbers of the identities that are nobody's own; the words are ours and theirs.
const RESERVED: [(&str, u32); 4] = [("unknown", 0), ("host", 1), ("world", 2), ("remote-node", 6)];
/// What a workload is called among Cilium's kinds of workloads.
const KIND: &str = "Workload";

/// Who stands at an end of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who<'a> {
    Reserved(&'static str, u32),
    /// The viewer may not know more.
    Another,
    /// A host service, or a number that nobody has.
    OfNode(&'a str),
    Tenant(&'a str),
}

fn who(end: &v1::Endpoint) -> Who<'_> {
    let name = end.identity.as_str();
    if let Some((word, number)) = RESERVED.iter().find(|(word, _)| *word == name) {
        return Who::Reserved(word, *number);
    }
    match name {
        "" => Who::Reserved("unknown", 0),
        ANOTHER_TENANT => Who::Another,
        name if end.of_node => Who::OfNode(name),
        name => Who::Tenant(name),
    }
}

/// The tenant at an end, if one is.
#[must_use]
pub fn tenant(end: &v1::Endpoint) -> Option<&str> {
    match who(end) {
        Who::Tenant(name) => Some(name),
        Who::Reserved(..) | Who::Another | Who::OfNode(_) => None,
    }
}

/// An end as Hubble shows it. The other end of a half has no name but "another tenant".
#[must_use]
pub fn endpoint(end: &v1::Endpoint, names: &Names) -> flow::Endpoint {
    match who(end) {
        Who::Reserved(word, identity) => flow::Endpoint { identity, ..labelled(format!("reserved:{word}")) },
        Who::Another => flow::Endpoint {
            pod_name: ANOTHER_TENANT.to_owned(),
            ..labelled("reserved:another-tenant".to_owned())
        },
        Who::OfNode(name) => {
            let number = name.strip_prefix("identity-").and_then(|number| number.parse().ok());
            match number {
                Some(identity) => flow::Endpoint { identity, ..labelled(format!("tenant={identity}")) },
                None => flow::Endpoint {
                    identity: 1,
                    labels: vec!["reserved:host".to_owned(), format!("service={name}")],
                    ..flow::Endpoint::default()
                },
            }
        }
        Who::Tenant(tenant) => of_tenant(tenant, &end.workload, names),
    }
}

fn of_tenant(tenant: &str, workload: &str, names: &Names) -> flow::Endpoint {
    let workloads = (!workload.is_empty())
        .then(|| flow::Workload { name: workload.to_owned(), kind: KIND.to_owned() })
        .into_iter()
        .collect();
    flow::Endpoint {
        id: 0,
        identity: names.tenant(tenant),
        namespace: names.namespace(tenant, workload),
        labels: vec![format!("tenant={tenant}")],
        pod_name: workload.to_owned(),
        workloads,
        cluster_name: names.cluster().to_owned(),
    }
}

fn labelled(label: String) -> flow::Endpoint {
    flow::Endpoint { labels: vec![label], ..flow::Endpoint::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hubble::stage::names;

    fn shown(end: &v1::Endpoint) -> (u32, String, String, Vec<String>) {
        let end = endpoint(end, &names());
        (end.identity, end.namespace, end.pod_name, end.labels)
    }

    fn named(identity: &str, workload: &str) -> v1::Endpoint {
        v1::Endpoint {
            identity: identity.to_owned(),
            workload: workload.to_owned(),
            ..v1::Endpoint::default()
        }
    }

    fn wanted(identity: u32, namespace: &str, pod: &str, label: &str) -> (u32, String, String, Vec<String>) {
        (identity, namespace.to_owned(), pod.to_owned(), vec![label.to_owned()])
    }

    #[test]
    fn a_tenant_has_its_number_its_namespace_and_its_label() {
        assert_eq!(shown(&named("red", "web-0")), wanted(70_001, "shop", "web-0", "tenant=red"));
        assert_eq!(shown(&named("red", "bare")), wanted(70_001, "red", "bare", "tenant=red"));
        assert_eq!(shown(&named("red", "")), wanted(70_001, "red", "", "tenant=red"));
        assert_eq!(shown(&named("gone", "")), wanted(0, "gone", "", "tenant=gone"));
        let workloads = endpoint(&named("red", "bare"), &names()).workloads;
        assert_eq!(workloads, [flow::Workload { name: "bare".to_owned(), kind: "Workload".to_owned() }]);
    }

    #[test]
    fn reserved_identities_have_ciliums_numbers() {
        for (word, number) in [("unknown", 0), ("host", 1), ("world", 2), ("remote-node", 6)] {
            assert_eq!(shown(&named(word, "")), wanted(number, "", "", &format!("reserved:{word}")));
        }
        assert_eq!(shown(&named("", "")), wanted(0, "", "", "reserved:unknown"));
    }

    #[test]
    fn another_tenant_is_nobody_in_particular() {
        let end = named(ANOTHER_TENANT, "");
        assert_eq!(shown(&end), wanted(0, "", "another tenant", "reserved:another-tenant"));
        assert_eq!(tenant(&end), None);
    }

    #[test]
    fn what_is_the_nodes_is_no_tenant() {
        let unassigned = v1::Endpoint { of_node: true, ..named("identity-4711", "") };
        assert_eq!(shown(&unassigned), wanted(4_711, "", "", "tenant=4711"));
        let service = v1::Endpoint { of_node: true, ..named("dcgm", "") };
        assert_eq!(shown(&service).3, ["reserved:host", "service=dcgm"]);
    }
}
