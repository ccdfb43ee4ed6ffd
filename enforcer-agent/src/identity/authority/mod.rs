//! The authority that a node can be for itself and for others: tenant CAs below a root, and what they sign.
