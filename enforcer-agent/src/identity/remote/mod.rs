//! Another Enforcer as the authority of this node, over gRPC. It holds no authority's key.
