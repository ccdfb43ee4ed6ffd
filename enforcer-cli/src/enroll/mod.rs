//! A node's first certificate: its key and request, what is believed of the answer, and how both are kept. Who may
//! be a node is the authority's business, and not known here.

pub(crate) mod node_svid;
pub(crate) mod place;
pub(crate) mod request;
