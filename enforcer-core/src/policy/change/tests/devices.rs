//! Grants of accelerators.

use super::*;

fn granted(name: &str, id: u32, tier: &str, grant: &str) -> String {
    tenant(name, id, &format!(", tier: {tier}, devices: [{grant}]"))
}

fn both(tiers: [&str; 2], grants: [&str; 2]) -> Result<Changed, Vec<Problem>> {
    let red = granted("red", 16, tiers[0], grants[0]);
    let blue = granted("blue", 17, tiers[1], grants[1]);
    add(&Policy::default(), &[red, blue])
}

const GPU: &str = "{class: nvidia, minors: [0]}";

#[test]
fn one_accelerator_for_two_tenants_needs_both_to_be_shared() {
    assert!(both(["shared", "shared"], [GPU, GPU]).is_ok());
    let codes = |outcome| refused(outcome).into_iter().map(|(code, _)| code).collect::<Vec<_>>();
    assert_eq!(codes(both(["shared", "partitioned"], [GPU, GPU])), ["device_overlap", "device_overlap"]);
    assert!(both(["shared", "partitioned"], [GPU, "{class: nvidia, minors: [1]}"]).is_ok());
    assert!(both(["isolated", "isolated"], ["{class: nvidiactl}", "{class: nvidiactl}"]).is_ok());
}

#[test]
fn the_card_and_the_render_node_of_one_gpu_are_one_accelerator() {
    let outcome = both(
        ["partitioned", "shared"],
        ["{class: dri-card, minors: [1]}", "{class: dri-render, minors: [1]}"],
    );
    assert!(outcome.is_err());
}

#[test]
fn a_tenant_that_leaves_shared_gives_its_company_away() {
    let before = both(["shared", "shared"], [GPU, GPU]).unwrap().policy;
    let outcome = add(&before, &[granted("red", 16, "isolated", GPU)]);
    assert_refused(outcome, "device_overlap", "tenants[red].devices[0]");
}

#[test]
fn accelerators_are_named_one_by_one_and_fabric_doors_are_nobodys() {
    let one = |grant| add(&Policy::default(), &[granted("red", 16, "shared", grant)]);
    assert_refused(one("{class: nvidia}"), "device_minors_required", "tenants[red].devices[0].minors");
    assert_refused(one("{class: umad, minors: [0]}"), "device_never_granted", "tenants[red].devices[0]");
    assert_refused(one("{class: nvidia, minors: []}"), "empty_list", "tenants[red].devices[0].minors");
    assert_refused(
        one("{class: char:0195, minors: [0]}"),
        "invalid_device_class",
        "tenants[red].devices[0].class",
    );
    assert!(one("{class: char:240, minors: [0]}, {class: rdma_cm}").is_ok());
}
