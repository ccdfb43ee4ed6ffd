//! Replays the corpus of every fuzz target: what a fuzzer found once stays found.

use std::path::Path;

use enforcer_core::doors::DOORS;

#[test]
fn every_door_keeps_its_promise_on_its_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus");
    for (name, door) in DOORS {
        let folder = corpus.join(name);
        let mut replayed = 0;
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{name}: {error}")) {
            let path = entry.unwrap().path();
            door(&std::fs::read(&path).unwrap());
            replayed += 1;
        }
        assert!(replayed > 0, "{name} has no corpus");
    }
}

#[test]
fn every_door_has_a_fuzz_target() {
    let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/fuzz_targets");
    for (name, _) in DOORS {
        assert!(targets.join(format!("{name}.rs")).is_file(), "{name}");
    }
}
