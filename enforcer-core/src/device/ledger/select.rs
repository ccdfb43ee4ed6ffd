//! The part of the ledger that somebody asked for.

use enforcer_proto::v1;

use crate::device::number::DeviceNumber;
use crate::device::table::DeviceTable;

/// Words that are neither a device nor a class.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no gated device and no class of this node: write CLASS:NUMBER or CLASS")]
pub struct UnknownSelection(pub String);

/// Which part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    tenant: Option<String>,
    device: Option<Which>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Which {
    Class(String),
    Device(DeviceNumber),
}

impl Selection {
    /// From a request's words.
    ///
    /// # Errors
    /// The device is none.
    pub fn parse(request: &v1::HandlesRequest, table: &DeviceTable) -> Result<Self, UnknownSelection> {
        let device = request.device.as_deref().map(|words| which(words, table)).transpose()?;
        Ok(Self { tenant: request.tenant.clone(), device })
    }

    /// What is left of an answer.
    #[must_use]
    pub fn of(&self, mut answer: v1::HandlesResponse) -> v1::HandlesResponse {
        let is_of = |name: &str| self.tenant.as_deref().is_none_or(|tenant| tenant == name);
        answer.handles.retain(|handle| self.wants(handle.device.as_ref()) && is_of(&handle.holder));
        answer.hidden.retain(|file| self.wants(file.device.as_ref()) && is_of(&file.opened_by));
        answer.findings.retain(|finding| {
            let concerns = self.tenant.as_ref().is_none_or(|tenant| finding.tenants.contains(tenant));
            self.wants(finding.device.as_ref()) && concerns
        });
        answer
    }

    fn wants(&self, device: Option<&v1::DeviceName>) -> bool {
        match (&self.device, device) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(Which::Class(class)), Some(device)) => device.class == *class,
            (Some(Which::Device(wanted)), Some(device)) => {
                (device.kind.as_str(), device.major, device.minor)
                    == (wanted.kind.name(), wanted.major, wanted.minor)
            }
        }
    }
}

fn which(words: &str, table: &DeviceTable) -> Result<Which, UnknownSelection> {
    if let Ok(region) = table.parse_device(words) {
        return DeviceNumber::from_words(region.kind, region.major, region.minor)
            .map(Which::Device)
            .ok_or_else(|| UnknownSelection(words.to_owned()));
    }
    if table.role(words).is_some() {
        return Ok(Which::Class(words.to_owned()));
    }
    Err(UnknownSelection(words.to_owned()))
}
