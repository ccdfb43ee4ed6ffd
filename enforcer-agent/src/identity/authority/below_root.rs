//! A trust domain's CA below the root, so that who trusts the root alone can verify what it signs.

use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use tracing::{info, warn};

use super::domain::{Domain, DomainError, Tools, kind};
use super::member::{CaKey, CaMember};
use super::profile::{Rank, Validity};
use super::rotation;

impl Domain {
    /// The CA that signs, its certificate below the root, and what lies within both and `lifetime`.
    pub(super) fn signing(
        &mut self,
        tools: Tools<'_>,
        lifetime: Duration,
    ) -> Result<(Arc<CaKey>, CertificateDer<'static>, Validity), DomainError> {
        self.step(tools)?;
        let now = tools.now;
        self.bring_under_root(tools)?;
        let active = self.state.as_ref().and_then(|state| rotation::active(&state.cas, now.as_secs()));
        let Some(CaMember { ca, under_root: Some(above) }) = active.map(|entry| &entry.key) else {
            return Err(self.closed());
        };
        let validity =
            Validity::from_now(now, lifetime).within(ca.validity, now)?.within(above.validity, now)?;
        Ok((Arc::clone(ca), above.certificate.clone(), validity))
    }

    /// Has the root sign the CA, unless this root did. While there is no root, what an earlier one signed serves
    /// as long as it is valid.
    fn bring_under_root(&mut self, tools: Tools<'_>) -> Result<(), DomainError> {
        let Some(state) = &self.state else { return Err(self.closed()) };
        let Some(active) = rotation::active(&state.cas, tools.now.as_secs()) else {
            return Err(self.closed());
        };
        let valid = active.key.under_root.as_deref().filter(|above| tools.now < above.validity.not_after);
        let root = match (tools.root, valid) {
            (Ok(root), Some(above)) if above.root == root.digest => return Ok(()),
            (Ok(root), _) => root,
            (Err(_), Some(_)) => return Ok(()),
            (Err(problem), None) => return Err(DomainError::Root(problem.to_owned())),
        };
        let kind = kind(&self.name, tools.config);
        let constrained = tools.config.name_constraints && kind.rank == Rank::Tenant;
        let signed = match root.sign(&self.name, &active.key.ca, kind.rank, constrained, tools.now) {
            Ok(signed) => signed,
            Err(problem) if valid.is_some() => {
                warn!(domain = %self.name, %problem, "the new root does not sign; what the old one signed serves on");
                return Ok(());
            }
            Err(problem) => return Err(DomainError::Root(problem.to_string())),
        };
        let mut state = state.clone();
        let signed = Arc::new(signed);
        for entry in &mut state.cas {
            if Arc::ptr_eq(&entry.key.ca, &active.key.ca) {
                entry.key.under_root = Some(Arc::clone(&signed));
            }
        }
        info!(domain = %self.name, root = %signed.root, "the root signed a trust domain's authority");
        if let Err(error) = self.keep(tools, state.clone()) {
            // The root can sign it again.
            warn!(domain = %self.name, %error, "what the root signed could not be kept");
            self.state = Some(state);
        }
        Ok(())
    }
}
