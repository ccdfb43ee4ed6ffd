//! The door of detection: rules as YAML documents, read all or nothing, every mistake with its line. The rules that are
//! there from the first day are read by the same code; a rule of the operator's takes the place of one of the same name.

mod hours;
mod spec;
mod terms;

use std::collections::{BTreeMap, BTreeSet};

use super::limits::RULES_MAX;
use super::rule::{Rule, Rules};
use crate::policy::model::Name;
use crate::policy::parse::limits::{MAX_DOCUMENT_BYTES, MAX_FILES};
use crate::policy::parse::yaml::fields::{Fields, Reader};
use crate::policy::parse::yaml::node::{Node, each_document};
use crate::policy::parse::yaml::{API_VERSION, in_file};
use crate::policy::problem::{Problem, Problems, shown};

/// `kind` of a rule of detection.
pub const KIND: &str = "DetectionRule";
/// The rules that are there from the first day, as an operator would write them.
pub const DEFAULTS: &str = include_str!("../defaults.yaml");
const DEFAULTS_NAME: &str = "defaults";

/// What documents say: rules by name, those that are off as `None`.
#[derive(Debug, Default)]
struct Parsed {
    rules: BTreeMap<Name, Option<Rule>>,
    lines: BTreeMap<Name, u32>,
    problems: Problems,
}

/// The rules in force: those of the files, and of the defaults those that no file names.
///
/// # Errors
/// Every problem of every document; then nothing is taken.
pub fn rules<N: AsRef<str>, T: AsRef<str>>(files: &[(N, T)]) -> Result<Rules, Vec<Problem>> {
    let mut parsed = read(&[(DEFAULTS_NAME, DEFAULTS)]);
    let Parsed { rules, mut problems, .. } = read(files);
    problems.append(std::mem::take(&mut parsed.problems));
    parsed.rules.extend(rules);
    if parsed.rules.len() > RULES_MAX {
        let message = format!("are {} where {RULES_MAX} are the most", parsed.rules.len());
        problems.add("too_many", "rules", message);
    }
    let on = parsed.rules.into_iter().filter_map(|(name, rule)| Some((name, rule?)));
    problems.into_result(Rules::new(on.collect()))
}

fn read<N: AsRef<str>, T: AsRef<str>>(files: &[(N, T)]) -> Parsed {
    let mut parsed = Parsed::default();
    if files.len() > MAX_FILES {
        let message = format!("has {} files where {MAX_FILES} are the most", files.len());
        parsed.problems.add("too_many", "documents", message);
        return parsed;
    }
    for (name, text) in files {
        let (name, text) = (name.as_ref(), text.as_ref());
        if text.len() > MAX_DOCUMENT_BYTES {
            let message = format!("is {} bytes where {MAX_DOCUMENT_BYTES} are the most", text.len());
            parsed.problems.push(in_file(Problem::new("document_too_large", "documents", message), name, 1));
            continue;
        }
        each_document(name, text, &mut parsed, |parsed| &mut parsed.problems, document);
    }
    parsed
}

/// Takes a document's rule in, if nothing in it is wrong.
fn document(file: &str, document: &Node, parsed: &mut Parsed) {
    let mut problems = Problems::default();
    let mut reader = Reader {
        file,
        object: format!("rules[line {}]", document.line),
        problems: &mut problems,
        lines: BTreeMap::new(),
    };
    let rule = rule(&mut reader, document);
    if let Some((name, rule)) = rule {
        if let Some(line) = parsed.lines.get(&name) {
            let message = format!("is stated in line {line} already; state it once");
            reader.refuse("duplicate_name", ".metadata.name", document.line, message);
        } else if reader.problems.is_empty() {
            parsed.lines.insert(name.clone(), document.line);
            parsed.rules.insert(name, rule);
        }
    }
    parsed.problems.append(problems);
}

/// Name and rule; no rule for one that is turned off.
fn rule(reader: &mut Reader, document: &Node) -> Option<(Name, Option<Rule>)> {
    let mut fields = reader.map(String::new(), document)?;
    expect(reader, &mut fields, "apiVersion", API_VERSION);
    expect(reader, &mut fields, "kind", KIND);
    let metadata = fields.require(reader, "metadata", "metadata with the name");
    let spec = fields.require(reader, "spec", "what the rule looks for");
    fields.finish(reader);
    let name = metadata.and_then(|(path, node)| named(reader, path, node));
    if let Some(name) = &name {
        reader.object = format!("rules[{}]", shown(name));
    }
    let (path, node) = spec?;
    let rule = spec::read(reader, path, node, name.as_ref());
    Some((name?, rule?))
}

fn expect(reader: &mut Reader, fields: &mut Fields, field: &'static str, wanted: &str) {
    let Some((path, node)) = fields.require(reader, field, wanted) else { return };
    if let Some(other) = reader.text(&path, node).filter(|text| text != wanted) {
        let message = format!("'{}' is not known here; use {wanted}", shown(&other));
        reader.refuse("unknown_value", &path, node.line, message);
    }
}

fn named(reader: &mut Reader, path: String, node: &Node) -> Option<Name> {
    let mut fields = reader.map(path, node)?;
    let found = fields.require(reader, "name", "a name");
    fields.finish(reader);
    let (path, node) = found?;
    name(reader, &path, node)
}

/// A DNS-1123 label.
fn name(reader: &mut Reader, path: &str, node: &Node) -> Option<Name> {
    let text = reader.text(path, node)?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_label = (1..=63).contains(&text.len())
        && text.bytes().all(plain)
        && !text.starts_with('-')
        && !text.ends_with('-');
    if !is_label {
        let message = format!(
            "'{}' is no name: lower-case letters, digits and '-' inside, at most 63 characters",
            shown(&text)
        );
        reader.refuse("invalid_name", path, node.line, message);
    }
    is_label.then(|| text.into())
}

/// Names, each once.
fn names(reader: &mut Reader, path: &str, node: &Node, most: usize) -> BTreeSet<Name> {
    let items = reader.list(path, node);
    if items.len() > most {
        let message = format!("has {} items where {most} are the most", items.len());
        reader.refuse("too_many", path, node.line, message);
        return BTreeSet::new();
    }
    let mut names = BTreeSet::new();
    for (path, item) in items {
        if let Some(name) = name(reader, &path, item)
            && !names.insert(name)
        {
            reader.refuse("duplicate_name", &path, item.line, "is named twice");
        }
    }
    names
}

#[cfg(test)]
mod tests;
