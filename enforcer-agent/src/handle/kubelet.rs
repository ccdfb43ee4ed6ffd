//! The kubelet's word about which pod was given which device: its `PodResources` API, asked anew each time, since a kubelet
//! that was restarted has a new socket.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use enforcer_core::device::ledger::{Allocations, Pod};
use enforcer_core::device::number::DeviceNumber;
use enforcer_core::device::table::DeviceTable;
use enforcer_proto::podresources::pod_resources_lister_client::PodResourcesListerClient;
use enforcer_proto::podresources::{ListPodResourcesRequest, ListPodResourcesResponse};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tonic::transport::{Endpoint, Uri};
use tower::service_fn;

/// How long an answer may take, with everything before it.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Bytes of an answer: a thousand pods with a hundred devices each are below it.
const ANSWER_MAX_BYTES: usize = 16 << 20;
/// Ids that nobody can read, of which so many are kept.
const UNMAPPED_MAX: usize = 64;
/// Bytes of an id.
const ID_MAX_BYTES: usize = 256;
/// Vendors whose resources name their devices by the number within a class.
const NUMBERED: &[(&str, &str)] = &[("nvidia.com/", "nvidia"), ("gpu.intel.com/", "dri-render")];

/// Asks the kubelet behind this socket.
///
/// # Errors
/// It is not there, is not root's, or does not answer in time; in a sentence.
pub(super) async fn ask(
    socket: &Path,
    table: &DeviceTable,
    ids: &BTreeMap<String, DeviceNumber>,
) -> Result<Allocations, String> {
    let answer = match timeout(ANSWER_MAX, list(socket)).await {
        Ok(answer) => answer.map_err(|why| format!("the kubelet at {}: {why}", socket.display()))?,
        Err(_) => {
            let after = ANSWER_MAX.as_secs();
            return Err(format!("the kubelet at {} has not answered within {after} s", socket.display()));
        }
    };
    Ok(allocations(answer, table, ids))
}

async fn list(socket: &Path) -> Result<ListPodResourcesResponse, String> {
    let stream = UnixStream::connect(socket).await.map_err(|error| error.to_string())?;
    let peer = stream.peer_cred().map_err(|error| error.to_string())?;
    if peer.uid() != 0 {
        return Err(format!("who listens there is user {}, and not root", peer.uid()));
    }
    // One connection: the one whose other end was looked at.
    let mut once = Some(TokioIo::new(stream));
    let connector = service_fn(move |_: Uri| {
        let stream = once.take().ok_or_else(|| std::io::Error::other("the connection has ended"));
        async move { stream }
    });
    let channel = Endpoint::from_static("http://localhost").connect_with_connector(connector).await;
    let channel = channel.map_err(|error| error.to_string())?;
    let mut client = PodResourcesListerClient::new(channel).max_decoding_message_size(ANSWER_MAX_BYTES);
    let answer = client.list(ListPodResourcesRequest {}).await;
    answer
        .map(tonic::Response::into_inner)
        .map_err(|status| format!("{}: {}", status.code(), status.message()))
}

fn allocations(
    answer: ListPodResourcesResponse,
    table: &DeviceTable,
    ids: &BTreeMap<String, DeviceNumber>,
) -> Allocations {
    let mut allocations = Allocations::default();
    for pod in answer.pod_resources {
        let who = Pod { namespace: pod.namespace, name: pod.name };
        for container in pod.containers {
            let plugged = container.devices.into_iter().flat_map(|of| {
                let resource = of.resource_name;
                of.device_ids.into_iter().map(move |id| (resource.clone(), id))
            });
            let claims = container.dynamic_resources.into_iter().flat_map(|claim| claim.claim_resources);
            let claimed =
                claims.flat_map(|claim| claim.cdi_devices).map(|device| match device.name.rsplit_once('=') {
                    Some((kind, name)) => (kind.to_owned(), name.to_owned()),
                    None => (String::new(), device.name),
                });
            for (resource, id) in plugged.chain(claimed) {
                match device(&resource, &id, table, ids) {
                    Some(device) => drop(allocations.devices.entry(device).or_default().insert(who.clone())),
                    None if allocations.unmapped.len() < UNMAPPED_MAX => {
                        allocations.unmapped.insert(bounded(format!("{resource}={id}")));
                    }
                    None => {}
                }
            }
        }
    }
    allocations
}

/// Which device an id means: as the driver knows it, as `/dev` shows it, or by its number where the vendor counts.
fn device(
    resource: &str,
    id: &str,
    table: &DeviceTable,
    ids: &BTreeMap<String, DeviceNumber>,
) -> Option<DeviceNumber> {
    // Replicas of a device that is shared in time: "UUID::3".
    let id = id.split_once("::").map_or(id, |(id, _)| id);
    if let Some(device) = ids.get(id) {
        return Some(*device);
    }
    let class = NUMBERED.iter().find(|(vendor, _)| resource.starts_with(vendor)).map(|(_, class)| *class);
    let forms = [
        Some(id.to_owned()),
        (!id.starts_with('/')).then(|| format!("/dev/{id}")),
        class.filter(|_| id.bytes().all(|byte| byte.is_ascii_digit())).map(|class| format!("{class}:{id}")),
    ];
    let region = forms.into_iter().flatten().find_map(|form| table.parse_device(&form).ok())?;
    table.class_of(
        enforcer_core::device::class::Kind::from_number(region.kind)?,
        region.major,
        region.minor,
    )?;
    DeviceNumber::from_words(region.kind, region.major, region.minor)
}

fn bounded(mut text: String) -> String {
    if let Some(end) = (0..=ID_MAX_BYTES).rev().find(|end| text.is_char_boundary(*end)) {
        text.truncate(end);
    }
    text
}
