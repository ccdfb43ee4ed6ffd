//! The gated devices of a node, by class.

/// The gated devices of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceTable {}
