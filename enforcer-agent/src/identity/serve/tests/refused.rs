//! Who is refused, and what they are told.

use enforcer_proto::SPIFFE_DESCRIPTOR;
use enforcer_proto::spiffe::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use enforcer_proto::spiffe::{
    JwtBundlesRequest, JwtsvidRequest, ValidateJwtsvidRequest, X509BundlesRequest, X509svidRequest,
};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use tonic::{Code, Request, Status};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tower::{Service as _, ServiceExt as _};

use super::material::{Authority, emptied, granted, token};
use super::{Client, PATIENCE, Scene, client, member};
use crate::identity::serve::ServeLimits;
use crate::identity::svid::{Material, Standing};

fn red() -> Standing {
    Authority::new("red.fleet.example").granted("/a")
}

async fn first(client: &mut Client) -> Result<String, Status> {
    let mut stream = client.fetch_x509svid(X509svidRequest {}).await?.into_inner();
    let message = timeout(PATIENCE, stream.message()).await.unwrap()?.unwrap();
    Ok(message.svids[0].spiffe_id.clone())
}

/// E-2, each call with a header that is missing, wrong or doubled.
#[tokio::test]
async fn a_request_without_the_header_is_invalid() {
    let scene = Scene::new();
    scene.grant("red-1", red());
    let mut client = SpiffeWorkloadApiClient::new(scene.channel("red-1", "red").await);
    fn with<T>(message: T, values: &[&str]) -> Request<T> {
        let mut request = Request::new(message);
        for value in values {
            request.metadata_mut().append("workload.spiffe.io", value.parse().unwrap());
        }
        request
    }
    for values in [&[][..], &["false"], &["TRUE"], &["true", "true"], &["true", "x"]] {
        let refusals = [
            client.fetch_x509svid(with(X509svidRequest {}, values)).await.unwrap_err(),
            client.fetch_x509_bundles(with(X509BundlesRequest {}, values)).await.unwrap_err(),
            client.fetch_jwtsvid(with(JwtsvidRequest::default(), values)).await.unwrap_err(),
            client.fetch_jwt_bundles(with(JwtBundlesRequest {}, values)).await.unwrap_err(),
            client.validate_jwtsvid(with(ValidateJwtsvidRequest::default(), values)).await.unwrap_err(),
        ];
        assert!(refusals.iter().all(|status| status.code() == Code::InvalidArgument), "{values:?}");
    }
    client.fetch_x509svid(with(X509svidRequest {}, &["true"])).await.unwrap();
}

/// E-5: one text for whoever has no identity.
#[tokio::test]
async fn all_who_have_no_identity_are_told_the_same() {
    let scene = Scene::new();
    let red = Authority::new("red.fleet.example");
    let without_authority = Material { bundle: emptied(&red.bundle), ..red.material("/a") };
    scene.grant("closed", Standing::Closed("revoked by an operator".into()));
    scene.grant("void", granted(without_authority));
    let mut told = Vec::new();
    for who in [None, Some(member("closed", "red")), Some(member("void", "red"))] {
        let mut client = client(scene.come(who).await);
        told.push(first(&mut client).await.unwrap_err());
        let request = JwtsvidRequest { audience: vec!["db".to_owned()], spiffe_id: String::new() };
        told.push(client.fetch_jwtsvid(request).await.unwrap_err());
    }
    for status in &told {
        assert_eq!((status.code(), status.message()), (Code::PermissionDenied, told[0].message()));
    }
    assert!(!told[0].message().contains("revoked"));
}

#[tokio::test]
async fn a_stranger_that_turns_out_to_be_a_workload_is_served() {
    let scene = Scene::new();
    scene.grant("red-1", red());
    let mut client = client(scene.come(None).await);
    assert_eq!(first(&mut client).await.unwrap_err().code(), Code::PermissionDenied);
    scene.attest.change(Some(member("red-1", "red")));
    assert_eq!(first(&mut client).await.unwrap(), "spiffe://red.fleet.example/a");
}

