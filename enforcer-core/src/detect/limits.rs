//! Every bound of detection stands here.

/// Buckets of a window: it ends now, and reaches back between 59/60 and the whole of its length.
pub const BUCKETS: u64 = 60;
/// Seconds of a window, at least and at most.
pub const WINDOW_SECONDS: (u64, u64) = (60, 7 * 24 * 3_600);
/// Different values (addresses, ports) that are told apart for one subject. Up to this the count is exact; beyond it is
/// "at least". No threshold for them may be larger.
pub const DISTINCT_MAX: usize = 512;
/// Subjects (workloads, processes, pairs) of one tenant that one rule follows.
pub const SUBJECTS_MAX: usize = 256;
/// Values of all subjects of one tenant together that one rule holds: some 1 MiB.
pub const VALUES_MAX: usize = 16_384;
/// Tenants that one rule follows.
pub const TENANTS_MAX: usize = 4_096;
/// Alerts of one rule for one tenant in one cool-down; what goes beyond is counted, and told with the next.
pub const ALERTS_MAX: u32 = 16;
/// Rules.
pub const RULES_MAX: usize = 256;
/// Overrides, and tenants, of one rule.
pub const TENANTS_OF_RULE_MAX: usize = 1_024;
/// Windows that a baseline remembers: a week of hours.
pub const HISTORY: usize = 168;
/// Windows that a baseline must have seen before it speaks, at least; and when nothing is said.
pub const SAMPLES_MIN: u64 = 8;
/// See [`SAMPLES_MIN`].
pub const SAMPLES_DEFAULT: u64 = 24;
/// How many deviations above the median a limit may be told to stand.
pub const FACTOR_MAX: u64 = 1_000;
/// Largest threshold of what is counted.
pub const THRESHOLD_MAX: u64 = 1 << 50;
/// Seconds that a response lasts, at least and at most.
pub const EXPIRY_SECONDS: (u64, u64) = (1, 7 * 24 * 3_600);
/// Seconds without another alert for the same, at least and at most.
pub const COOLDOWN_SECONDS: (u64, u64) = (1, 7 * 24 * 3_600);
/// New flows a second that a rate limit leaves, at most.
pub const RATE_MAX: u32 = 1_000_000;
/// Responses at once for one tenant, whatever is configured.
pub const RESPONSES_PER_TENANT_MAX: usize = 64;
/// Responses at once.
pub const RESPONSES_MAX: usize = 4_096;
/// How far a clock may go back and be taken for unsteady rather than set.
pub const BACKWARD_TOLERATED_NS: u64 = 2_000_000_000;
/// How much a learned limit grows from window to window, whatever comes: by one part in so many, and one.
pub const GROWTH_PART: u64 = 50;
