//! From what was read to settings with a judgement.

use super::gpu::{Fact, NvidiaFacts};
use super::params::{Params, number};
use super::{Judgement, Setting};

/// Characters of a value that are kept: the rest would be somebody's essay.
const VALUE_MAX: usize = 256;

/// A file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Text {
    /// There is none.
    #[default]
    Absent,
    /// It could not be read.
    Failed(String),
    /// What it holds.
    Read(String),
}

/// Everything that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readings {
    /// `/proc/driver/nvidia/params`
    pub params: Text,
    /// `/proc/driver/nvidia/version`
    pub version: Text,
    /// `/sys/kernel/security/lockdown`
    pub lockdown: Text,
    /// `enforce_isolation` of each AMD device: where it is, and what it holds.
    pub amd: Vec<(String, Text)>,
    /// RDMA devices are there.
    pub has_rdma: bool,
    /// `exclusive` or `shared`.
    pub rdma_mode: Text,
    /// `dmem.max` of tenants' groups: the workload, and what it holds.
    pub dmem: Vec<(String, Text)>,
    /// Pairs of tenants whose processes can be the same user of the host; or why that is not known.
    pub uid_overlaps: Result<Vec<(String, String)>, String>,
    /// What NVML says; `None` where the driver is not loaded.
    pub nvidia: Result<Option<NvidiaFacts>, String>,
}

impl Default for Readings {
    fn default() -> Self {
        Self {
            params: Text::Absent,
            version: Text::Absent,
            lockdown: Text::Absent,
            amd: Vec::new(),
            has_rdma: false,
            rdma_mode: Text::Absent,
            dmem: Vec::new(),
            uid_overlaps: Ok(Vec::new()),
            nvidia: Ok(None),
        }
    }
}

const PARAMS: &str = "/proc/driver/nvidia/params";
const VERSION: &str = "/proc/driver/nvidia/version";
const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

/// What is weak about a value; `None` when it is good.
type Rule = fn(u32) -> bool;

/// Parameters that are numbers: name, when it is good, what it means otherwise.
const NUMBERS: &[(&str, Rule, &str)] = &[
    (
        "RmProfilingAdminOnly",
        |n| n == 1,
        "every user may read performance counters, which tell of other tenants",
    ),
    ("ModifyDeviceFiles", |n| n == 0, "the driver's helper may make device files anew, with its own modes"),
    ("ImexChannelCount", |_| true, ""),
    (
        "CreateImexChannel0",
        |n| n == 0,
        "an IMEX channel is made for everybody: memory can be shared across nodes through it",
    ),
];

/// Registry keys: name, what they are where nobody set them, when a value is good, what it means otherwise.
const KEYS: &[(&str, &str, Rule, &str)] = &[
    (
        "RMDisableScrubOnFree",
        "0",
        |n| n == 0,
        "freed memory is not overwritten before it is given to another",
    ),
    (
        "RMDisableAsyncSysmemScrub",
        "0",
        |n| n == 0,
        "freed memory of the host is not overwritten in the background",
    ),
    ("RmValidateClientData", "unset", |n| n != 0, "what clients hand to the driver is not validated"),
];

/// Every setting, in the order of the sources.
#[must_use]
pub fn judge(readings: &Readings) -> Vec<Setting> {
    let mut out = nvidia_params(&readings.params);
    out.push(version(&readings.version));
    out.extend(nvml(&readings.nvidia));
    out.extend(amd(&readings.amd));
    out.push(lockdown(&readings.lockdown));
    out.push(rdma(readings.has_rdma, &readings.rdma_mode));
    out.extend(dmem(&readings.dmem));
    out.push(uids(&readings.uid_overlaps));
    out
}

fn setting(name: &str, source: &str, value: &str, judgement: Judgement, detail: &str) -> Setting {
    let value = value.chars().filter(|c| !c.is_control()).take(VALUE_MAX).collect();
    Setting {
        name: name.to_owned(),
        source: source.to_owned(),
        value,
        judgement,
        detail: detail.chars().take(VALUE_MAX).collect(),
    }
}

fn graded(name: &str, source: &str, value: &str, is_good: bool, weak: &str) -> Setting {
    let judgement = if is_good { Judgement::Good } else { Judgement::Weak };
    setting(name, source, value, judgement, if is_good { "as it should be" } else { weak })
}

