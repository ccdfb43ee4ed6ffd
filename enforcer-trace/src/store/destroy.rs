//! A tenant's key was destroyed: what it sealed can never be read again, and a receipt says so.

use super::Store;
use crate::disk::replace;
use crate::error::StoreError;
use crate::hex;
use crate::name;
use crate::receipt::{DIRECTORY, Destroyed, Receipt};

impl Store {
    /// Forgets a tenant's key that the caller has destroyed, and writes the receipt. The tenant's files stay: their
    /// chain can still be verified.
    ///
    /// # Errors
    /// The receipt could not be written. The key is forgotten all the same.
    pub fn destroyed(
        &mut self,
        tenant: &str,
        reason: &str,
        actor: &str,
        now_ns: u64,
    ) -> Result<Receipt, StoreError> {
        name::check(tenant)?;
        self.log.forget(tenant);
        self.stop_worker();
        let chain = self.chains.get(tenant);
        let files: Vec<_> = chain.map(|chain| chain.files().collect()).unwrap_or_default();
        let body = Destroyed {
            tenant: tenant.to_owned(),
            reason: reason.to_owned(),
            actor: actor.to_owned(),
            time_ns: now_ns,
            node: self.node.clone(),
            files: u64::try_from(files.len()).unwrap_or(u64::MAX),
            bytes: files.iter().map(|facts| facts.bytes).fold(0, u64::saturating_add),
            records: files.iter().map(|facts| facts.records).fold(0, u64::saturating_add),
            first: files.iter().map(|facts| facts.first).min().unwrap_or(0),
            last: files.iter().map(|facts| facts.last).max().unwrap_or(0),
            chain: chain.map(|chain| chain.position().clone()).unwrap_or_default(),
            signer: hex::encode(&self.keys.public()),
        };
        let receipt = Receipt::sign(body, self.keys.as_ref())?;
        let path = self.directory.join(DIRECTORY).join(format!("{tenant}-{now_ns}.json"));
        replace(self.disk.as_ref(), &path, format!("{}\n", receipt.to_json()).as_bytes())?;
        Ok(receipt)
    }
}
