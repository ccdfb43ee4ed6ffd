//! `get` and `counters`.

use enforcer_proto::v1;
use tonic::Status;

use super::fake::{Agent, Answers};
use crate::exit::Exit;

pub(super) fn everything() -> v1::Everything {
    v1::Everything {}
}

pub(super) fn peer(who: v1::peer::Who) -> Option<v1::Peer> {
    Some(v1::Peer { who: Some(who) })
}

/// A policy that uses every field.
pub(super) fn snapshot() -> v1::Snapshot {
    let block = v1::IpBlock { cidr: "192.0.2.0/24".to_owned(), except: vec!["192.0.2.128/25".to_owned()] };
    let port = |port, end_port| v1::Port {
        protocol: v1::Protocol::Tcp.into(),
        port,
        end_port,
        ..v1::Port::default()
    };
    let ping = v1::Port {
        protocol: v1::Protocol::Icmp.into(),
        icmp_type: Some(3),
        icmp_code: Some(4),
        ..v1::Port::default()
    };
    let tenant = |name: &str, id| v1::Tenant {
        name: name.to_owned(),
        id,
        tier: v1::Tier::Shared.into(),
        data_classification: v1::DataClassification::TopSecret.into(),
        mode: v1::Mode::Enforce.into(),
        ..v1::Tenant::default()
    };
    let rule = |name: &str, from, to| v1::Rule {
        name: name.to_owned(),
        from: peer(from),
        to: peer(to),
        action: v1::Action::Allow.into(),
        mode: v1::Mode::Enforce.into(),
        ..v1::Rule::default()
    };
    use v1::peer::Who;
    let named = |name: &str| Who::Tenant(name.to_owned());
    v1::Snapshot {
        tenants: vec![
            v1::Tenant {
                platform_service: true,
                mode: v1::Mode::Audit.into(),
                egress: vec![v1::EgressRule {
                    ip_block: Some(block.clone()),
                    ports: Some(v1::PortList { items: vec![port(Some(443), None)] }),
                }],
                devices: vec![
                    v1::DeviceGrant {
                        class: "nvidia".to_owned(),
                        minors: Some(v1::MinorList { items: vec![0, 1] }),
                    },
                    v1::DeviceGrant { class: "nvidiactl".to_owned(), minors: None },
                ],
                ..tenant("a", 16)
            },
            tenant("null", 17),
        ],
        workloads: vec![
            v1::Workload {
                name: "web".to_owned(),
                tenant: "a".to_owned(),
                node: Some("n1".to_owned()),
                cgroup: Some("/pods/web".to_owned()),
                interface: Some("veth0".to_owned()),
                addresses: vec!["10.0.0.1".to_owned(), "2001:db8::1".to_owned()],
                namespace: "team".to_owned(),
                service_account: "web".to_owned(),
                encapsulations: vec![v1::Encapsulation::Vlan.into()],
                ..v1::Workload::default()
            },
            v1::Workload {
                name: "0x1f".to_owned(),
                tenant: "null".to_owned(),
                cgroup: Some("/host".to_owned()),
                host_network: true,
                ..v1::Workload::default()
            },
        ],
        rules: vec![
            v1::Rule {
                ports: Some(v1::PortList { items: vec![port(Some(80), Some(90)), port(None, None), ping] }),
                mtls_required: true,
                carried_by: vec!["a".to_owned(), "null".to_owned()],
                ..rule("a-to-null", named("a"), named("null"))
            },
            v1::Rule {
                action: v1::Action::Deny.into(),
                mode: v1::Mode::Audit.into(),
                ..rule("b", named("a"), Who::Host(everything()))
            },
            rule("c", Who::RemoteNode(everything()), named("a")),
            v1::Rule {
                mtls_required: true,
                mtls_always: true,
                ..rule("d", Who::World(everything()), named("a"))
            },
            rule("e", Who::IpBlock(block), named("a")),
        ],
        bindings: vec![
            v1::Binding {
                address: "10.0.1.1".to_owned(),
                holder: Some(v1::binding::Holder::Tenant("a".to_owned())),
                generation: 7,
                ..v1::Binding::default()
            },
            v1::Binding {
                address: "2001:db8::9".to_owned(),
                holder: Some(v1::binding::Holder::RemoteNode(everything())),
                generation: 1,
                ..v1::Binding::default()
            },
        ],
        retired_ids: Vec::new(),
    }
}

pub(super) fn agent() -> Agent {
    let response = v1::GetResponse { revision: 7, snapshot: Some(snapshot()), digest: vec![0xcd; 2] };
    Agent::start(Answers { get: Some(Ok(response)), ..Answers::default() })
}