fn nvidia_params(text: &Text) -> Vec<Setting> {
    let names = NUMBERS.iter().map(|(name, ..)| *name).chain(KEYS.iter().map(|(name, ..)| *name));
    let names = names.chain(["CoherentGPUMemoryMode"]);
    let all = |judgement, why: &str| {
        names.clone().map(|name| setting(name, PARAMS, "", judgement, why)).collect::<Vec<_>>()
    };
    let params = match text {
        Text::Absent => return all(Judgement::Absent, "NVIDIA's driver is not loaded"),
        Text::Failed(why) => return all(Judgement::Unknown, why),
        Text::Read(text) => match Params::parse(text) {
            Ok(params) => params,
            Err(why) => return all(Judgement::Unknown, &why),
        },
    };
    let mut out: Vec<Setting> =
        NUMBERS.iter().map(|(name, rule, weak)| parameter(&params, name, *rule, weak)).collect();
    out.extend(KEYS.iter().map(|(name, unset, rule, weak)| key(&params, name, unset, *rule, weak)));
    out.push(coherent(&params));
    out
}

fn parameter(params: &Params, name: &str, rule: Rule, weak: &str) -> Setting {
    match params.get(name).map(|value| (value, number(value))) {
        Some((value, Some(read))) => graded(name, PARAMS, value, rule(read), weak),
        Some((value, None)) => setting(name, PARAMS, value, Judgement::Unknown, "not a number"),
        None => setting(name, PARAMS, "", Judgement::Unknown, "this driver does not say"),
    }
}

/// Weak when it is weak for a single device; what is no number is not known to be good.
fn key(params: &Params, name: &str, unset: &str, rule: Rule, weak: &str) -> Setting {
    let values = params.registry(name);
    if values.is_empty() {
        return setting(name, PARAMS, unset, Judgement::Good, "the driver's own default");
    }
    let shown = values.join(" ");
    let read: Vec<Option<u32>> = values.iter().map(|value| number(value)).collect();
    if read.iter().flatten().any(|value| !rule(*value)) {
        return setting(name, PARAMS, &shown, Judgement::Weak, weak);
    }
    match read.iter().all(Option::is_some) {
        true => setting(name, PARAMS, &shown, Judgement::Good, "as it should be"),
        false => setting(name, PARAMS, &shown, Judgement::Unknown, "not a number"),
    }
}

fn coherent(params: &Params) -> Setting {
    const NAME: &str = "CoherentGPUMemoryMode";
    match params.get(NAME) {
        Some("driver") => graded(NAME, PARAMS, "driver", true, ""),
        Some("") => {
            setting(NAME, PARAMS, "", Judgement::Good, "the default; it matters on coherent platforms alone")
        }
        Some("numa") => graded(
            NAME,
            PARAMS,
            "numa",
            false,
            "the kernel hands out the GPU's memory as its own: the gate does not see it",
        ),
        Some(other) => setting(NAME, PARAMS, other, Judgement::Unknown, "a mode that is not known"),
        None => setting(NAME, PARAMS, "", Judgement::Unknown, "this driver does not say"),
    }
}

fn version(text: &Text) -> Setting {
    const NAME: &str = "nvidia driver version";
    match text {
        Text::Absent => setting(NAME, VERSION, "", Judgement::Absent, "NVIDIA's driver is not loaded"),
        Text::Failed(why) => setting(NAME, VERSION, "", Judgement::Unknown, why),
        Text::Read(text) => {
            let line = text.lines().next().unwrap_or_default();
            let line = line.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
            match line.starts_with("NVRM version:") {
                true => setting(
                    NAME,
                    VERSION,
                    &line,
                    Judgement::Good,
                    "whether it has known holes is not looked up",
                ),
                false => setting(NAME, VERSION, &line, Judgement::Unknown, "not a version of NVIDIA's"),
            }
        }
    }
}

fn nvml(read: &Result<Option<NvidiaFacts>, String>) -> Vec<Setting> {
    let facts = match read {
        Ok(Some(facts)) => facts,
        Ok(None) => {
            return vec![setting("gpus", "NVML", "", Judgement::Absent, "NVIDIA's driver is not loaded")];
        }
        Err(why) => return vec![setting("gpus", "NVML", "", Judgement::Unknown, why)],
    };
    let mut out = Vec::new();
    for gpu in &facts.gpus {
        let source = format!("NVML {}", gpu.uuid);
        let mut of = |name: &str, fact: &Fact, rule: fn(&str) -> bool, weak: &str| {
            out.push(match fact {
                Fact::Is(value) => graded(name, &source, value, rule(value), weak),
                Fact::Unsupported => {
                    setting(name, &source, "", Judgement::Absent, "this device cannot have it")
                }
                Fact::Unknown(why) => setting(name, &source, "", Judgement::Unknown, why),
            });
        };
        of(
            "ecc",
            &gpu.ecc,
            |value| value == "on",
            "bits that flip, by chance or by a neighbour's doing, are not noticed",
        );
        of("mig", &gpu.mig, |_| true, "");
        of("persistence", &gpu.persistence, |_| true, "");
        of(
            "compute mode",
            &gpu.compute_mode,
            |value| value != "prohibited",
            "no job can run, that of the scrubber neither",
        );
        of("gsp firmware", &gpu.gsp, |_| true, "");
        of("driver", &facts.driver, |_| true, "");
    }
    out
}

