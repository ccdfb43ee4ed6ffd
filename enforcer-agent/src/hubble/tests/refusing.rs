//! What is not answered, and how that is said.

use std::marker::PhantomData;

use enforcer_proto::hubble::flow::FlowFilter;
use enforcer_proto::hubble::observer::{GetAgentEventsRequest, GetDebugEventsRequest, GetFlowsRequest};
use prost::Message as _;
use prost::bytes::{Buf as _, BufMut as _};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};

use super::super::limits::{MESSAGE_MAX_BYTES, STREAMS_MAX};
use super::stage::{Stage, channel, until};
use crate::admin::limits::CALLS_PER_CONNECTION_MAX;

async fn refused(stage: &Stage, change: impl FnOnce(&mut GetFlowsRequest)) -> String {
    let status = stage.ask(change).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    status.message().to_owned()
}

#[tokio::test]
async fn what_cannot_be_answered_is_an_invalid_argument_with_its_name() {
    let stage = Stage::open().await;
    let told = refused(&stage, |request| (request.first, request.follow) = (true, true)).await;
    assert_eq!(told, "first: first cannot be specified with follow");
    let method = FlowFilter { http_method: vec!["GET".to_owned()], ..FlowFilter::default() };
    let told = refused(&stage, |request| request.blacklist = vec![FlowFilter::default(), method]).await;
    assert!(told.starts_with("blacklist[1].http_method: "), "{told}");
    let mask = prost_types::FieldMask { paths: vec!["time".to_owned(), "sumary".to_owned()] };
    let told = refused(&stage, |request| request.field_mask = Some(mask)).await;
    assert!(told.starts_with("field_mask.paths[1]: "), "{told}");
    let told = refused(&stage, |request| request.extensions = Some(prost_types::Any::default())).await;
    assert!(told.starts_with("extensions: "), "{told}");
}

#[tokio::test]
async fn events_that_are_no_flows_are_not_implemented() {
    let stage = Stage::open().await;
    let mut client = stage.client().await;
    let agent = client.get_agent_events(GetAgentEventsRequest { number: 20, ..Default::default() }).await;
    assert_eq!(agent.unwrap_err().code(), Code::Unimplemented);
    let debug = client.get_debug_events(GetDebugEventsRequest { number: 20, ..Default::default() }).await;
    assert_eq!(debug.unwrap_err().code(), Code::Unimplemented);
}

/// Sends bytes as they are.
#[derive(Default)]
struct Raw(PhantomData<()>);

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self::default()
    }

    fn decoder(&mut self) -> Self {
        Self::default()
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, bytes: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(&bytes);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(bytes.copy_to_bytes(bytes.remaining()).to_vec()))
    }
}

async fn sent(stage: &Stage, bytes: Vec<u8>) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(channel(&stage.socket).await);
    client.ready().await.unwrap();
    let path = PathAndQuery::from_static("/observer.Observer/GetFlows");
    client.server_streaming(Request::new(bytes), path, Raw::default()).await.map(drop)
}

#[tokio::test]
async fn a_filter_from_a_newer_client_is_refused_and_not_dropped() {
    let stage = Stage::open().await;
    let filter = FlowFilter { verdict: vec![2], ..FlowFilter::default() }.encode_to_vec();
    let request = |filter: Vec<u8>| {
        let length = u8::try_from(filter.len()).unwrap();
        [vec![0x08, 20, 6 << 3 | 2, length], filter].concat()
    };
    sent(&stage, request(filter.clone())).await.unwrap();
    // Field 41 of a filter.
    let newer = [filter, vec![0xca, 0x02, 1, b'x']].concat();
    let status = sent(&stage, request(newer)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), "this server does not know the field whitelist[0].41");
    let status = sent(&stage, vec![0x58, 1]).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::InvalidArgument, "this server does not know the field 11")
    );
}

#[tokio::test]
async fn garbage_and_floods_are_refused_and_the_server_stays() {
    let stage = Stage::open().await;
    assert!(sent(&stage, vec![0xff; 9]).await.is_err());
    assert!(sent(&stage, vec![0x0a; MESSAGE_MAX_BYTES + 1]).await.is_err());
    assert!(sent(&stage, Vec::new()).await.is_ok());
}

#[tokio::test]
async fn streams_are_bounded_and_a_client_that_is_gone_leaves_its_place() {
    let stage = Stage::open().await;
    let each = usize::try_from(CALLS_PER_CONNECTION_MAX).unwrap();
    let mut streams = Vec::new();
    let mut client = stage.client().await;
    let follow = || GetFlowsRequest { follow: true, ..GetFlowsRequest::default() };
    for place in 0..STREAMS_MAX {
        if place % each == 0 {
            client = stage.client().await;
        }
        streams.push(client.get_flows(follow()).await.unwrap());
    }
    let mut one_more = stage.client().await;
    assert_eq!(one_more.get_flows(follow()).await.unwrap_err().code(), Code::ResourceExhausted);
    streams.truncate(STREAMS_MAX - 1);
    until("a place is free", async || one_more.get_flows(follow()).await.is_ok()).await;
}
