//! One look at the node's drivers and host services.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use enforcer_core::device::class::Role;
use enforcer_core::device::drivers::MAX_TEXT;
use enforcer_core::device::table::{DeviceTable, DeviceTableError, ExtraClass};
use enforcer_core::node::HostService;

/// From a control group's path to its id, if there is such a group: another room's knowledge.
pub type CgroupLookup = Arc<dyn Fn(&str) -> Result<Option<u64>, String> + Send + Sync>;

/// What the device room is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceConfig {
    /// Where drivers and their majors are listed.
    pub proc_devices: PathBuf,
    /// Where misc devices and their minors are listed.
    pub proc_misc: PathBuf,
    /// Classes beside the inventory's.
    pub extra: Vec<ExtraClass>,
    /// Who may open gated devices without being a tenant.
    pub services: Vec<ServiceConfig>,
    /// Classes whose devices are closed between two tenants.
    pub custody: BTreeSet<String>,
}

impl DeviceConfig {
    /// Of a real node.
    #[must_use]
    pub fn new(extra: Vec<ExtraClass>, services: Vec<ServiceConfig>) -> Self {
        Self {
            proc_devices: "/proc/devices".into(),
            proc_misc: "/proc/misc".into(),
            extra,
            services,
            custody: BTreeSet::new(),
        }
    }
}

/// A host service, by the path of its control group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceConfig {
    /// For records.
    pub name: String,
    /// Its control group, counted from the node's cgroup root.
    pub cgroup: String,
    /// Classes it may open; every gated one when empty.
    pub classes: Vec<String>,
}

/// The node's devices could not be listed.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// A file could not be read.
    #[error("{path}: {error}")]
    Read {
        /// Which.
        path: PathBuf,
        /// How.
        error: io::Error,
    },
    /// What was read, or the configuration, makes no table.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Table(Vec<DeviceTableError>),
}

/// Parts of [`enforcer_core::node::NodeFacts`], as they were at one look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    /// Gated devices.
    pub table: Arc<DeviceTable>,
    /// Host services that are running. One that is not is left out, and may open nothing.
    pub services: Vec<HostService>,
    /// What is configured and not there.
    pub warnings: Vec<String>,
}

/// Looks at the node.
#[derive(Clone)]
pub struct Discover {
    config: DeviceConfig,
    cgroups: CgroupLookup,
}

impl Discover {
    /// With `cgroups` to find host services by.
    #[must_use]
    pub fn new(config: DeviceConfig, cgroups: CgroupLookup) -> Self {
        Self { config, cgroups }
    }

    /// One look.
    ///
    /// # Errors
    /// The drivers cannot be listed. Whoever has an older table keeps it.
    pub fn discover(&self) -> Result<Discovery, DeviceError> {
        let devices = read(&self.config.proc_devices)?;
        let misc = read(&self.config.proc_misc)?;
        let table = DeviceTable::parse(&devices, &misc, &self.config.extra).map_err(DeviceError::Table)?;
        let mut warnings = table.warnings().to_vec();
        let (custody, unfit) = self
            .config
            .custody
            .iter()
            .cloned()
            .partition(|class| table.role(class) == Some(Role::Accelerator));
        let unfit: BTreeSet<String> = unfit;
        let unfit = unfit.into_iter().map(|class| {
            format!(
                "custody: {class} is no class of accelerators, and is handed from tenant to tenant by nobody"
            )
        });
        warnings.extend(unfit);
        let table = table.in_custody(custody);
        let mut services = Vec::new();
        for service in &self.config.services {
            for class in service.classes.iter().filter(|class| table.role(class).is_none()) {
                warnings.push(format!("host service {}: device class {class} is not known", service.name));
            }
            match (self.cgroups)(&service.cgroup) {
                Ok(Some(cgroup)) => services.push(HostService {
                    name: service.name.clone(),
                    cgroup,
                    classes: service.classes.clone(),
                }),
                Ok(None) => warnings.push(format!(
                    "host service {}: control group {} does not exist",
                    service.name, service.cgroup
                )),
                Err(error) => warnings.push(format!("host service {}: {error}", service.name)),
            }
        }
        Ok(Discovery { table: Arc::new(table), services, warnings })
    }
}

/// At most one byte more than is parsed, so that a longer file is refused and not cut.
fn read(path: &Path) -> Result<String, DeviceError> {
    let fail = |error| DeviceError::Read { path: path.to_owned(), error };
    let limit = u64::try_from(MAX_TEXT + 1).unwrap_or(u64::MAX);
    let mut text = String::new();
    std::fs::File::open(path).map_err(fail)?.take(limit).read_to_string(&mut text).map_err(fail)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn discover(directory: &Path, services: Vec<ServiceConfig>) -> Discover {
        let config = DeviceConfig {
            proc_devices: directory.join("devices"),
            proc_misc: directory.join("misc"),
            ..DeviceConfig::new(Vec::new(), services)
        };
        let cgroups: CgroupLookup = Arc::new(|path| match path {
            "/dcgm" => Ok(Some(42)),
            "/broken" => Err("it is broken".to_owned()),
            _ => Ok(None),
        });
        Discover::new(config, cgroups)
    }

    fn service(name: &str, cgroup: &str, classes: &[&str]) -> ServiceConfig {
        ServiceConfig {
            name: name.to_owned(),
            cgroup: cgroup.to_owned(),
            classes: classes.iter().map(|class| (*class).to_owned()).collect(),
        }
    }

    #[test]
    fn services_that_are_not_there_are_left_out_and_told() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("devices"), "Character devices:\n509 nvidia-uvm\n").unwrap();
        std::fs::write(directory.path().join("misc"), "").unwrap();
        let found = discover(
            directory.path(),
            vec![
                service("dcgm", "/dcgm", &["nvidia", "nvidia-warp"]),
                service("plugin", "/absent", &[]),
                service("bad", "/broken", &[]),
            ],
        )
        .discover()
        .unwrap();
        assert!(found.table.resolve("nvidia-uvm", None).is_ok());
        assert_eq!(
            found.services.iter().map(|s| (s.name.as_str(), s.cgroup)).collect::<Vec<_>>(),
            [("dcgm", 42)]
        );
        assert_eq!(
            found.warnings,
            [
                "host service dcgm: device class nvidia-warp is not known",
                "host service plugin: control group /absent does not exist",
                "host service bad: it is broken",
            ]
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_or_parsed_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let discover = discover(directory.path(), Vec::new());
        assert!(matches!(discover.discover(), Err(DeviceError::Read { .. })));
        std::fs::write(directory.path().join("devices"), "x".repeat(MAX_TEXT + 1)).unwrap();
        std::fs::write(directory.path().join("misc"), "").unwrap();
        assert!(matches!(discover.discover(), Err(DeviceError::Table(_))));
    }

    #[test]
    fn this_machine_has_devices() {
        let config = DeviceConfig::new(Vec::new(), Vec::new());
        let found = Discover::new(config, Arc::new(|_| Ok(None))).discover().unwrap();
        assert!(found.table.resolve("nvidia", Some(&[0])).is_ok());
    }
}