fn amd(devices: &[(String, Text)]) -> Vec<Setting> {
    const NAME: &str = "enforce_isolation";
    if devices.is_empty() {
        return vec![setting(NAME, "/sys/class/drm", "", Judgement::Absent, "no device of AMD's has it")];
    }
    let of = |(source, text): &(String, Text)| match text {
        Text::Read(text) => {
            let text = text.trim();
            // A number for each partition: 1 clears registers and local memory between processes.
            let good = !text.is_empty() && text.split_ascii_whitespace().all(|word| word == "1");
            graded(NAME, source, text, good, "registers and local memory are not cleared between processes")
        }
        Text::Absent => setting(NAME, source, "", Judgement::Absent, "this device cannot have it"),
        Text::Failed(why) => setting(NAME, source, "", Judgement::Unknown, why),
    };
    devices.iter().map(of).collect()
}

fn lockdown(text: &Text) -> Setting {
    const NAME: &str = "lockdown";
    match text {
        Text::Absent => setting(
            NAME,
            LOCKDOWN,
            "",
            Judgement::Absent,
            "the kernel has no lockdown, or securityfs is not mounted",
        ),
        Text::Failed(why) => setting(NAME, LOCKDOWN, "", Judgement::Unknown, why),
        Text::Read(text) => {
            let chosen =
                text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(word, _)| word);
            match chosen {
                Some("none") => graded(NAME, LOCKDOWN, "none", false, "root may change the running kernel"),
                Some(word @ ("integrity" | "confidentiality")) => graded(NAME, LOCKDOWN, word, true, ""),
                _ => setting(NAME, LOCKDOWN, text.trim(), Judgement::Unknown, "no mode is marked"),
            }
        }
    }
}

fn rdma(has_rdma: bool, mode: &Text) -> Setting {
    const NAME: &str = "rdma namespaces";
    const SOURCE: &str = "netlink RDMA";
    match (has_rdma, mode) {
        (false, _) => setting(NAME, SOURCE, "", Judgement::Absent, "there is no RDMA device"),
        (true, Text::Read(mode)) => {
            let weak = "every network namespace sees every RDMA device: `rdma system set netns exclusive`";
            graded(NAME, SOURCE, mode, mode == "exclusive", weak)
        }
        (true, Text::Absent) => setting(NAME, SOURCE, "", Judgement::Unknown, "the kernel does not say"),
        (true, Text::Failed(why)) => setting(NAME, SOURCE, "", Judgement::Unknown, why),
    }
}

fn dmem(groups: &[(String, Text)]) -> Vec<Setting> {
    const NAME: &str = "dmem.max";
    if groups.iter().all(|(_, text)| *text == Text::Absent) {
        let why = "no workload's control group bounds device memory: the kernel has no such controller, or it is off";
        return vec![setting(NAME, "cgroup", "", Judgement::Absent, why)];
    }
    let of = |(workload, text): &(String, Text)| match text {
        Text::Read(text) => {
            let lines: Vec<&str> = text.lines().collect();
            let good = !lines.is_empty() && lines.iter().all(|line| !line.ends_with(" max"));
            graded(NAME, workload, &lines.join(", "), good, "this workload may take all device memory")
        }
        Text::Absent => setting(NAME, workload, "", Judgement::Absent, "the controller is off in its group"),
        Text::Failed(why) => setting(NAME, workload, "", Judgement::Unknown, why),
    };
    groups.iter().map(of).collect()
}

fn uids(overlaps: &Result<Vec<(String, String)>, String>) -> Setting {
    const NAME: &str = "host users of tenants";
    const SOURCE: &str = "/proc/PID/uid_map";
    match overlaps {
        Err(why) => setting(NAME, SOURCE, "", Judgement::Unknown, why),
        Ok(pairs) if pairs.is_empty() => graded(NAME, SOURCE, "apart", true, ""),
        Ok(pairs) => {
            let words: Vec<String> = pairs.iter().map(|(one, other)| format!("{one}+{other}")).collect();
            let weak = "processes of these tenants can be the same user of the host: give each user namespaces of its own";
            graded(NAME, SOURCE, &words.join(" "), false, weak)
        }
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