/// E-5.
#[tokio::test]
async fn who_waits_for_the_first_certificate_gets_it_or_is_told_to_come_back() {
    let scene = Scene::new();
    scene.grant("red-1", Standing::Waiting);
    let mut waiting = scene.client("red-1", "red").await;
    let waiting = tokio::spawn(async move { first(&mut waiting).await });
    super::until("it follows", || scene.wallet.followers(&"red-1".into()) == 1).await;
    scene.grant("red-1", red());
    assert_eq!(waiting.await.unwrap().unwrap(), "spiffe://red.fleet.example/a");

    let hasty = ServeLimits { first_certificate_wait: std::time::Duration::ZERO, ..ServeLimits::default() };
    let scene = Scene::with(hasty);
    scene.grant("red-1", Standing::Waiting);
    let mut client = scene.client("red-1", "red").await;
    assert_eq!(first(&mut client).await.unwrap_err().code(), Code::Unavailable);
    let mut unknown = scene.client("red-2", "red").await;
    assert_eq!(first(&mut unknown).await.unwrap_err().code(), Code::Unavailable);
}

/// W-4, W-7, W-9.
#[tokio::test]
async fn tokens_are_for_somebody_and_of_the_caller() {
    let scene = Scene::new();
    scene.grant("red-1", red());
    let mut client = scene.client("red-1", "red").await;
    let mut fetch = async |audience: &[&str], id: &str| {
        let audience = audience.iter().map(|one| (*one).to_owned()).collect();
        client
            .fetch_jwtsvid(JwtsvidRequest { audience, spiffe_id: id.to_owned() })
            .await
            .map_err(|s| s.code())
    };
    fetch(&["db"], "").await.unwrap();
    assert_eq!(fetch(&[], "").await.unwrap_err(), Code::InvalidArgument);
    assert_eq!(fetch(&["db", ""], "").await.unwrap_err(), Code::InvalidArgument);
    assert_eq!(fetch(&["db"; 33], "").await.unwrap_err(), Code::InvalidArgument);
    assert_eq!(fetch(&["x".repeat(2049).as_str()], "").await.unwrap_err(), Code::InvalidArgument);
    assert_eq!(fetch(&["db"], "https://red").await.unwrap_err(), Code::InvalidArgument);
    assert_eq!(fetch(&["db"], "spiffe://red.fleet.example/b").await.unwrap_err(), Code::PermissionDenied);
    assert_eq!(fetch(&["away"], "").await.unwrap_err(), Code::Unavailable);
    assert_eq!(fetch(&["revoked"], "").await.unwrap_err(), Code::PermissionDenied);

    let mut check = async |audience: &str, svid: &str| {
        let request = ValidateJwtsvidRequest { audience: audience.to_owned(), svid: svid.to_owned() };
        client.validate_jwtsvid(request).await.map_err(|status| status.code())
    };
    let audience = ["db".to_owned()];
    let lifetime = std::time::Duration::from_secs(60);
    let own = token("spiffe://red.fleet.example/x", &audience, lifetime);
    let answer = check("db", &own).await.unwrap().into_inner();
    assert_eq!(answer.spiffe_id, "spiffe://red.fleet.example/x");
    assert!(answer.claims.unwrap().fields.contains_key("exp"));
    let foreign = token("spiffe://blue.fleet.example/x", &audience, lifetime);
    for (audience, svid) in [("", own.as_str()), ("db", ""), ("web", &own), ("db", &foreign), ("db", "a.b.c")]
    {
        assert_eq!(check(audience, svid).await.unwrap_err(), Code::InvalidArgument, "{audience} {svid}");
    }
}

#[tokio::test]
async fn garbage_ends_its_own_connection_and_no_other() {
    let scene = Scene::new();
    scene.grant("red-1", red());
    let mut client = scene.client("red-1", "red").await;
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0xff; 64],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        let mut stream = UnixStream::connect(&scene.socket).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        let mut rest = Vec::new();
        let _reset = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it is closed");
    }
    first(&mut client).await.unwrap();
}

