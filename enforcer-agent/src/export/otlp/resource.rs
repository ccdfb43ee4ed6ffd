//! Who says it: the node and the agent, in the words of the semantic conventions.

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::Node;
use super::attributes::Attributes;

pub(super) fn resource(node: &Node) -> Resource {
    let mut put = Attributes::default();
    put.text("service.name", "enforcer-agent");
    put.text("service.version", &node.version);
    put.text("service.instance.id", &node.name);
    put.text("host.name", &node.name);
    put.text("os.type", "linux");
    put.text("os.version", &node.kernel);
    Resource { attributes: put.done(), ..Resource::default() }
}

pub(super) fn scope() -> InstrumentationScope {
    let (name, version) = ("enforcer".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    InstrumentationScope { name, version, ..InstrumentationScope::default() }
}
