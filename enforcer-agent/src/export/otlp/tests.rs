//! Collectors that are away, slow, full and discontent, played over real connections.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::*;
use crate::door::stop::Stopper;
use crate::export::metrics::tests::{collector as metrics, played};

/// How long anything may take here.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a played collector answers; when nothing is said, it takes everything.
enum Answer {
    Refuse(Status),
    Partial(i64),
    Never,
}

#[derive(Default)]
struct Heard {
    /// How often each record came.
    records: Mutex<BTreeMap<String, u32>>,
    headers: Mutex<Vec<Option<String>>>,
    metrics: Mutex<Vec<String>>,
    answers: Mutex<VecDeque<Answer>>,
}

impl Heard {
    fn answering(answers: impl IntoIterator<Item = Answer>) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.into_iter().collect()), ..Self::default() })
    }

    fn total(&self) -> u64 {
        self.records.lock().unwrap().values().map(|times| u64::from(*times)).sum()
    }

    fn distinct(&self) -> u64 {
        u64::try_from(self.records.lock().unwrap().len()).unwrap()
    }
}

#[derive(Clone)]
struct Played(Arc<Heard>);

#[tonic::async_trait]
impl LogsService for Played {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let header = request.metadata().get("x-key").and_then(|value| value.to_str().ok()).map(str::to_owned);
        self.0.headers.lock().unwrap().push(header);
        let answer = self.0.answers.lock().unwrap().pop_front();
        let rejected = match answer {
            Some(Answer::Refuse(status)) => return Err(status),
            Some(Answer::Never) => std::future::pending().await,
            Some(Answer::Partial(rejected)) => rejected,
            None => 0,
        };
        let logs = request.into_inner().resource_logs.into_iter().flat_map(|logs| logs.scope_logs);
        let mut records = self.0.records.lock().unwrap();
        for log in logs.flat_map(|logs| logs.log_records) {
            let uid = log.attributes.into_iter().find(|attribute| attribute.key == "log.record.uid").unwrap();
            let Some(Value::StringValue(uid)) = uid.value.unwrap().value else { panic!("no text") };
            *records.entry(uid).or_default() += 1;
        }
        let partial_success = (rejected > 0).then(|| ExportLogsPartialSuccess {
            rejected_log_records: rejected,
            error_message: "too old".to_owned(),
        });
        Ok(Response::new(ExportLogsServiceResponse { partial_success }))
    }
}

