//! What travels between two ends of the tunnel, parsed and written: it knows no socket and no TLS.

pub mod hbone;
