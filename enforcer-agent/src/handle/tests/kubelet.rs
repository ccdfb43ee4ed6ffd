//! The kubelet's word, over a real socket in the real protocol.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use enforcer_core::device::ledger::Pod;
use enforcer_core::device::table::DeviceTable;
use enforcer_proto::podresources::pod_resources_lister_server::{
    PodResourcesLister, PodResourcesListerServer,
};
use enforcer_proto::podresources::{
    CdiDevice, ClaimResource, ContainerDevices, ContainerResources, DynamicResource, ListPodResourcesRequest,
    ListPodResourcesResponse, PodResources,
};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::stage::{Set, Stage, gpu, holding};
use crate::handle::{Settings, kubelet};

struct Kubelet(ListPodResourcesResponse);

#[tonic::async_trait]
impl PodResourcesLister for Kubelet {
    async fn list(
        &self,
        _: Request<ListPodResourcesRequest>,
    ) -> Result<Response<ListPodResourcesResponse>, Status> {
        Ok(Response::new(self.0.clone()))
    }
}

struct Running {
    socket: PathBuf,
    server: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn start(directory: &Path, pods: Vec<PodResources>) -> Running {
    let socket = directory.join("kubelet.sock");
    let _left_by_the_one_before = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).unwrap();
    let service = PodResourcesListerServer::new(Kubelet(ListPodResourcesResponse { pod_resources: pods }));
    let server = tokio::spawn(async move {
        let incoming = UnixListenerStream::new(listener);
        Server::builder().add_service(service).serve_with_incoming(incoming).await.unwrap();
    });
    Running { socket, server }
}

fn plugged(name: &str, resource: &str, ids: &[&str]) -> PodResources {
    let devices = ContainerDevices {
        resource_name: resource.to_owned(),
        device_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
    };
    pod(name, ContainerResources { devices: vec![devices], ..ContainerResources::default() })
}

fn claimed(name: &str, cdi: &str) -> PodResources {
    let claim = ClaimResource { cdi_devices: vec![CdiDevice { name: cdi.to_owned() }] };
    let dynamic = DynamicResource { claim_resources: vec![claim], ..DynamicResource::default() };
    pod(name, ContainerResources { dynamic_resources: vec![dynamic], ..ContainerResources::default() })
}

fn pod(name: &str, container: ContainerResources) -> PodResources {
    PodResources { name: name.to_owned(), namespace: "ml".to_owned(), containers: vec![container] }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

#[tokio::test]
async fn ids_of_every_form_are_devices_and_others_are_kept_as_they_are() {
    let directory = TempDir::new().unwrap();
    let running = start(
        directory.path(),
        vec![
            plugged("a", "nvidia.com/gpu", &["GPU-7f00::2", "1"]),
            plugged("b", "example.com/gpu", &["nvidia2", "/dev/nvidia3", "9"]),
            claimed("c", "nvidia.com/gpu=4"),
            claimed("d", "k8s.gpu.nvidia.com/device=MIG-1"),
        ],
    );
    let ids = BTreeMap::from([("GPU-7f00".to_owned(), gpu(0))]);
    let answer = kubelet::ask(&running.socket, &DeviceTable::default(), &ids).await;
    if !is_root() {
        assert!(answer.unwrap_err().contains("not root"), "a socket that is not root's is nobody's word");
        return;
    }
    let answer = answer.unwrap();
    let by: Vec<(u32, String)> = answer
        .devices
        .iter()
        .flat_map(|(device, pods)| pods.iter().map(|pod| (device.minor, pod.name.clone())))
        .collect();
    let expected =
        [(0, "a"), (1, "a"), (2, "b"), (3, "b"), (4, "c")].map(|(minor, pod)| (minor, pod.to_owned()));
    assert_eq!(by, expected);
    let unmapped: Vec<&str> = answer.unmapped.iter().map(String::as_str).collect();
    assert_eq!(unmapped, ["example.com/gpu=9", "k8s.gpu.nvidia.com/device=MIG-1"]);
    assert!(answer.devices[&gpu(0)].contains(&Pod { namespace: "ml".to_owned(), name: "a".to_owned() }));
}

#[tokio::test]
async fn a_kubelet_that_is_not_there_comes_back_or_says_too_much_is_told() {
    let directory = TempDir::new().unwrap();
    let socket = directory.path().join("kubelet.sock");
    let settings = Settings { pod_resources: Some(socket.clone()), ..Set::default().settings };
    let stage = Stage::set(Set { settings, ..Set::default() });
    stage.kernel.lock().unwrap().holdings.push(holding(std::process::id(), 1, super::stage::RED));
    let absent = stage.handles().await.unwrap();
    assert!(absent.allocations_absent.contains("kubelet.sock"), "{}", absent.allocations_absent);
    assert_eq!(absent.findings, [], "nobody was asked, so nothing is missing");
    if !is_root() {
        return;
    }
    let first = start(directory.path(), vec![plugged("a", "nvidia.com/gpu", &["1"])]);
    let there = stage.handles().await.unwrap();
    assert_eq!(there.allocations_absent, "");
    let kinds: Vec<&str> = there.findings.iter().map(|finding| finding.kind.as_str()).collect();
    assert_eq!(kinds, ["holder_without_allocation", "allocation_without_holder"]);
    drop(first);
    let _second = start(directory.path(), vec![plugged("a", "nvidia.com/gpu", &["0"])]);
    assert_eq!(stage.handles().await.unwrap().findings, [], "a kubelet with a new socket is asked anew");
    let long = "x".repeat(17 << 20);
    let _third = start(directory.path(), vec![plugged(&long, "nvidia.com/gpu", &["0"])]);
    let refused = stage.handles().await.unwrap();
    assert!(!refused.allocations_absent.is_empty());
}
