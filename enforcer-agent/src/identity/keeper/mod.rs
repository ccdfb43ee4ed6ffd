//! Keeps every workload of the node supplied: asks for certificates in time, withdraws them at once.
