//! `/proc/driver/nvidia/params`: a line for each parameter, its value a number, or a text in quotation marks.

use std::collections::BTreeMap;

/// Bytes of the text: some fifty lines of which two may be long.
pub const MAX_TEXT: usize = 64 * 1024;

/// The driver's parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(BTreeMap<String, String>);

impl Params {
    /// Every line, or what is wrong with the first that is none.
    ///
    /// # Errors
    /// It is no such text, in a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_TEXT {
            return Err(format!("{} bytes, more than {MAX_TEXT}", text.len()));
        }
        let mut params = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let place = index + 1;
            let (name, value) =
                line.split_once(": ").ok_or_else(|| format!("line {place} is no parameter"))?;
            let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
            if !is_name || params.insert(name.to_owned(), value.to_owned()).is_some() {
                return Err(format!("line {place}: the name is none, or is there twice"));
            }
        }
        if params.is_empty() { Err("no parameters".to_owned()) } else { Ok(Self(params)) }
    }

    /// A parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// What the registry's words say of a key, for all devices and for single ones. The driver compares names whatever
    /// their case, and takes spaces out.
    #[must_use]
    pub fn registry(&self, key: &str) -> Vec<String> {
        let texts =
            ["RegistryDwords", "RegistryDwordsPerDevice"].into_iter().filter_map(|name| self.get(name));
        let words = texts.flat_map(|text| text.split(';')).filter_map(|word| word.split_once('='));
        let same = words.filter(|(name, _)| name.trim().eq_ignore_ascii_case(key));
        same.map(|(_, value)| value.trim().to_owned()).collect()
    }
}

/// A number as the driver reads it: decimal or `0x` hexadecimal.
#[must_use]
pub fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_registry_words_are_read() {
        let text = "RmProfilingAdminOnly: 1\nCoherentGPUMemoryMode: \"driver\"\n\
                    RegistryDwords: \"RMDisableScrubOnFree=0x1; rmvalidateclientdata = 0\"\n\
                    RegistryDwordsPerDevice: \"pci=0000:3b:00.0;RMDisableScrubOnFree=0\"\n";
        let params = Params::parse(text).unwrap();
        assert_eq!(params.get("RmProfilingAdminOnly"), Some("1"));
        assert_eq!(params.get("CoherentGPUMemoryMode"), Some("driver"));
        assert_eq!(params.registry("RMDisableScrubOnFree"), ["0x1", "0"]);
        assert_eq!(params.registry("RmValidateClientData"), ["0"]);
    }

    #[test]
    fn what_is_no_parameter_is_an_error() {
        for text in ["", "x\n", "A: 1\nA: 2\n", "A B: 1\n"] {
            assert!(Params::parse(text).is_err(), "{text:?}");
        }
        assert!(Params::parse(&"x".repeat(MAX_TEXT + 1)).is_err());
    }
}
