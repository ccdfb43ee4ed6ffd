//! Who a caller of the workload socket is: a process, its control group, and so the workload of the policy.
