//! Connections that are used again.

use std::io;
use std::sync::atomic::AtomicU32;

use h2::server::SendResponse;
use http::{Response, StatusCode};

use super::super::client::Outgoing;
use super::super::client::pool::{Dialled, Key, OpenError, Pool};
use super::raw::*;
use super::*;

fn key(number: u8) -> Key {
    let address = SocketAddr::from(([10, 0, 0, number], 15008));
    Key { workload: "shop/web".into(), serial: "01".into(), network: 7, tenant: "blue".into(), address }
}

fn outgoing() -> Outgoing {
    Outgoing {
        authority: authority("10.0.0.1:80"),
        source: "10.0.0.9:40000".parse().unwrap(),
        baggage: "k8s.namespace.name=shop".parse().unwrap(),
        trace: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00".parse().ok(),
    }
}

async fn dialled(io: Option<DuplexStream>, purse: &Arc<Bounded>) -> io::Result<Dialled<DuplexStream>> {
    let io = io.ok_or(io::ErrorKind::AddrInUse)?;
    let until = Instant::now() + Duration::from_secs(24 * 3600);
    Ok(Dialled { io, mark: (), until, purse: Arc::clone(purse) as Arc<dyn Purse> })
}

/// A call on a pool of its own, over a connection that is there.
pub(super) async fn carried(
    io: DuplexStream,
) -> Result<(Pool<io::Error>, Carried, Arc<Bounded>), OpenError<io::Error>> {
    let (pool, purse, io) = (pool(), Bounded::new(1 << 30), Mutex::new(Some(io)));
    let dial = || dialled(io.lock().unwrap().take(), &purse);
    let (carried, ()) = soon(pool.open(&key(1), &outgoing(), dial)).await?;
    Ok((pool, carried, purse))
}

/// Servers of the library, each dialled by making it, that answer every call with a status.
struct Far {
    dialled: AtomicU32,
    streams_max: u32,
    lifetime: Duration,
    status: StatusCode,
    calls: mpsc::UnboundedSender<(http::Request<h2::RecvStream>, Option<h2::SendStream<Bytes>>)>,
    purse: Arc<Bounded>,
}

type Calls = mpsc::UnboundedReceiver<(http::Request<h2::RecvStream>, Option<h2::SendStream<Bytes>>)>;

impl Far {
    fn new(streams_max: u32, status: u16) -> (Arc<Self>, Calls) {
        let (calls, came) = mpsc::unbounded_channel();
        let far = Self {
            dialled: AtomicU32::new(0),
            streams_max,
            lifetime: Duration::from_secs(3600),
            status: StatusCode::from_u16(status).unwrap(),
            calls,
            purse: Bounded::new(1 << 30),
        };
        (Arc::new(far), came)
    }

    async fn dial(self: Arc<Self>) -> io::Result<Dialled<DuplexStream>> {
        self.dialled.fetch_add(1, Ordering::Relaxed);
        let (near, io) = duplex(256 * 1024);
        let far = Arc::clone(&self);
        tokio::spawn(async move {
            let mut builder = h2::server::Builder::new();
            let mut connection =
                builder.max_concurrent_streams(far.streams_max).handshake::<_, Bytes>(io).await.unwrap();
            while let Some(Ok((request, respond))) = connection.accept().await {
                far.answer(request, respond);
            }
        });
        let until = Instant::now() + self.lifetime;
        Ok(Dialled { io: near, mark: (), until, purse: Arc::clone(&self.purse) as Arc<dyn Purse> })
    }

    fn answer(&self, request: http::Request<h2::RecvStream>, mut respond: SendResponse<Bytes>) {
        let mut response = Response::new(());
        *response.status_mut() = self.status;
        response.headers_mut().insert("baggage", "k8s.namespace.name=there".parse().unwrap());
        let send = respond.send_response(response, self.status != 200).ok();
        let _ = self.calls.send((request, send.filter(|_| self.status == 200)));
    }

    fn dialled(&self) -> u32 {
        self.dialled.load(Ordering::Relaxed)
    }
}

fn pool() -> Pool<io::Error> {
    Pool::new(LIMITS.idle)
}

async fn open_one(
    pool: &Pool<io::Error>,
    far: &Arc<Far>,
    number: u8,
) -> Result<Carried, OpenError<io::Error>> {
    let opened = soon(pool.open(&key(number), &outgoing(), || Arc::clone(far).dial())).await;
    opened.map(|(carried, ())| carried)
}

