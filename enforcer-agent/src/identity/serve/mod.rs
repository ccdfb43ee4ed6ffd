//! What workloads are served over their socket: the SPIFFE Workload API and Envoy's secret discovery.
