//! The files that a workload finds: what is in them, and not where they are.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::update::Update;
use crate::pem::{self, Label};

/// Every name that can stand at the top.
pub(crate) const NAMES: [&str; 5] = ["svid.pem", "svid_key.pem", "bundle.pem", "crl.pem", FEDERATED];
/// The directory of other trust domains' bundles.
pub(crate) const FEDERATED: &str = "federated";

/// File contents by name. A message is everything (W-2), and so is this: a name that is not here is gone (W-3).
pub(crate) struct Files {
    /// At the top.
    pub(super) top: BTreeMap<&'static str, Zeroizing<String>>,
    /// Below [`FEDERATED`].
    pub(super) federated: BTreeMap<String, Zeroizing<String>>,
}

impl Files {
    /// The files of the default SVID (W-10).
    pub(crate) fn of(update: &Update) -> Self {
        let svid = &update.first;
        let mut top = BTreeMap::from([
            ("svid.pem", certificates(&svid.chain)),
            ("svid_key.pem", pem::encode(Label::PrivateKey, [svid.key.as_slice()])),
            ("bundle.pem", certificates(&svid.bundle)),
        ]);
        if !update.crls.is_empty() {
            top.insert("crl.pem", pem::encode(Label::X509Crl, update.crls.iter().map(Vec::as_slice)));
        }
        let federated = update
            .federated
            .iter()
            .map(|(domain, authorities)| (format!("{domain}.pem"), certificates(authorities)));
        Self { top, federated: federated.collect() }
    }

    /// The names at the top, the directory among them.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        let federated = (!self.federated.is_empty()).then_some(FEDERATED);
        self.top.keys().copied().chain(federated)
    }
}

fn certificates(ders: &[Vec<u8>]) -> Zeroizing<String> {
    pem::encode(Label::Certificate, ders.iter().map(Vec::as_slice))
}
