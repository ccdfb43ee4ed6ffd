//! Flows, nodes, namespaces, status.

use enforcer_proto::hubble::flow::FlowFilter;
use enforcer_proto::hubble::observer::{
    GetFlowsRequest, GetNamespacesRequest, GetNodesRequest, ServerStatusRequest,
};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::stage::{
    CAPACITY, Stage, channel, dropped, flow, is_silent, loss, policy, soon, the_flow, time, told, until,
};

#[tokio::test]
async fn health_answers_to_exactly_the_name_that_the_command_asks_for() {
    let stage = Stage::open().await;
    let mut health = HealthClient::new(channel(&stage.socket).await);
    let mut check = async |service: &str| {
        health
            .check(HealthCheckRequest { service: service.to_owned() })
            .await
            .map(|it| it.into_inner().status())
    };
    assert_eq!(check("hubble.server.Observer").await.unwrap(), ServingStatus::Serving);
    for other in ["observer.Observer", "hubble", "peer.Peer"] {
        assert_eq!(check(other).await.unwrap_err().code(), tonic::Code::NotFound, "{other}");
    }
}

async fn with_six() -> Stage {
    let stage = Stage::open().await;
    let verdict = |sequence: u64| if sequence.is_multiple_of(2) { "deny" } else { "allow" };
    stage.keep((1..=4).map(|sequence| flow(sequence, "red", "blue", verdict(sequence))));
    stage.keep([loss(5), flow(6, "red", "blue", "deny")]);
    let device = enforcer_proto::v1::Record { r#type: "device".to_owned(), ..flow(7, "red", "blue", "deny") };
    stage.keep([device]);
    stage
}

#[tokio::test]
async fn the_last_the_first_and_spans_of_time() {
    let stage = with_six().await;
    assert_eq!(stage.flows(|_| ()).await, [1, 2, 3, 4, -3, 6]);
    assert_eq!(stage.flows(|request| request.number = 2).await, [4, -3, 6]);
    assert_eq!(stage.flows(|request| request.number = u64::MAX).await, [1, 2, 3, 4, -3, 6]);
    assert_eq!(stage.flows(|request| (request.first, request.number) = (true, 2)).await, [1, 2]);
    assert_eq!(stage.flows(|request| request.since = time(4)).await, [4, -3, 6]);
    assert_eq!(stage.flows(|request| request.until = time(2)).await, [1, 2, -3]);
    assert_eq!(stage.flows(|request| (request.since, request.number) = (time(1), 3)).await, [1, 2, 3]);
}

#[tokio::test]
async fn filters_choose_and_losses_come_all_the_same() {
    let stage = with_six().await;
    assert_eq!(stage.flows(|request| request.whitelist = vec![dropped()]).await, [2, 4, -3, 6]);
    assert_eq!(stage.flows(|request| request.blacklist = vec![dropped()]).await, [1, 3, -3]);
    assert_eq!(stage.flows(|request| (request.number, request.whitelist) = (1, vec![dropped()])).await, [6]);
    let blue = FlowFilter { source_pod: vec!["blue/".to_owned()], ..FlowFilter::default() };
    assert_eq!(stage.flows(|request| request.whitelist = vec![blue]).await, [-3]);
}

#[tokio::test]
async fn following_tells_what_comes_and_before_it_the_last() {
    let stage = with_six().await;
    let mut new = stage.ask(|request| request.follow = true).await.unwrap();
    let mut two = stage.ask(|request| (request.follow, request.number) = (true, 2)).await.unwrap();
    for wanted in [4, -3, 6] {
        assert_eq!(told(&soon(&mut two).await.unwrap().unwrap()), wanted);
    }
    assert!(is_silent(&mut new).await && is_silent(&mut two).await);
    stage.keep([flow(8, "red", "blue", "allow"), loss(9)]);
    for stream in [&mut new, &mut two] {
        assert_eq!(told(&soon(stream).await.unwrap().unwrap()), 8);
        assert_eq!(told(&soon(stream).await.unwrap().unwrap()), -3);
    }
}

#[tokio::test]
async fn following_ends_behind_the_time() {
    let stage = with_six().await;
    let mut answer = stage
        .ask(|request| (request.follow, request.since, request.until) = (true, time(6), time(9)))
        .await
        .unwrap();
    assert_eq!(told(&soon(&mut answer).await.unwrap().unwrap()), -3);
    assert_eq!(told(&soon(&mut answer).await.unwrap().unwrap()), 6);
    stage.keep([flow(9, "red", "blue", "allow"), flow(10, "red", "blue", "allow")]);
    assert_eq!(told(&soon(&mut answer).await.unwrap().unwrap()), 9);
    assert!(soon(&mut answer).await.is_none());
}

#[tokio::test]
async fn a_mask_leaves_what_it_names_and_every_answer_says_the_version() {
    let stage = with_six().await;
    let paths = ["IP", "Type", "Summary", "source.pod_name"].map(str::to_owned).to_vec();
    let request = GetFlowsRequest {
        number: 1,
        field_mask: Some(prost_types::FieldMask { paths }),
        ..GetFlowsRequest::default()
    };
    let answer = stage.client().await.get_flows(request).await.unwrap();
    assert_eq!(answer.metadata().get("hubble-server-version").unwrap(), "1.19.4");
    let response = soon(&mut answer.into_inner()).await.unwrap().unwrap();
    assert_eq!((response.node_name.as_str(), response.time), ("n1", time(6)));
    let flow = the_flow(response);
    assert_eq!(
        (flow.r#type, &*flow.summary, &*flow.ip.unwrap().source),
        (1, "denied by blue/some-rule", "10.0.0.1")
    );
    let source = flow.source.unwrap();
    assert_eq!((&*source.pod_name, &*source.namespace), ("red-0", ""));
    assert_eq!((flow.time, flow.verdict, &*flow.uuid), (None, 0, ""));
}

#[tokio::test]
async fn the_same_flow_has_the_same_uuid_and_is_found_by_it() {
    let stage = with_six().await;
    let mut first = stage.ask(|request| request.number = 2).await.unwrap();
    let flow = the_flow(soon(&mut first).await.unwrap().unwrap());
    let filter = FlowFilter { uuid: vec![flow.uuid.clone()], ..FlowFilter::default() };
    assert_eq!(stage.flows(|request| request.whitelist = vec![filter]).await, [4, -3]);
}

#[tokio::test]
async fn a_client_that_reads_too_slowly_is_told_what_it_missed() {
    let stage = Stage::open().await;
    let mut slow = stage.ask(|request| request.follow = true).await.unwrap();
    let many = u64::try_from(CAPACITY).unwrap() * 200;
    let mut last = 0;
    while last < many {
        stage.keep((last + 1..=last + 1_000).map(|sequence| flow(sequence, "red", "blue", "deny")));
        last += 1_000;
        tokio::task::yield_now().await;
    }
    let (mut seen, mut lost) = (0, 0);
    while seen + lost < i64::try_from(many).unwrap() {
        match told(&soon(&mut slow).await.unwrap().unwrap()) {
            missed if missed < 0 => lost -= missed,
            _ => seen += 1,
        }
    }
    assert!(lost > 0, "{seen} seen");
    assert_eq!(seen + lost, i64::try_from(many).unwrap());
}

#[tokio::test]
async fn status_counts_what_is_held_and_what_was_seen() {
    let stage = with_six().await;
    let status = async || {
        let answer = stage.client().await.server_status(ServerStatusRequest {}).await.unwrap();
        assert_eq!(answer.metadata().get("hubble-server-version").unwrap(), "1.19.4");
        answer.into_inner()
    };
    let first = status().await;
    assert_eq!((first.num_flows, first.max_flows, first.seen_flows), (5, 400, 5));
    assert_eq!((first.num_connected_nodes, first.num_unavailable_nodes), (Some(1), None));
    assert_eq!((first.flows_rate, first.version.as_str()), (0.0, "enforcer v0.1.0"));
    assert!(first.uptime_ns > 0);
    // The clock stands at second 2000.
    stage.keep((1_951..=1_980).map(|sequence| flow(sequence, "red", "blue", "deny")));
    assert!((status().await.flows_rate - 0.5).abs() < 1e-9);
    stage.keep((1_981..=2_980).map(|sequence| flow(sequence, "red", "blue", "deny")));
    let last = status().await;
    assert_eq!(
        (last.num_flows, last.seen_flows),
        (302, 1_035),
        "three quarters of 400, and the two that were allowed"
    );
}

#[tokio::test]
async fn namespaces_are_remembered_for_an_hour_though_records_are_not() {
    let stage = Stage::open().await;
    let list = async || {
        let answer = stage.client().await.get_namespaces(GetNamespacesRequest {}).await.unwrap().into_inner();
        let names = answer.namespaces.into_iter().map(|it| format!("{}/{}", it.cluster, it.namespace));
        names.collect::<Vec<_>>()
    };
    stage.keep([flow(1_900, "red", "blue", "deny"), flow(1_901, "green", "world", "allow")]);
    assert_eq!(list().await, ["default/blue", "default/green", "default/red"]);
    stage.keep((1_902..=2_900).map(|sequence| flow(sequence, "amber", "host", "deny")));
    assert_eq!(list().await, ["default/amber", "default/blue", "default/green", "default/red"]);
}

#[tokio::test]
async fn nodes_are_this_one_and_those_of_the_policy() {
    let stage = with_six().await;
    stage.in_force.send_replace(policy(&[("n2.example", "red"), ("n1", "red")]));
    let nodes = stage.client().await.get_nodes(GetNodesRequest {}).await.unwrap().into_inner().nodes;
    let told: Vec<_> =
        nodes.iter().map(|node| (&*node.name, &*node.address, node.state, node.num_flows)).collect();
    assert_eq!(told, [("n1", "10.0.0.1:4254", 1, 5), ("n2.example", "n2.example:4254", 0, 0)]);
    let own = &nodes[0];
    assert_eq!((own.version.as_str(), own.max_flows, own.seen_flows), ("enforcer v0.1.0", 400, 5));
    let tls = nodes[1].tls.as_ref().unwrap();
    assert_eq!((tls.enabled, tls.server_name.as_str()), (true, "n2-example.default.hubble-grpc.cilium.io"));
}

#[tokio::test]
async fn the_word_to_stop_ends_every_stream_and_the_server() {
    let mut stage = Stage::open().await;
    let mut answer = stage.ask(|request| request.follow = true).await.unwrap();
    stage.stopper.stop();
    let end = soon(&mut answer).await.unwrap().unwrap_err();
    assert_eq!(end.code(), tonic::Code::Unavailable);
    drop(answer);
    until("the server ends", async || stage.tasks.try_join_next().is_some()).await;
}
