use super::*;

/// As a driver of 2025 writes it.
const STRICT: &str = "ResmanDebugLevel: 4294967295\nModifyDeviceFiles: 0\nDeviceFileMode: 438\n\
    RmProfilingAdminOnly: 1\nImexChannelCount: 2048\nCreateImexChannel0: 0\n\
    CoherentGPUMemoryMode: \"driver\"\nRegistryDwords: \"\"\nRegistryDwordsPerDevice: \"\"\n\
    TemporaryFilePath: \"/var/tmp\"\n";

fn of(readings: &Readings, name: &str) -> (String, Judgement) {
    let found = judge(readings).into_iter().find(|setting| setting.name == name).unwrap();
    (found.value, found.judgement)
}

fn with_params(text: &str) -> Readings {
    Readings { params: Text::Read(text.to_owned()), ..Readings::default() }
}

#[test]
fn each_parameter_is_judged() {
    let strict = with_params(STRICT);
    for name in ["RmProfilingAdminOnly", "ModifyDeviceFiles", "CreateImexChannel0", "CoherentGPUMemoryMode"] {
        assert_eq!(of(&strict, name).1, Judgement::Good, "{name}");
    }
    for (word, weak, name) in [
        ("RmProfilingAdminOnly: 1", "RmProfilingAdminOnly: 0", "RmProfilingAdminOnly"),
        ("CreateImexChannel0: 0", "CreateImexChannel0: 1", "CreateImexChannel0"),
        ("\"driver\"", "\"numa\"", "CoherentGPUMemoryMode"),
        ("RegistryDwords: \"\"", "RegistryDwords: \"RMDisableScrubOnFree=0x1\"", "RMDisableScrubOnFree"),
        ("PerDevice: \"\"", "PerDevice: \"pci=0:3b:0.0;RMDisableScrubOnFree=1\"", "RMDisableScrubOnFree"),
        ("RegistryDwords: \"\"", "RegistryDwords: \"RmValidateClientData=0\"", "RmValidateClientData"),
        (
            "RegistryDwords: \"\"",
            "RegistryDwords: \"RMDisableAsyncSysmemScrub=1\"",
            "RMDisableAsyncSysmemScrub",
        ),
    ] {
        assert_eq!(of(&with_params(&STRICT.replace(word, weak)), name).1, Judgement::Weak, "{weak}");
    }
}

#[test]
fn what_cannot_be_read_is_unknown_and_what_is_not_there_is_absent() {
    assert_eq!(of(&Readings::default(), "RMDisableScrubOnFree").1, Judgement::Absent);
    assert_eq!(of(&with_params("garbage\n"), "RMDisableScrubOnFree").1, Judgement::Unknown);
    let odd = STRICT.replace("RegistryDwords: \"\"", "RegistryDwords: \"RMDisableScrubOnFree=maybe\"");
    assert_eq!(of(&with_params(&odd), "RMDisableScrubOnFree").1, Judgement::Unknown);
    let failed = Readings { nvidia: Err("the library is missing".to_owned()), ..Readings::default() };
    assert_eq!(of(&failed, "gpus").1, Judgement::Unknown);
}

#[test]
fn kernel_settings_are_judged() {
    let lockdown = |text: &str| Readings { lockdown: Text::Read(text.to_owned()), ..Readings::default() };
    assert_eq!(
        of(&lockdown("[none] integrity confidentiality\n"), "lockdown"),
        ("none".to_owned(), Judgement::Weak)
    );
    assert_eq!(of(&lockdown("none [integrity] confidentiality\n"), "lockdown").1, Judgement::Good);
    let rdma = |mode: &str| Readings {
        has_rdma: true,
        rdma_mode: Text::Read(mode.to_owned()),
        ..Readings::default()
    };
    assert_eq!(of(&rdma("shared"), "rdma namespaces").1, Judgement::Weak);
    assert_eq!(of(&rdma("exclusive"), "rdma namespaces").1, Judgement::Good);
    let amd = |text: &str| Readings {
        amd: vec![("card0".to_owned(), Text::Read(text.to_owned()))],
        ..Readings::default()
    };
    assert_eq!(of(&amd("1 1\n"), "enforce_isolation").1, Judgement::Good);
    assert_eq!(of(&amd("1 0\n"), "enforce_isolation").1, Judgement::Weak);
    let pairs = vec![("red".to_owned(), "blue".to_owned())];
    let shared = Readings { uid_overlaps: Ok(pairs), ..Readings::default() };
    assert_eq!(of(&shared, "host users of tenants"), ("red+blue".to_owned(), Judgement::Weak));
}