#[tonic::async_trait]
impl MetricsService for Played {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let metrics =
            request.into_inner().resource_metrics.into_iter().flat_map(|metrics| metrics.scope_metrics);
        let names = metrics.flat_map(|metrics| metrics.metrics).map(|metric| metric.name);
        self.0.metrics.lock().unwrap().extend(names);
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

/// A collector that listens until it is dropped.
struct Open(tokio::task::JoinHandle<()>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn listen(address: SocketAddr, heard: &Arc<Heard>) -> (Open, SocketAddr) {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let played = Played(Arc::clone(heard));
    let serving = tonic::transport::Server::builder()
        .add_service(LogsServiceServer::new(played.clone()))
        .add_service(MetricsServiceServer::new(played))
        .serve_with_incoming(TcpListenerStream::new(listener));
    (Open(tokio::spawn(async move { serving.await.unwrap() })), address)
}

/// An address at which nobody listens yet.
async fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// Records with the numbers from 1, as many as were produced.
#[derive(Clone)]
struct Source(Arc<watch::Sender<u64>>);

impl Source {
    fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    fn produce(&self, records: u64) {
        self.0.send_modify(|produced| *produced += records);
    }

    fn subscribe(&self) -> Subscribe {
        let source = self.clone();
        Arc::new(move |scope, start, follows| {
            assert!(follows && scope == Scope::Everything);
            let mut next = match start {
                Start::After(number) => number + 1,
                Start::Oldest => 1,
                Start::Newest => *source.0.borrow() + 1,
            };
            let mut produced = source.0.subscribe();
            let (sender, receiver) = mpsc::channel(16);
            tokio::spawn(async move {
                while produced.wait_for(|produced| *produced >= next).await.is_ok() {
                    let record =
                        v1::Record { sequence: next, r#type: "flow".to_owned(), ..v1::Record::default() };
                    if sender.send(record).await.is_err() {
                        return;
                    }
                    next += 1;
                }
            });
            Box::pin(ReceiverStream::new(receiver))
        })
    }
}

/// An exporter that runs.
struct Site {
    state: TempDir,
    source: Source,
    address: SocketAddr,
    told: Arc<Mutex<Vec<v1::Record>>>,
    max_bytes: u64,
    headers: Option<PathBuf>,
}

struct Running {
    stopper: Stopper,
    tasks: JoinSet<()>,
}

impl Running {
    async fn stop(mut self) {
        self.stopper.stop();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

impl Site {
    fn new(address: SocketAddr) -> Self {
        let (state, source) = (tempfile::tempdir().unwrap(), Source::new());
        Self { state, source, address, told: Arc::default(), max_bytes: 1 << 22, headers: None }
    }

    fn run(&self) -> Running {
        let (stopper, mut tasks) = (Stopper::default(), JoinSet::new());
        let (policy, _) = played(Arc::default());
        let told = Arc::clone(&self.told);
        let collector = CollectorSettings {
            endpoint: format!("http://{}", self.address).parse().unwrap(),
            tls: None,
            headers_file: self.headers.clone(),
        };
        let settings = OtlpSettings {
            everything: Some(collector),
            tenants: BTreeMap::new(),
            spool_directory: None,
            spool_max_bytes: self.max_bytes,
            batch_records: 10,
            batch_delay: Duration::from_millis(20),
            timeout: Duration::from_secs(1),
            metrics_interval: Duration::from_secs(1),
        };
        let parts = Parts {
            settings,
            state_directory: self.state.path().to_owned(),
            key: Some(Zeroizing::new([3; 32])),
            node: Node { name: "n1".to_owned(), version: "1".to_owned(), kernel: "6".to_owned() },
            numbering: Numbering::Continues,
            subscribe: self.source.subscribe(),
            tell: Arc::new(move |record| told.lock().unwrap().push(record)),
            metrics: metrics(policy),
            stop: stopper.listener(),
        };
        open(parts, &mut tasks).unwrap();
        Running { stopper, tasks }
    }

    /// What was told to be lost, by cause.
    fn lost(&self) -> BTreeMap<String, u64> {
        let mut lost = BTreeMap::new();
        for record in self.told.lock().unwrap().iter() {
            assert_eq!((record.r#type.as_str(), record.node.as_str()), ("loss", "n1"));
            *lost.entry(record.reason.clone()).or_default() += record.lost_before;
        }
        lost
    }
}

async fn until(what: &str, is_true: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_true() {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_collector_that_comes_back_gets_everything_once() {
    let site = Site::new(free().await);
    let running = site.run();
    site.source.produce(95);
    sleep(Duration::from_millis(500)).await;
    let heard = Heard::answering([]);
    let (_open, _) = listen(site.address, &heard).await;
    until("all records", || heard.distinct() >= 95).await;
    site.source.produce(5);
    until("the later ones", || heard.distinct() >= 100).await;
    assert_eq!((heard.total(), heard.distinct()), (100, 100));
    assert!(heard.records.lock().unwrap().contains_key("n1/0/100"));
    until("metrics", || heard.metrics.lock().unwrap().iter().any(|name| name == "enforcer.verdicts")).await;
    running.stop().await;
    assert_eq!(site.lost(), BTreeMap::new());
}

#[tokio::test]
async fn a_restart_goes_on_where_the_collector_was() {
    let site = Site::new(free().await);
    let running = site.run();
    site.source.produce(50);
    sleep(Duration::from_millis(500)).await;
    running.stop().await;
    // Records that came while no agent ran.
    site.source.produce(7);
    let running = site.run();
    let heard = Heard::answering([]);
    let (open, _) = listen(site.address, &heard).await;
    until("all records", || heard.distinct() >= 57).await;
    running.stop().await;
    let running = site.run();
    site.source.produce(3);
    until("the later ones", || heard.distinct() >= 60).await;
    running.stop().await;
    drop(open);
    assert_eq!((heard.total(), heard.distinct()), (60, 60), "nothing twice");
    assert_eq!(site.lost(), BTreeMap::new());
}

#[tokio::test]
async fn what_a_full_spool_drops_is_told_exactly() {
    let mut site = Site::new(free().await);
    site.max_bytes = 16 * 1024;
    let running = site.run();
    site.source.produce(5_000);
    until("losses", || site.lost().values().sum::<u64>() > 3_000).await;
    sleep(Duration::from_secs(2)).await;
    let heard = Heard::answering([]);
    let (_open, _) = listen(site.address, &heard).await;
    let lost = || site.lost().get("otlp_spool_full").copied().unwrap_or_default();
    until("the rest", || heard.distinct() + lost() >= 5_000).await;
    running.stop().await;
    assert_eq!((heard.total(), heard.distinct() + lost()), (heard.distinct(), 5_000));
    assert!(heard.distinct() > 100, "{} were held", heard.distinct());
    assert!(heard.records.lock().unwrap().contains_key("n1/0/5000"), "the newest are kept");
}

#[tokio::test]
async fn a_collector_is_answered_by_the_rules() {
    let later = ErrorDetails::with_retry_info(Some(Duration::from_millis(1_500)));
    let heard = Heard::answering([
        Answer::Refuse(Status::unavailable("overloaded")),
        Answer::Refuse(Status::with_error_details(Code::ResourceExhausted, "full", later)),
        Answer::Never,
        Answer::Partial(4),
        Answer::Refuse(Status::invalid_argument("nonsense")),
    ]);
    let (_open, address) = listen(([127, 0, 0, 1], 0).into(), &heard).await;
    let mut site = Site::new(address);
    let headers = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(headers.path(), "x-key: secret\n").unwrap();
    site.headers = Some(headers.path().to_owned());
    let running = site.run();
    let begun = Instant::now();
    site.source.produce(30);
    until("the last batch", || heard.distinct() >= 20).await;
    // A wait of our own, the one that was asked for, a time-out, and another of our own.
    assert!(begun.elapsed() > Duration::from_millis(500 + 1_500 + 1_000 + 1_000), "{:?}", begun.elapsed());
    until("losses", || site.lost().len() == 2).await;
    running.stop().await;
    let expected = [("otlp_refused".to_owned(), 10), ("otlp_rejected".to_owned(), 4)];
    assert_eq!(site.lost(), BTreeMap::from(expected));
    assert_eq!(heard.headers.lock().unwrap().len(), 6);
    assert!(heard.headers.lock().unwrap().iter().all(|header| header.as_deref() == Some("secret")));
}

#[tokio::test]
async fn a_disk_that_takes_nothing_holds_records_back_and_loses_none() {
    let site = Site::new(free().await);
    let spool = site.state.path().join("export/otlp/everything");
    let heard = Heard::answering([]);
    let (_open, _) = listen(site.address, &heard).await;
    let running = site.run();
    std::fs::rename(&spool, site.state.path().join("away")).unwrap();
    site.source.produce(50);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(heard.total(), 0);
    std::fs::rename(site.state.path().join("away"), &spool).unwrap();
    until("all records", || heard.distinct() >= 50).await;
    running.stop().await;
    assert_eq!((heard.total(), site.lost()), (50, BTreeMap::new()));
}
