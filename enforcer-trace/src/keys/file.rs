//! The key of one file, and the key material that the file carries in its footer's key metadata: PKMT1, which is what
//! parquet's key tools (pyarrow, Spark) read.

use serde::{Deserialize, Serialize};

use super::{DataKey, KeyError, Keys, MASTER_KEY_ID_MAX_BYTES, TenantKey};

const TYPE: &str = "PKMT1";
/// The name a client of these files gives the place where keys are kept.
const INSTANCE: &str = "enforcer";
const NO_URL: &str = "DEFAULT";
/// Largest key material that is read.
const MATERIAL_MAX_BYTES: usize = 4096;

/// What a file says of its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Material {
    key_material_type: String,
    internal_storage: bool,
    is_footer_key: bool,
    #[serde(rename = "kmsInstanceID")]
    kms_instance_id: String,
    #[serde(rename = "kmsInstanceURL")]
    kms_instance_url: String,
    /// The tenant's key: "TENANT/KEY".
    #[serde(rename = "masterKeyID")]
    pub master_key_id: String,
    /// The file's key, wrapped.
    #[serde(rename = "wrappedDEK")]
    pub wrapped_dek: String,
    double_wrapping: bool,
}

impl Material {
    /// For a key that `master` wrapped.
    #[must_use]
    pub fn new(master_key_id: &str, wrapped_dek: String) -> Self {
        Self {
            key_material_type: TYPE.to_owned(),
            internal_storage: true,
            is_footer_key: true,
            kms_instance_id: INSTANCE.to_owned(),
            kms_instance_url: NO_URL.to_owned(),
            master_key_id: master_key_id.to_owned(),
            wrapped_dek,
            double_wrapping: false,
        }
    }

    /// From a file's key metadata.
    ///
    /// # Errors
    /// It is not material of the kind that is written here.
    pub fn parse(json: &[u8]) -> Result<Self, KeyError> {
        if json.len() > MATERIAL_MAX_BYTES {
            return Err(KeyError::Material("it is too long"));
        }
        let material: Self =
            serde_json::from_slice(json).map_err(|_| KeyError::Material("a field is missing or wrong"))?;
        let wrong = |what| Err(KeyError::Material(what));
        match () {
            () if material.key_material_type != TYPE => wrong("keyMaterialType is another"),
            () if !material.internal_storage => wrong("the key is kept outside the file"),
            () if material.double_wrapping => wrong("the key is wrapped twice"),
            () if material.master_key_id.len() > MASTER_KEY_ID_MAX_BYTES => wrong("masterKeyID is too long"),
            () => Ok(material),
        }
    }

    /// The data key.
    ///
    /// # Errors
    /// The tenant's key is gone, or does not open it.
    pub fn unwrap(&self, keys: &dyn Keys) -> Result<DataKey, KeyError> {
        keys.existing(&self.master_key_id)?.unwrap(&self.wrapped_dek)
    }
}

/// A new file's key.
#[derive(Debug)]
pub struct FileKey {
    /// Encrypts every column and the footer.
    pub dek: DataKey,
    /// The footer's key metadata: PKMT1 as JSON.
    pub key_metadata: Vec<u8>,
}

impl FileKey {
    /// Makes a key and wraps it for a tenant.
    ///
    /// # Errors
    /// The library fails.
    pub fn make(tenant: &TenantKey) -> Result<Self, KeyError> {
        let dek = DataKey::generate()?;
        let material = Material::new(tenant.id(), tenant.wrap(&dek)?);
        let key_metadata =
            serde_json::to_vec(&material).map_err(|_| KeyError::Material("it cannot be written"))?;
        Ok(Self { dek, key_metadata })
    }

    /// The key of a file that is there, by its key metadata.
    ///
    /// # Errors
    /// The metadata is none of ours, the tenant's key is gone, or does not open it.
    pub fn open(keys: &dyn Keys, key_metadata: &[u8]) -> Result<DataKey, KeyError> {
        Material::parse(key_metadata)?.unwrap(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Memory;
    use super::*;

    #[test]
    fn the_material_is_what_the_field_reads() {
        let keys = Memory::new();
        let file = FileKey::make(&keys.tenant("red").unwrap()).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&file.key_metadata).unwrap();
        for (name, value) in [
            ("keyMaterialType", serde_json::json!("PKMT1")),
            ("internalStorage", serde_json::json!(true)),
            ("isFooterKey", serde_json::json!(true)),
            ("doubleWrapping", serde_json::json!(false)),
            ("masterKeyID", serde_json::json!("red/1")),
            ("kmsInstanceURL", serde_json::json!("DEFAULT")),
        ] {
            assert_eq!(json[name], value, "{name}");
        }
        assert!(json["wrappedDEK"].is_string() && json["kmsInstanceID"].is_string());
        assert_eq!(FileKey::open(&keys, &file.key_metadata).unwrap().expose(), file.dek.expose());
    }

    #[test]
    fn a_destroyed_key_opens_nothing_any_more() {
        let keys = Memory::new();
        let file = FileKey::make(&keys.tenant("red").unwrap()).unwrap();
        keys.destroy("red");
        let error = FileKey::open(&keys, &file.key_metadata).unwrap_err();
        assert_eq!(error, KeyError::Destroyed("red/1".to_owned()));
    }

    #[test]
    fn other_material_is_named_by_what_is_wrong() {
        let wrong = |change: &dyn Fn(&mut Material)| {
            let mut material = Material::new("red/1", "AAAA".to_owned());
            change(&mut material);
            Material::parse(&serde_json::to_vec(&material).unwrap()).unwrap_err()
        };
        assert_eq!(
            wrong(&|m| m.key_material_type = "PKMT2".to_owned()),
            KeyError::Material("keyMaterialType is another")
        );
        assert_eq!(wrong(&|m| m.double_wrapping = true), KeyError::Material("the key is wrapped twice"));
        assert_eq!(
            wrong(&|m| m.internal_storage = false),
            KeyError::Material("the key is kept outside the file")
        );
        assert!(matches!(Material::parse(b"{}"), Err(KeyError::Material(_))));
        assert!(matches!(Material::parse(&[b' '; 5000]), Err(KeyError::Material("it is too long"))));
    }
}
