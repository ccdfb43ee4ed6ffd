//! Which certificate a workload of this node holds, to be put into its records.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use enforcer_core::policy::model::Name;
use enforcer_proto::v1;

use crate::door::tunnel::{Credential, Credentials};

#[derive(Default)]
pub(super) struct Serials {
    credentials: Option<Credentials>,
    /// By workload: SPIFFE ID and serial number, spelt once.
    known: HashMap<Name, (String, String)>,
}

impl Serials {
    pub(super) fn new(credentials: Option<Credentials>) -> Self {
        let mut serials = Self { credentials, known: HashMap::new() };
        if let Some(credentials) = &mut serials.credentials {
            serials.known = spell(&credentials.borrow_and_update());
        }
        serials
    }

    /// Looks whether certificates were issued or renewed.
    pub(super) fn refresh(&mut self) {
        if let Some(credentials) = &mut self.credentials
            && credentials.has_changed().unwrap_or(false)
        {
            self.known = spell(&credentials.borrow_and_update());
        }
    }

    /// Puts in what is not said yet.
    pub(super) fn fill(&self, end: Option<&mut v1::Endpoint>) {
        let Some(end) = end.filter(|end| !end.workload.is_empty() && end.spiffe_id.is_empty()) else {
            return;
        };
        if let Some((id, serial)) = self.known.get(end.workload.as_str()) {
            end.spiffe_id.clone_from(id);
            end.svid_serial.clone_from(serial);
        }
    }
}

fn spell(credentials: &BTreeMap<Name, Arc<Credential>>) -> HashMap<Name, (String, String)> {
    let spelt = credentials
        .iter()
        .map(|(name, credential)| (Arc::clone(name), (credential.id.to_string(), credential.serial.clone())));
    spelt.collect()
}