/// What gRPC's C library sends, and so Python, C++ and others: the path of the socket where HTTP/2 wants a host.
#[tokio::test]
async fn who_takes_the_sockets_path_for_a_host_is_served() {
    const FIELDS: [(&str, &str); 7] = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/SpiffeWorkloadAPI/FetchX509SVID"),
        (":authority", "run%2Fenforcer%2Fworkload.sock"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("workload.spiffe.io", "true"),
    ];
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let block: Vec<u8> =
        FIELDS.iter().flat_map(|(name, value)| [vec![0x40], text(name), text(value)].concat()).collect();
    let frame = |kind: u8, flags: u8, stream: u8, contents: &[u8]| {
        let length = u32::try_from(contents.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, stream], contents].concat()
    };
    let scene = Scene::new();
    scene.grant("red-1", red());
    let _before = scene.attest.come(Some(member("red-1", "red")));
    let mut stream = UnixStream::connect(&scene.socket).await.unwrap();
    let (settings, request) = (frame(4, 0, 0, &[]), frame(1, 4, 1, &block));
    let message = frame(0, 1, 1, &[0; 5]);
    let sent = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &settings, &request, &message].concat();
    stream.write_all(&sent).await.unwrap();
    let kind = loop {
        let mut head = [0; 9];
        timeout(PATIENCE, stream.read_exact(&mut head)).await.expect("an answer").unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut contents = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut contents).await.unwrap();
        if head[8] == 1 && (head[3] == 0 || head[3] == 3) {
            break head[3];
        }
    };
    assert_eq!(kind, 0, "data, and no RST_STREAM");
}

/// W-1, E-5: the optional profile is not built, and nor is what nobody has heard of.
#[tokio::test]
async fn a_call_that_is_not_built_is_unimplemented() {
    let scene = Scene::new();
    scene.grant("red-1", red());
    let mut channel = scene.channel("red-1", "red").await;
    for path in ["/SpiffeWorkloadAPI/FetchWITSVID", "/SpiffeWorkloadAPI/Other", "/Other/Other"] {
        let request = hyper::Request::post(format!("http://agent{path}"))
            .header("content-type", "application/grpc")
            .header("workload.spiffe.io", "true")
            .body(tonic::body::Body::empty())
            .unwrap();
        let answer = channel.ready().await.unwrap().call(request).await.unwrap();
        let status = Status::from_header_map(answer.headers()).expect(path);
        assert_eq!(status.code(), Code::Unimplemented, "{path}");
    }
}

/// E-6: the service is the standard's, and no method more.
#[test]
fn the_service_is_not_extended() {
    let set = FileDescriptorSet::decode(SPIFFE_DESCRIPTOR).unwrap();
    let services: Vec<_> = set.file.iter().flat_map(|file| &file.service).collect();
    let [service] = services[..] else { panic!("{services:?}") };
    let methods: Vec<_> = service.method.iter().map(prost_types::MethodDescriptorProto::name).collect();
    assert_eq!(service.name(), "SpiffeWorkloadAPI");
    assert_eq!(
        methods,
        ["FetchX509SVID", "FetchX509Bundles", "FetchJWTSVID", "FetchJWTBundles", "ValidateJWTSVID"]
    );
}

/// E-6.
#[tokio::test]
async fn the_service_describes_itself_to_those_who_may_call_it() {
    let scene = Scene::new();
    let ask = || {
        let list = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        tokio_stream::once(list)
    };
    let mut client = ServerReflectionClient::new(scene.channel("red-1", "red").await);
    let mut answers = client.server_reflection_info(ask()).await.unwrap().into_inner();
    let answer = answers.next().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else { panic!("a list") };
    assert!(list.service.iter().any(|service| service.name == "SpiffeWorkloadAPI"), "{list:?}");
    let mut stranger = ServerReflectionClient::new(scene.come(None).await);
    let refused = stranger.server_reflection_info(ask()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}