#[tokio::test]
async fn a_call_has_the_headers_that_peers_read() {
    let (far, mut calls) = Far::new(200, 200);
    let carried = open_one(&pool(), &far, 1).await.unwrap();
    assert_eq!(carried.peer().to_string(), "k8s.namespace.name=there");
    let (request, _) = soon(calls.recv()).await.unwrap();
    assert_eq!(request.method(), http::Method::CONNECT);
    assert_eq!(request.uri().to_string(), "10.0.0.1:80");
    assert_eq!((request.uri().scheme(), request.uri().path()), (None, ""));
    let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("forwarded"), r#"for="10.0.0.9:40000""#);
    assert_eq!(header("baggage"), "k8s.namespace.name=shop");
    assert_eq!(header("traceparent"), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");
    assert!(!request.body().is_end_stream());
}

#[tokio::test]
async fn the_greeting_says_what_is_taken() {
    let (near, far) = duplex(256 * 1024);
    let near = Mutex::new(Some(near));
    let purse = Bounded::new(1 << 30);
    let pool = pool();
    let (key, outgoing) = (key(1), outgoing());
    let opening = pool.open(&key, &outgoing, || dialled(near.lock().unwrap().take(), &purse));
    let reading = async {
        let mut raw = Raw::server(far, &[(3, 50)]).await;
        let settings = raw.next_of(SETTINGS).await.unwrap().payload;
        for (id, value) in [(2_u16, 0_u32), (4, 1 << 20), (5, 1 << 20), (6, 16 * 1024)] {
            let entry = [id.to_be_bytes().to_vec(), value.to_be_bytes().to_vec()].concat();
            assert!(settings.chunks_exact(6).any(|chunk| chunk == entry), "{id}: {settings:?}");
        }
    };
    tokio::select! {
        _ = opening => panic!("nobody has answered"),
        () = reading => {}
    }
}

#[tokio::test]
async fn any_other_status_is_an_error() {
    for status in [100, 204, 302, 400, 401, 503].into_iter().filter(|status| *status >= 200) {
        let (far, _calls) = Far::new(200, status);
        let pool = pool();
        let error = open_one(&pool, &far, 1).await.err().unwrap();
        assert!(matches!(error, OpenError::Status(seen) if seen == status), "{error}");
        // The connection is as good as before.
        open_one(&pool, &far, 1).await.err().unwrap();
        assert_eq!(far.dialled(), 1);
        assert_eq!(pool.count(), (1, 1));
    }
}

#[tokio::test]
async fn a_full_connection_is_joined_by_another_and_used_again() {
    for (streams_max, places) in [(200, 100), (7, 7)] {
        let (far, _calls) = Far::new(streams_max, 200);
        let pool = pool();
        let mut carried = vec![open_one(&pool, &far, 1).await.unwrap()];
        while carried.len() < places {
            carried.push(open_one(&pool, &far, 1).await.unwrap());
        }
        assert_eq!(far.dialled(), 1);
        carried.push(open_one(&pool, &far, 1).await.unwrap());
        assert_eq!((far.dialled(), pool.count()), (2, (0, 2)));
        carried.clear();
        assert_eq!(pool.count(), (2, 2));
        tokio::time::sleep(Duration::from_millis(50)).await;
        for _ in 0..2 * places {
            carried.push(open_one(&pool, &far, 1).await.unwrap());
        }
        assert_eq!(far.dialled(), 2);
    }
}

#[tokio::test]
async fn keys_share_nothing_and_do_not_wait_for_each_other() {
    let (far, _calls) = Far::new(200, 200);
    let pool = Arc::new(pool());
    let stuck = Arc::clone(&pool);
    let never = tokio::spawn(async move {
        let dial = std::future::pending::<io::Result<Dialled<DuplexStream>>>;
        stuck.open(&key(1), &outgoing(), dial).await.map(drop)
    });
    tokio::task::yield_now().await;
    let other_workload = Key { workload: "shop/db".into(), ..key(1) };
    let other_tenant = Key { tenant: "green".into(), ..key(1) };
    let other_certificate = Key { serial: "02".into(), ..key(1) };
    let other_network = Key { network: 8, ..key(1) };
    for other in [key(2), other_workload, other_tenant, other_certificate, other_network] {
        soon(pool.open(&other, &outgoing(), || Arc::clone(&far).dial())).await.unwrap();
    }
    assert_eq!(far.dialled(), 5);
    never.abort();
}

#[tokio::test]
async fn a_call_is_told_on_which_connection_it_is_and_one_that_is_not_kept_opens_no_more() {
    let (far, _calls) = Far::new(200, 200);
    let pool = Pool::<io::Error, u32>::new(LIMITS.idle);
    let open = |mark| {
        let (pool, far) = (&pool, &far);
        async move {
            let dial = || async {
                let Dialled { io, mark: (), until, purse } = Arc::clone(far).dial().await?;
                Ok(Dialled { io, mark, until, purse })
            };
            soon(pool.open(&key(1), &outgoing(), dial)).await.unwrap()
        }
    };
    let (_first, first) = open(1).await;
    let (_second, second) = open(2).await;
    assert_eq!((first, second, far.dialled()), (1, 1, 1));
    pool.retain(|_, mark| *mark != 1);
    let (_third, third) = open(3).await;
    assert_eq!((third, far.dialled(), pool.count()), (3, 2, (0, 1)));
}

#[tokio::test]
async fn one_dials_and_the_others_of_its_key_wait() {
    let (far, _calls) = Far::new(200, 200);
    let pool = Arc::new(pool());
    let gate = Arc::new(Semaphore::new(0));
    let all: Vec<_> = (0..50)
        .map(|_| {
            let (pool, far, gate) = (Arc::clone(&pool), Arc::clone(&far), Arc::clone(&gate));
            tokio::spawn(async move {
                let dial = || async {
                    gate.acquire().await.unwrap().forget();
                    Arc::clone(&far).dial().await
                };
                pool.open(&key(1), &outgoing(), dial).await
            })
        })
        .collect();
    tokio::task::yield_now().await;
    gate.add_permits(1);
    let mut carried = Vec::new();
    for one in all {
        carried.push(soon(one).await.unwrap().unwrap());
    }
    assert_eq!((far.dialled(), pool.count()), (1, (0, 1)));
}

#[tokio::test]
async fn who_waits_shares_the_error_and_who_gives_up_is_followed() {
    let pool = Arc::new(pool());
    let gate = Arc::new(Semaphore::new(0));
    let tries = Arc::new(AtomicU32::new(0));
    let all: Vec<_> = (0..20)
        .map(|_| {
            let (pool, gate, tries) = (Arc::clone(&pool), Arc::clone(&gate), Arc::clone(&tries));
            tokio::spawn(async move {
                let dial = || async {
                    tries.fetch_add(1, Ordering::Relaxed);
                    gate.acquire().await.unwrap().forget();
                    Err::<Dialled<DuplexStream>, _>(io::Error::from(io::ErrorKind::ConnectionRefused))
                };
                pool.open(&key(1), &outgoing(), dial).await.map(drop)
            })
        })
        .collect();
    tokio::task::yield_now().await;
    // Whoever dials now gives up, and somebody else dials.
    all[0].abort();
    tokio::time::sleep(Duration::from_millis(20)).await;
    gate.add_permits(1);
    for one in all.into_iter().skip(1) {
        let error = soon(one).await.unwrap().unwrap_err();
        assert!(matches!(error, OpenError::Dial(_)), "{error}");
    }
    assert_eq!(tries.load(Ordering::Relaxed), 2);
    assert_eq!(pool.count(), (0, 0));
}

/// A peer that goes away before it has looked at a call is no reason to fail the call.
#[tokio::test]
async fn goaway_is_honoured_and_the_call_goes_elsewhere() {
    let (far, _calls) = Far::new(200, 200);
    let (near, leaving) = duplex(256 * 1024);
    let near = Mutex::new(Some(near));
    let purse = Bounded::new(1 << 30);
    let pool = pool();
    let dial = || async {
        let first = near.lock().unwrap().take();
        match first {
            Some(io) => dialled(Some(io), &purse).await,
            None => Arc::clone(&far).dial().await,
        }
    };
    let (key, outgoing) = (key(1), outgoing());
    let leave = async {
        let mut raw = Raw::server(leaving, &[]).await;
        raw.next_of(HEADERS).await.unwrap();
        raw.send(&frame(GOAWAY, 0, 0, &[0; 8])).await;
        // It goes on reading: nothing more comes but the end.
        let mut later = Vec::new();
        while let Some(frame) = raw.next().await {
            later.push(frame.kind);
        }
        later
    };
    let (opened, later) = tokio::join!(soon(pool.open(&key, &outgoing, dial)), soon(leave));
    opened.unwrap();
    assert!(!later.contains(&HEADERS), "{later:?}");
    assert_eq!((far.dialled(), pool.count()), (1, (1, 1)));
}

#[tokio::test]
async fn a_refused_stream_is_tried_again_and_not_for_ever() {
    let pool = pool();
    let purse = Bounded::new(1 << 30);
    let (near, refusing) = duplex(256 * 1024);
    let near = Mutex::new(Some(near));
    let refuse = async {
        let mut raw = Raw::server(refusing, &[]).await;
        let mut count = 0;
        while let Some(frame_in) = raw.next().await {
            if frame_in.kind == HEADERS {
                count += 1;
                raw.send(&frame(RST_STREAM, 0, frame_in.stream, &REFUSED_STREAM.to_be_bytes())).await;
            }
            if count == 3 {
                break;
            }
        }
        raw
    };
    let (key, outgoing) = (key(1), outgoing());
    let opening = pool.open(&key, &outgoing, || dialled(near.lock().unwrap().take(), &purse));
    let (opened, _raw) = tokio::join!(soon(opening), soon(refuse));
    assert!(matches!(opened, Err(OpenError::Exhausted)));
}

#[tokio::test]
async fn a_connection_opens_nothing_after_its_certificates() {
    let (far, mut calls) = Far::new(200, 200);
    let mut short = Arc::into_inner(far).unwrap();
    short.lifetime = Duration::from_millis(150);
    let far = Arc::new(short);
    let pool = pool();
    let first = open_one(&pool, &far, 1).await.unwrap();
    let (mut request, _send) = soon(calls.recv()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let _second = open_one(&pool, &far, 1).await.unwrap();
    assert_eq!((far.dialled(), pool.count()), (2, (0, 1)));
    // What was open goes on.
    let data = tokio::time::timeout(Duration::from_millis(50), request.body_mut().data()).await;
    assert!(data.is_err(), "{data:?}");
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_given_up() {
    let (far, mut calls) = Far::new(200, 200);
    let pool = pool();
    let purse = Arc::clone(&far.purse);
    let carried = open_one(&pool, &far, 1).await.unwrap();
    let held = calls.recv().await.unwrap();
    tokio::time::sleep(2 * LIMITS.idle).await;
    assert_eq!(pool.count(), (0, 1));
    drop((carried, held));
    tokio::time::sleep(LIMITS.idle / 2).await;
    assert_eq!(pool.count(), (1, 1));
    tokio::time::sleep(LIMITS.idle).await;
    assert_eq!(pool.count(), (0, 0));
    assert_eq!(purse.taken(), 0);
}

#[tokio::test]
async fn drained_it_opens_nothing_more_on_what_there_is() {
    let (far, _calls) = Far::new(200, 200);
    let pool = pool();
    let _open = open_one(&pool, &far, 1).await.unwrap();
    pool.drain();
    assert_eq!(pool.count(), (0, 0));
    let _other = open_one(&pool, &far, 1).await.unwrap();
    assert_eq!(far.dialled(), 2);
}

#[tokio::test]
async fn a_tenant_without_room_is_told() {
    let pool = pool();
    let purse = Bounded::new(1000);
    let (near, _far) = duplex(1024);
    let near = Mutex::new(Some(near));
    let opened = pool.open(&key(1), &outgoing(), || dialled(near.lock().unwrap().take(), &purse)).await;
    assert!(matches!(opened, Err(OpenError::Busy)));
    assert_eq!(purse.taken(), 0);
}

/// Fifty calls at once, where the peer takes three at a time: none waits behind another on a connection.
#[tokio::test]
async fn a_peer_that_takes_few_streams_is_dialled_more_often() {
    let (far, _calls) = Far::new(3, 200);
    let pool = Arc::new(pool());
    let all: Vec<_> = (0..50)
        .map(|_| {
            let (pool, far) = (Arc::clone(&pool), Arc::clone(&far));
            tokio::spawn(async move { open_one(&pool, &far, 1).await })
        })
        .collect();
    let mut carried = Vec::new();
    for one in all {
        carried.push(soon(one).await.unwrap().unwrap());
    }
    assert_eq!((far.dialled(), pool.count()), (17, (0, 17)));
}

#[tokio::test]
async fn a_connection_that_ends_before_it_has_begun_is_an_error() {
    let (near, far) = duplex(1024);
    drop(far);
    let error = carried(near).await.err().unwrap();
    assert!(matches!(error, OpenError::Failed(Closed::Lost(_) | Closed::ByPeer)), "{error}");
}
