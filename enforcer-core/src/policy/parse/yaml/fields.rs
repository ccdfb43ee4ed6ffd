//! Reading the fields of a map, each once; what is left over is unknown and said to be.

use std::collections::BTreeMap;

use super::node::{Entry, Node, Value};
use super::scalar::{self, Scalar};
use crate::policy::parse::words::{Words, from_word, list};
use crate::policy::problem::{Problem, Problems, shown};

/// Carries the file, the object and what was found while reading one document.
pub(crate) struct Reader<'r> {
    pub(crate) file: &'r str,
    /// The object's place: `rules[web-to-db]`.
    pub(crate) object: String,
    pub(crate) problems: &'r mut Problems,
    /// Paths within the object and their lines.
    pub(crate) lines: BTreeMap<String, u32>,
}

impl Reader<'_> {
    pub(crate) fn refuse(&mut self, code: &'static str, path: &str, line: u32, message: impl Into<String>) {
        let problem = Problem {
            file: Some(self.file.to_owned()),
            line: Some(line),
            ..Problem::new(code, format_args!("{}{path}", self.object), message)
        };
        self.problems.push(problem);
    }

    /// The fields of a map at `path`.
    pub(crate) fn map<'n>(&mut self, path: String, node: &'n Node) -> Option<Fields<'n>> {
        match &node.value {
            Value::Map(entries) => Some(Fields { path, line: node.line, entries, known: Vec::new() }),
            Value::Scalar { .. } | Value::List(_) => {
                self.wrong_type(&path, node, "a map of fields");
                None
            }
        }
    }

    /// The items of a list, each with its path. An empty list is a mistake: absent and empty differ.
    pub(crate) fn list<'n>(&mut self, path: &str, node: &'n Node) -> Vec<(String, &'n Node)> {
        let Value::List(items) = &node.value else {
            self.wrong_type(path, node, "a list");
            return Vec::new();
        };
        if items.is_empty() {
            let message = "is an empty list; leave the field out, or list something";
            self.refuse("empty_list", path, node.line, message);
        }
        let mut paths = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}[{index}]");
            self.lines.insert(path.clone(), item.line);
            paths.push((path, item));
        }
        paths
    }

    pub(crate) fn text(&mut self, path: &str, node: &Node) -> Option<String> {
        match scalar::of(node) {
            Some(Scalar::Text(text)) => Some(text.to_owned()),
            Some(Scalar::Bool(_) | Scalar::Number(_)) => {
                self.refuse("wrong_type", path, node.line, "is no text to YAML; put it in quotes");
                None
            }
            Some(Scalar::Null) | None => {
                self.wrong_type(path, node, "text");
                None
            }
        }
    }

    pub(crate) fn number<T: TryFrom<u64>>(&mut self, path: &str, node: &Node) -> Option<T> {
        let Some(Scalar::Number(number)) = scalar::of(node) else {
            self.wrong_type(path, node, "a whole number, decimal, not negative");
            return None;
        };
        let fitting = T::try_from(number).ok();
        if fitting.is_none() {
            self.refuse("out_of_range", path, node.line, format!("{number} is too large"));
        }
        fitting
    }

    pub(crate) fn truth(&mut self, path: &str, node: &Node) -> Option<bool> {
        if let Some(Scalar::Bool(truth)) = scalar::of(node) {
            return Some(truth);
        }
        self.wrong_type(path, node, "true or false");
        None
    }

    pub(crate) fn word<M, W: Copy + Into<i32>>(
        &mut self,
        path: &str,
        node: &Node,
        words: Words<M, W>,
    ) -> Option<i32> {
        let text = self.text(path, node)?;
        let value = from_word(words, &text);
        if value.is_none() {
            let message = format!("'{}' is no value that is known; use one of {}", shown(&text), list(words));
            self.refuse("unknown_value", path, node.line, message);
        }
        value.map(Into::into)
    }

    /// `{}`: a field whose presence says everything.
    pub(crate) fn nothing(&mut self, path: &str, node: &Node) -> Option<()> {
        let fields = self.map(path.to_owned(), node)?;
        fields.finish(self);
        Some(())
    }

    pub(crate) fn wrong_type(&mut self, path: &str, node: &Node, wanted: &str) {
        let message = match scalar::of(node) {
            Some(Scalar::Null) => format!("is null; state {wanted}, or leave the field out"),
            Some(Scalar::Text(text)) => format!("'{}' is not {wanted}", shown(text)),
            Some(Scalar::Bool(_) | Scalar::Number(_)) | None => {
                format!("is {} where {wanted} is asked for", scalar::describe(node))
            }
        };
        let code = if scalar::of(node) == Some(Scalar::Null) { "null_value" } else { "wrong_type" };
        self.refuse(code, path, node.line, message);
    }
}

/// The fields of one map that were not asked for yet.
pub(crate) struct Fields<'n> {
    path: String,
    pub(crate) line: u32,
    entries: &'n [Entry],
    known: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// A field, with its path; `None` when it is absent.
    pub(crate) fn take(&mut self, reader: &mut Reader, field: &'static str) -> Option<(String, &'n Node)> {
        self.known.push(field);
        let entry = self.entries.iter().find(|entry| entry.key == field)?;
        let path = format!("{}.{field}", self.path);
        reader.lines.insert(path.clone(), entry.line);
        Some((path, &entry.node))
    }

    /// A field that must be there.
    pub(crate) fn require(
        &mut self,
        reader: &mut Reader,
        field: &'static str,
        what: &str,
    ) -> Option<(String, &'n Node)> {
        let found = self.take(reader, field);
        if found.is_none() {
            let path = format!("{}.{field}", self.path);
            reader.refuse("missing_field", &path, self.line, format!("is missing; state {what}"));
        }
        found
    }

    /// Says which fields nobody asked for.
    pub(crate) fn finish(self, reader: &mut Reader) {
        for entry in self.entries.iter().filter(|entry| !self.known.contains(&entry.key.as_str())) {
            let path = format!("{}.{}", self.path, shown(&entry.key));
            let message = match self.known.as_slice() {
                [] => "is an unknown field; nothing belongs here".to_owned(),
                known => format!("is an unknown field; the fields here are {}", known.join(", ")),
            };
            reader.refuse("unknown_field", &path, entry.line, message);
        }
    }
}
