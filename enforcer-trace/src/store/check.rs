//! Checkpoints: signed for what is there, at every seal and at most once in a while.

use super::Store;
use crate::checkpoint::{self, Body, Checkpoint, LogPosition};
use crate::disk::replace;
use crate::error::StoreError;
use crate::hex;

impl Store {
    /// Signs a checkpoint when there is news and the last one is old enough. What goes wrong is tried again, and said
    /// in the status.
    pub(super) fn checkpoint_when_due(&mut self, now_ns: u64) {
        // A clock that jumped back must not hold it up.
        let is_old = now_ns.abs_diff(self.checkpoints.time_ns) >= self.limits.checkpoint_ns;
        if self.checkpoints.is_due && is_old {
            let _noted = self.checkpoint(now_ns);
        }
    }

    /// Signs a checkpoint and waits for the disk.
    pub(super) fn checkpoint(&mut self, now_ns: u64) -> Result<(), StoreError> {
        let signed = self.write_checkpoint(now_ns);
        match &signed {
            Ok(()) => {
                self.problems.remove("checkpoint");
            }
            Err(error) => self.note("checkpoint", error),
        }
        signed
    }

    fn write_checkpoint(&mut self, now_ns: u64) -> Result<(), StoreError> {
        let number = self.checkpoints.number + 1;
        let (segment, bytes) = self.log.position();
        let log =
            LogPosition { oldest: self.log.oldest(), segment, bytes, hash: hex::encode(self.log.hash()) };
        let body = Body {
            number,
            node: self.node.clone(),
            time_ns: now_ns,
            signer: hex::encode(&self.keys.public()),
            sequence: self.sequence,
            log,
            chains: self
                .chains
                .iter()
                .map(|(tenant, chain)| (tenant.clone(), chain.position().clone()))
                .filter(|(_, position)| position.lines > 0)
                .collect(),
        };
        let bytes = Checkpoint::sign(body, self.keys.as_ref())?.to_bytes();
        replace(self.disk.as_ref(), &self.directory.join(checkpoint::NAME), &bytes)?;
        self.checkpoints = super::Checkpoints { number, time_ns: now_ns, is_due: false, bytes };
        Ok(())
    }
}
