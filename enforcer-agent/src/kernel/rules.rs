//! A tenant's rules and grants in the tables, under a generation: written, checked, deleted.

use enforcer_common::maps::PairKey;
use enforcer_core::enforce::EnforceError;
use enforcer_core::policy::image::TenantImage;

use super::error::kernel;
use super::read_back::{TenantKeys, count};
use super::tables::{Tables, cidr_key, grant_key, port_key};

impl Tables {
    pub(super) fn write_tenant(&mut self, image: &TenantImage, generation: u32) -> Result<u64, EnforceError> {
        let id = image.id;
        for (peer, value) in &image.pairs {
            let key = PairKey { owner: id, generation, peer: *peer };
            self.pairs.insert(key, value, 0).map_err(kernel("write", "PAIRS"))?;
        }
        for (region, value) in &image.ports {
            self.ports
                .insert(port_key(id, generation, region), value, 0)
                .map_err(kernel("write", "PORTS"))?;
        }
        for (region, value) in &image.cidrs {
            self.cidrs
                .insert(&cidr_key(id, generation, region), value, 0)
                .map_err(kernel("write", "CIDRS"))?;
        }
        for (region, value) in &image.grants {
            self.grants
                .insert(grant_key(id, generation, region), value, 0)
                .map_err(kernel("write", "GRANTS"))?;
        }
        Ok(count(image.pairs.len() + image.ports.len() + image.cidrs.len() + image.grants.len()))
    }

    pub(super) fn check_tenant(&self, image: &TenantImage, generation: u32) -> Result<(), EnforceError> {
        if self.read_tenant(image, generation) == *image {
            return Ok(());
        }
        Err(EnforceError::Mismatch { difference: format!("rules of tenant {}", image.id) })
    }

    /// Deletes a generation of a tenant; what is not there needs no deleting.
    pub(super) fn delete_tenant(&mut self, owner: u32, keys: &TenantKeys) -> Result<(), EnforceError> {
        let generation = keys.generation;
        for peer in &keys.peers {
            gone(self.pairs.remove(&PairKey { owner, generation, peer: *peer }), "PAIRS")?;
        }
        for region in &keys.ports {
            gone(self.ports.remove(&port_key(owner, generation, region)), "PORTS")?;
        }
        for region in &keys.cidrs {
            gone(self.cidrs.remove(&cidr_key(owner, generation, region)), "CIDRS")?;
        }
        for region in &keys.grants {
            gone(self.grants.remove(&grant_key(owner, generation, region)), "GRANTS")?;
        }
        Ok(())
    }
}

/// A deletion after which the entry is not there, also when it was not there before.
fn gone(outcome: Result<(), aya::maps::MapError>, table: &'static str) -> Result<(), EnforceError> {
    match outcome {
        Ok(()) | Err(aya::maps::MapError::KeyNotFound) => Ok(()),
        Err(aya::maps::MapError::SyscallError(error))
            if error.io_error.raw_os_error() == Some(libc::ENOENT) =>
        {
            Ok(())
        }
        Err(error) => Err(kernel("delete from", table)(error)),
    }
}
