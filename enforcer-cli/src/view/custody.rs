//! Where devices are between two tenants, and the receipts of their handovers, with stable field names.

use enforcer_core::device::custody::receipt::Receipt;
use enforcer_proto::v1;
use serde::{Deserialize, Serialize};

use crate::console::Show;
use crate::failure::Failure;
use crate::hex;
use crate::instant;
use crate::style::{Paint, Style};
use crate::table::{Cell, Table, plain};

/// Where devices are.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CustodyView {
    devices: Vec<DeviceView>,
    unscrubbed: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct DeviceView {
    device: String,
    kind: String,
    major: u32,
    minor: u32,
    state: String,
    tenants: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    reason: String,
    receipt: String,
    scrubber: String,
    history: Vec<String>,
}

impl From<v1::CustodyResponse> for CustodyView {
    fn from(response: v1::CustodyResponse) -> Self {
        let v1::CustodyResponse { devices, unscrubbed } = response;
        Self { devices: devices.into_iter().map(DeviceView::from).collect(), unscrubbed }
    }
}

impl From<v1::DeviceCustody> for DeviceView {
    fn from(custody: v1::DeviceCustody) -> Self {
        let v1::DeviceCustody { device, state, tenants, since, reason, receipt, scrubber, history } = custody;
        let v1::DeviceName { class, number, kind, major, minor } = device.unwrap_or_default();
        Self {
            device: number.map_or_else(|| class.clone(), |number| format!("{class}:{number}")),
            kind,
            major,
            minor,
            state,
            tenants,
            since: since.as_ref().map(instant::rfc3339),
            reason,
            receipt,
            scrubber,
            history,
        }
    }
}

impl CustodyView {
    /// What a person should know beside it.
    pub(crate) fn notes(&self) -> Vec<String> {
        let note = |class: &String| {
            format!(
                "devices of class {class} change tenants without being scrubbed: no scrubber is configured"
            )
        };
        self.unscrubbed.iter().map(note).collect()
    }
}

impl Show for CustodyView {
    fn text(&self, style: Style) -> String {
        let mut table = Table::new(&["DEVICE", "STATE", "TENANTS", "SINCE", "SCRUBBER", "RECEIPT", "REASON"]);
        for device in &self.devices {
            table.row([
                Cell::from(device.device.as_str()),
                Cell::from(device.state.as_str()),
                Cell::or_absent(&device.tenants.join(",")),
                Cell::or_absent(device.since.as_deref().unwrap_or_default()),
                Cell::or_absent(&device.scrubber),
                Cell::or_absent(device.receipt.get(..12).unwrap_or_default()),
                Cell::from(device.reason.as_str()),
            ]);
        }
        table.render(style)
    }
}

/// Receipts, as `receipt verify` takes them back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ReceiptsView {
    /// Newest first.
    pub(crate) receipts: Vec<SignedView>,
}

/// A receipt and its signature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SignedView {
    /// What was signed.
    pub(crate) receipt: Receipt,
    /// Ed25519, hexadecimal.
    pub(crate) signature: String,
}

impl ReceiptsView {
    /// From an answer; what the agent calls a receipt must be one.
    pub(crate) fn read(response: v1::ReceiptsResponse) -> Result<Self, Failure> {
        let read = |signed: v1::SignedReceipt| {
            let receipt = Receipt::parse(&signed.receipt);
            let receipt = receipt.map_err(|error| Failure::Unverified(error.to_string()))?;
            Ok(SignedView { receipt, signature: hex::encode(&signed.signature) })
        };
        Ok(Self { receipts: response.receipts.into_iter().map(read).collect::<Result<_, Failure>>()? })
    }
}

impl Show for ReceiptsView {
    fn text(&self, style: Style) -> String {
        let mut table = Table::new(&[
            "ENDED", "DEVICE", "FROM", "TO", "METHOD", "EVIDENCE", "BYTES", "SAMPLES", "RECEIPT",
        ]);
        for SignedView { receipt, .. } in &self.receipts {
            let names = |names: &std::collections::BTreeSet<String>| {
                names.iter().map(String::as_str).collect::<Vec<_>>().join(",")
            };
            let evidence = serde_json::to_string(&receipt.evidence).unwrap_or_default();
            table.row([
                Cell::from(when(receipt.ended_ns).as_str()),
                Cell::from(format!("{}:{}", receipt.device.class, receipt.device.number).as_str()),
                Cell::or_absent(&names(&receipt.previous_tenants)),
                Cell::or_absent(&names(&receipt.next_tenants)),
                Cell::from(receipt.method.as_str()),
                Cell::from(evidence.trim_matches('"')),
                Cell::from(format!("{}/{}", receipt.bytes_covered, receipt.bytes_total).as_str()),
                Cell::from(format!("{}-{}", receipt.samples.count, receipt.samples.mismatches).as_str()),
                Cell::from(receipt.hash().get(..12).unwrap_or_default()),
            ]);
        }
        table.render(style)
    }
}

fn when(ns: u64) -> String {
    let at = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_nanos(ns);
    instant::rfc3339(&at.into())
}

/// Where a device came to, on a line.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StepView {
    state: String,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
}

impl From<v1::HandoverStep> for StepView {
    fn from(step: v1::HandoverStep) -> Self {
        let v1::HandoverStep { state, detail, time } = step;
        Self { state, detail, time: time.as_ref().map(instant::rfc3339) }
    }
}

impl Show for StepView {
    fn text(&self, style: Style) -> String {
        let paint = match self.state.as_str() {
            "failed" => Paint::Bad,
            "available" | "in_use" => Paint::Good,
            _ => Paint::Warn,
        };
        let state = style.paint(paint, &format!("{:<12}", plain(&self.state)));
        format!("{state} {}\n", plain(&self.detail))
    }
}

/// What a verification of receipts came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CheckedView {
    /// All are signed, and each names the one before.
    pub(crate) intact: bool,
    /// How many.
    pub(crate) receipts: usize,
    /// Fingerprints of the keys.
    pub(crate) signers: Vec<String>,
    /// What is wrong.
    pub(crate) findings: Vec<String>,
    /// What nobody looked at, of any of them.
    pub(crate) not_covered: Vec<String>,
}

impl Show for CheckedView {
    fn text(&self, style: Style) -> String {
        let word = if self.intact {
            style.paint(Paint::Good, "intact")
        } else {
            style.paint(Paint::Bad, "not as it was signed")
        };
        let mut text = format!("{word}: {} receipts\n", self.receipts);
        for finding in &self.findings {
            text.push_str(&format!("{}\n", plain(finding)));
        }
        for signer in &self.signers {
            text.push_str(&format!("signed by the key {}\n", plain(signer)));
        }
        for words in &self.not_covered {
            text.push_str(&format!("not covered: {}\n", plain(words)));
        }
        text
    }
}
