//! What the agent's own door promises, as a function over bytes: the body of the fuzz target `config`, and of the
//! test that replays its corpus. It panics when the door breaks its promise.

use std::path::PathBuf;

use crate::config::host::Host;
use crate::config::{raw, resolve};

/// The body of a fuzz target.
pub type Door = fn(&[u8]);

/// Every door of this crate, by the name of its fuzz target and corpus folder.
pub const DOORS: &[(&str, Door)] = &[("config", config)];

/// Whatever is resolved is usable: absolute paths, a tag with room, no network door that lets everyone in.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(raw) = raw::parse(text) else { return };
    let host = Host { name: Some("node".to_owned()), cgroup_mount: Some(PathBuf::from("/sys/fs/cgroup")) };
    match resolve::resolve(raw, &host) {
        Ok(settings) => {
            for path in [&settings.state_directory, &settings.socket.path, &settings.pin_directory] {
                assert!(path.is_absolute(), "{path:?}");
            }
            assert!(settings.tag.limit() >= 0xff, "{:?}", settings.tag);
            let has_identity = settings.identity.is_some();
            assert!(settings.listener.is_none_or(|listener| {
                let has_material = has_identity || (listener.own.is_some() && listener.client_ca.is_some());
                !(listener.allowed.is_empty() && listener.readers.is_empty()) && has_material
            }));
            assert!(settings.hubble.is_none_or(|hubble| hubble.socket.path.is_absolute()));
            let has_trace = settings.trace.as_ref().is_some_and(|trace| trace.directory.is_absolute());
            assert!(settings.trace.is_none() || (has_trace && settings.identity.is_some()));
            assert!(settings.identity.is_none_or(|identity| identity.socket.is_absolute()));
            if let Some(otlp) = settings.export.otlp {
                for collector in otlp.everything.iter().chain(otlp.tenants.values()) {
                    let is_secure = collector.endpoint.scheme_str() == Some("https");
                    assert!(is_secure == collector.tls.is_some() && collector.endpoint.host().is_some());
                }
            }
        }
        Err(problems) => assert!(!problems.is_empty(), "refused without a reason"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_door_keeps_its_promise_on_its_corpus_and_has_a_fuzz_target() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz");
        for (name, door) in DOORS {
            assert!(fuzz.join("fuzz_targets").join(format!("{name}.rs")).is_file(), "{name}");
            let folder = fuzz.join("corpus").join(name);
            let mut replayed = 0;
            for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{name}: {error}")) {
                door(&std::fs::read(entry.unwrap().path()).unwrap());
                replayed += 1;
            }
            assert!(replayed > 0, "{name} has no corpus");
        }
    }
}