#[tokio::test]
async fn objects_are_rows() {
    let agent = agent();
    let ran = agent.run(&["get", "tenants"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert_eq!(
        ran.out,
        "TENANT  ID  TIER    CLASSIFICATION  MODE     PLATFORM  EGRESS                                DEVICES\n\
         a       16  shared  topSecret       audit    yes       192.0.2.0/24-192.0.2.128/25:TCP/443  nvidia:0,1 nvidiactl\n\
         null    17  shared  topSecret       enforce  -         -                                     -\n"
            .replace("EGRESS                                ", "EGRESS                               ")
            .replace("-         -                                     -", "-         -                                    -")
    );
    let ran = agent.run(&["get", "workloads"]).await;
    assert_eq!(
        ran.out,
        "WORKLOAD  TENANT  NODE  ADDRESSES             INTERFACE  CGROUP     LEASE\n\
         web       a       n1    10.0.0.1,2001:db8::1  veth0      /pods/web  -\n\
         0x1f      null    -     (host network)        -          /host      -\n"
    );
    let ran = agent.run(&["get", "rules"]).await;
    assert_eq!(
        ran.out,
        "RULE       FROM                         TO      PORTS                   ACTION  MODE     MTLS    CARRIED BY\n\
         a-to-null  a                            null    TCP/80-90,TCP,ICMP/3.4  allow   enforce  yes     a,null\n\
         b          a                            (host)  any                     deny    audit    -       -\n\
         c          (remote-node)                a       any                     allow   enforce  -       -\n\
         d          (world)                      a       any                     allow   enforce  always  -\n\
         e          192.0.2.0/24-192.0.2.128/25  a       any                     allow   enforce  -       -\n"
    );
    let ran = agent.run(&["get", "bindings"]).await;
    assert_eq!(
        ran.out,
        "ADDRESS      HOLDER         GENERATION  LEASE\n\
         10.0.1.1     a              7           -\n\
         2001:db8::9  (remote-node)  1           -\n"
    );
}

#[tokio::test]
async fn a_name_or_a_tenant_narrows_the_answer() {
    let agent = agent();
    let ran = agent.run(&["get", "rules", "b", "-o", "json"]).await;
    assert_eq!(ran.json()["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(ran.json()["revision"], 7);
    assert_eq!(ran.json()["items"][0]["spec"]["to"]["host"], serde_json::json!({}));
    let ran = agent.run(&["get", "rules", "--tenant", "null", "-o", "json"]).await;
    assert_eq!(ran.json()["items"][0]["metadata"]["name"], "a-to-null");
    assert_eq!(ran.json()["items"].as_array().map(Vec::len), Some(1));
    let ran = agent.run(&["get", "bindings", "--tenant", "a", "-o", "json"]).await;
    assert_eq!(ran.json()["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_name_that_is_not_there_is_an_error() {
    let ran = agent().run(&["get", "tenants", "nobody"]).await;
    assert_eq!(ran.exit, Exit::Refused);
    assert_eq!(
        ran.err,
        "error: there is no tenant \"nobody\" in revision 7; list them with `enforcerctl get tenants`\n"
    );
}

#[tokio::test]
async fn a_revision_that_is_not_kept_is_the_agents_answer() {
    let status = Status::not_found("revision 3 is not kept");
    let agent = Agent::start(Answers { get: Some(Err(status)), ..Answers::default() });
    let ran = agent.run(&["get", "policy", "--revision", "3"]).await;
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Refused, "error: revision 3 is not kept\n"));
}

#[tokio::test]
async fn an_object_that_this_program_does_not_understand_is_not_printed_as_something_else() {
    let mut snapshot = snapshot();
    snapshot.tenants.first_mut().unwrap().tier = 99;
    let response = v1::GetResponse { revision: 7, snapshot: Some(snapshot), digest: Vec::new() };
    let agent = Agent::start(Answers { get: Some(Ok(response)), ..Answers::default() });
    let ran = agent.run(&["get", "policy", "-o", "yaml"]).await;
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Refused, ""));
    assert!(ran.err.contains("tier 99"), "{}", ran.err);
}

#[tokio::test]
async fn options_that_mean_nothing_are_refused() {
    let agent = agent();
    for args in [
        ["get", "revisions", "--tenant", "a"].as_slice(),
        &["get", "revisions", "--revision", "1"],
        &["get", "revisions", "seven"],
        &["get", "devices", "--revision", "1"],
        &["get", "policy", "a"],
    ] {
        assert_eq!(agent.run(args).await.exit, Exit::Usage, "{args:?}");
    }
}

#[tokio::test]
async fn no_counters_are_a_table_without_rows() {
    let counters = Some(Ok(v1::CountersResponse::default()));
    let agent = Agent::start(Answers { counters, ..Answers::default() });
    let ran = agent.run(&["counters", "--tenant", "a"]).await;
    assert_eq!((ran.exit, ran.out.lines().count()), (Exit::Ok, 1));
    assert_eq!(agent.run(&["counters", "-o", "json"]).await.json(), serde_json::json!({ "counters": [] }));
}
