//! A GPU from nobody known to its first tenant: the rooms of custody, of handles and of posture, joined as in an agent, the
//! helper `scrub-nvidia` as their child, over a fake of the driver's libraries. The kernel's gate and its walk over processes
//! are played by the test. No real GPU was ever at hand.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, in functions that are no tests themselves"
)]

mod stage;

use enforcer_agent::custody::scrub::Reset;
use enforcer_core::device::custody::receipt::Evidence;

use crate::stage::{BYTES, CONTEXT_BYTES, LEFT, Stage};

#[tokio::test]
async fn what_is_left_is_overwritten_before_the_first_tenant_and_the_receipt_says_so() {
    let stage = Stage::set(None);
    let device = stage.until("in_use").await;
    assert_eq!(device.tenants, ["red"]);
    assert!(stage.is_open_to_red());
    let receipts = stage.receipts();
    assert_eq!(receipts.len(), 1);
    let receipt = &receipts[0].receipt;
    assert_eq!(receipt.method, "nvidia");
    assert_eq!((receipt.bytes_total, receipt.bytes_covered), (BYTES, BYTES - CONTEXT_BYTES));
    assert!(receipt.samples.count >= 4096 && receipt.samples.mismatches == 0, "{receipt:?}");
    assert_eq!(receipt.evidence, Evidence::Sampled);
    assert_eq!(receipt.device.uuid, "GPU-face0102-0304-0506-0708-090a0b0c0d0e");
    assert!(
        receipt.detail.contains("cuda-memset") && receipt.detail.contains("held something"),
        "{receipt:?}"
    );
    let said = |what: &str| receipt.not_covered.iter().any(|words| words.contains(what));
    assert!(said("4194304 bytes") && said("context") && said("registers"), "{:?}", receipt.not_covered);
    assert_eq!(receipt.settings, stage.settings().await, "the digest of the settings is that of the posture");
    assert_eq!(receipt.settings.len(), 64);
    let memory = stage.memory();
    let (covered, context) = memory.split_at(memory.len() - 4 * 1024 * 1024);
    assert!(covered.iter().all(|byte| *byte == 0), "something is left");
    assert!(context.iter().all(|byte| *byte == LEFT), "what is said to be not covered is not");
}

#[tokio::test]
async fn a_driver_that_lies_leaves_the_device_failed_and_closed() {
    for fault in ["lying-memset", "failing-copy", "short-alloc"] {
        let stage = Stage::set(Some(fault));
        let device = stage.until("failed").await;
        let why = match fault {
            "lying-memset" => "exit status: 4",
            "failing-copy" => "cuMemcpyDtoH_v2",
            _ => "exit status: 5",
        };
        assert!(device.reason.contains(why), "{fault}: {}", device.reason);
        assert!(stage.is_closed() && stage.receipts().is_empty(), "{fault}");
    }
}

#[tokio::test]
async fn whom_the_driver_lists_keeps_the_device_in_quarantine_until_it_is_gone() {
    let stage = Stage::prepared(|gpu| gpu.say("FAKE_GPU_PROCESSES", "4242"), None);
    let device = stage.until_reason("its driver lists processes 4242").await;
    assert_eq!(device.state, "quarantined");
    assert!(stage.is_closed() && stage.memory().iter().all(|byte| *byte == LEFT), "scrubbed under a holder");
    stage.gpu().say("FAKE_GPU_PROCESSES", "");
    stage.until("in_use").await;
    assert_eq!(stage.receipts().len(), 1);
}

#[tokio::test]
async fn a_driver_that_cannot_be_asked_proves_nothing() {
    let stage = Stage::prepared(|gpu| gpu.say("FAKE_GPU_FAULT", "no-permission"), None);
    let device = stage.until_reason("no permission").await;
    assert_eq!(device.state, "quarantined");
    assert!(stage.is_closed() && stage.receipts().is_empty());
}

#[tokio::test]
async fn a_reset_after_a_failure_is_tried_once_and_told() {
    let stage = Stage::prepared(
        |gpu| gpu.say("FAKE_GPU_FAULT", "lying-memset"),
        Some(|gpu| (Reset::OnFailure, vec!["/bin/rm".to_owned(), gpu.path("FAKE_GPU_FAULT")])),
    );
    stage.until("in_use").await;
    let receipts = stage.receipts();
    let detail = &receipts[0].receipt.detail;
    assert!(detail.contains("reset, after a scrub that failed"), "{detail}");
    assert_eq!(receipts[0].receipt.samples.mismatches, 0);
}
