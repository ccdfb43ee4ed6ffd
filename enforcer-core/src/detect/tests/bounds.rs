//! Bounds: nobody fills the memory, and nobody pushes out another tenant's evidence.

use enforcer_proto::v1;

use super::*;
use crate::detect::limits::{ALERTS_MAX, SUBJECTS_MAX, VALUES_MAX};

fn from(tenant: &str, workload: &str, number: u32, port: u32) -> v1::Record {
    let address = std::net::Ipv6Addr::from(0xfd00_u128 << 112 | u128::from(number)).to_string();
    v1::Record {
        source: end(tenant, workload, "10.0.0.1", 1),
        destination: end("blue", "", &address, port),
        ..flow("deny")
    }
}

#[test]
fn a_million_sources_stay_within_the_bound() {
    let mut engine = Engine::new(&rule("{pattern: port-scan, window: 5m, threshold: 30}"), MONDAY);
    let mut alerts = 0;
    for number in 0..1_000_000 {
        let address = std::net::Ipv4Addr::from(0x0b00_0000 + number).to_string();
        let record = v1::Record {
            source: end("world", "", &address, 1),
            destination: end("blue", "db", "10.0.0.2", number % 65_536),
            ..flow("deny")
        };
        alerts += engine.observe(&record, MONDAY + u64::from(number) * 1_000, &party).len();
    }
    let (subjects, values) = engine.held();
    assert!(subjects <= SUBJECTS_MAX, "{subjects}");
    assert!(values <= VALUES_MAX, "{values}");
    assert_eq!(alerts, 0);
    assert!(engine.tallies().pushed_out > 990_000);
}

#[test]
fn values_of_all_subjects_together_are_bounded() {
    let mut scene = Scene::new("{pattern: host-scan, window: 1h, threshold: 512}");
    for port in 1..200 {
        for number in 0..400 {
            scene.see(from("red", "web", number, port));
        }
    }
    assert!(scene.engine.held().1 <= VALUES_MAX);
}

#[test]
fn a_flood_of_one_tenant_leaves_anothers_alert_standing() {
    let mut scene = Scene::new("{pattern: host-scan, window: 5m, threshold: 20}");
    let mut of_blue = 0;
    for number in 0..20 {
        for noise in 0..2_000 {
            scene.see(from("noisy", &format!("w{noise}"), noise, number));
        }
        of_blue += scene.see(from("quiet", "web", number, 22)).len();
    }
    assert_eq!(of_blue, 1);
}

#[test]
fn a_flood_from_outside_pushes_out_nothing_of_the_tenants_own() {
    let mut scene = Scene::new("{pattern: host-scan, window: 5m, threshold: 20}");
    let mut told = 0;
    for number in 0..20 {
        for noise in 0..2_000 {
            let address = std::net::Ipv4Addr::from(0x0b00_0000 + noise).to_string();
            let from_outside = v1::Record { source: end("world", "", &address, 1), ..flow("deny") };
            scene.see(v1::Record { destination: end("red", "web", "10.0.0.1", 80), ..from_outside });
        }
        told += scene.see(from("red", "web", number, 22)).len();
    }
    assert_eq!(told, 1);
}

#[test]
fn one_tenant_cannot_raise_alerts_without_end() {
    let mut scene = Scene::new("{pattern: refusals-per-process, window: 5m, threshold: 1, cooldown: 10m}");
    let by =
        |pid| v1::Record { process: Some(v1::Process { pid, ..v1::Process::default() }), ..flow("deny") };
    let told: usize = (1..5_000).map(|pid| scene.see(by(pid)).len()).sum();
    assert_eq!(told, usize::try_from(ALERTS_MAX).unwrap());
    scene.pass(10 * MINUTE);
    assert_eq!(scene.see(by(9_999)).len(), 1);
}

#[test]
fn names_that_no_policy_has_are_not_kept() {
    let mut scene = Scene::new("{pattern: source-addresses, threshold: 2}");
    for number in 0..100 {
        let name = "w".repeat(300) + &number.to_string();
        let record = v1::Record { source: end("red", &name, "10.0.0.1", 1), ..flow("allow") };
        assert!(scene.see(record).is_empty());
    }
    assert_eq!(scene.engine.held(), (0, 0));
}

#[test]
fn who_leaves_the_policy_is_forgotten() {
    let mut scene = Scene::new("{pattern: failed-accesses, threshold: 2}");
    scene.see(flow("deny"));
    scene.engine.retain(&|tenant| tenant != "red");
    assert_eq!(scene.engine.held(), (0, 0));
}
