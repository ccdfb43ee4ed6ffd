//! Where every field was read: file and line by path.

use std::collections::BTreeMap;

/// Files and lines of the fields of every object.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    /// By object: `rules[web-to-db]`.
    objects: BTreeMap<String, Source>,
}

/// One object's file, line and fields.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) file: String,
    pub(super) line: u32,
    /// Paths within the object, with a leading `.` or `[`, and their lines.
    pub(super) fields: BTreeMap<String, u32>,
}

impl Sources {
    /// Where an object was read before.
    pub(super) fn object(&self, object: &str) -> Option<&Source> {
        self.objects.get(object)
    }

    pub(super) fn add(&mut self, object: String, source: Source) {
        self.objects.entry(object).or_insert(source);
    }

    pub(super) fn locate(&self, path: &str) -> Option<(String, u32)> {
        let end = path.find(']').map(|end| end + 1)?;
        let (object, mut field) = path.split_at_checked(end)?;
        let source = self.objects.get(object)?;
        loop {
            if let Some(line) = source.fields.get(field) {
                return Some((source.file.clone(), *line));
            }
            match field.rfind(['.', '[']) {
                Some(cut) => field = field.get(..cut)?,
                None => return Some((source.file.clone(), source.line)),
            }
        }
    }
}
