//! One document: `apiVersion`, `kind`, `metadata`, and a `spec` of that kind.

use std::collections::BTreeMap;

use super::fields::{Fields, Reader};
use super::node::{Entry, Node, Value};
use super::scalar::{self, Scalar};
use super::source::Source;
use super::{API_VERSION, ParsedDocuments, binding, rule, tenant, workload};
use crate::policy::parse::path::At;
use crate::policy::problem::{Problem, Problems, shown};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tenant,
    Workload,
    Rule,
    Binding,
}

impl Kind {
    const ALL: [(Self, &'static str, &'static str); 4] = [
        (Self::Tenant, "Tenant", "tenants"),
        (Self::Workload, "Workload", "workloads"),
        (Self::Rule, "Rule", "rules"),
        (Self::Binding, "Binding", "bindings"),
    ];

    fn of(word: &str) -> Option<(Self, &'static str)> {
        Self::ALL.into_iter().find(|(_, name, _)| *name == word).map(|(kind, _, list)| (kind, list))
    }
}

/// Who an object is, before its `spec` is read.
#[derive(Clone, Debug, Default)]
pub(super) struct Identity {
    pub(super) name: String,
    pub(super) namespace: String,
}

/// Adds the document's object, if everything in it could be read.
pub(super) fn read(file: &str, document: &Node, parsed: &mut ParsedDocuments) {
    let Some((kind, list)) = kind_of(file, document, &mut parsed.problems) else { return };
    let mut problems = Problems::default();
    let mut reader =
        Reader { file, object: place(kind, list, document), problems: &mut problems, lines: BTreeMap::new() };
    let whole = spec(&mut reader, kind, document);
    let (object, fields) = (reader.object, reader.lines);
    if let Some(earlier) = parsed.sources.object(&object) {
        let message =
            format!("is stated in {} line {} already; state it once", shown(&earlier.file), earlier.line);
        let problem = Problem::new("duplicate_name", &object, message);
        problems.push(super::in_file(problem, file, document.line));
    } else if problems.is_empty() {
        whole.into_iter().for_each(|object| object.add_to(parsed));
    }
    if !problems.is_empty() && kind == Kind::Tenant {
        parsed.broken_tenants.extend(name_in(document).map(str::to_owned));
    }
    parsed.problems.append(problems);
    parsed.sources.add(object, Source { file: file.to_owned(), line: document.line, fields });
}

/// A whole object, to be added only when nothing in its document is wrong.
enum Object {
    Tenant(enforcer_proto::v1::Tenant),
    Workload(enforcer_proto::v1::Workload),
    Rule(enforcer_proto::v1::Rule),
    Binding(enforcer_proto::v1::Binding),
}

impl Object {
    fn add_to(self, parsed: &mut ParsedDocuments) {
        match self {
            Self::Tenant(tenant) => parsed.snapshot.tenants.push(tenant),
            Self::Workload(workload) => parsed.snapshot.workloads.push(workload),
            Self::Rule(rule) => parsed.snapshot.rules.push(rule),
            Self::Binding(binding) => parsed.snapshot.bindings.push(binding),
        }
    }
}

fn spec(reader: &mut Reader, kind: Kind, document: &Node) -> Option<Object> {
    let mut fields = reader.map(String::new(), document)?;
    for known in ["apiVersion", "kind"] {
        fields.take(reader, known);
    }
    let metadata = match kind {
        Kind::Tenant | Kind::Workload | Kind::Rule => {
            fields.require(reader, "metadata", "metadata with the name")
        }
        Kind::Binding => fields.take(reader, "metadata"),
    };
    let identity = metadata.and_then(|(_, node)| identity(reader, kind, node));
    let spec = fields.require(reader, "spec", "what the object is").map(|(_, node)| node);
    fields.finish(reader);
    let mut fields = reader.map(String::new(), spec?)?;
    // A mistake in the metadata, which was reported, must not hide those of the spec.
    let object = build(reader, kind, identity.unwrap_or_default(), &mut fields);
    fields.finish(reader);
    object
}

fn build(reader: &mut Reader, kind: Kind, identity: Identity, fields: &mut Fields) -> Option<Object> {
    match kind {
        Kind::Tenant => tenant::read(reader, identity, fields).map(Object::Tenant),
        Kind::Workload => workload::read(reader, identity, fields).map(Object::Workload),
        Kind::Rule => rule::read(reader, identity, fields).map(Object::Rule),
        Kind::Binding => binding::read(reader, &identity, fields).map(Object::Binding),
    }
}

fn identity(reader: &mut Reader, kind: Kind, node: &Node) -> Option<Identity> {
    let mut fields = reader.map(".metadata".to_owned(), node)?;
    let name = fields.require(reader, "name", "a name");
    let name = name.and_then(|(path, node)| reader.text(&path, node));
    let namespace = match kind {
        Kind::Workload => fields.take(reader, "namespace"),
        Kind::Tenant | Kind::Rule | Kind::Binding => None,
    };
    let namespace = match namespace {
        Some((path, node)) => reader.text(&path, node),
        None => Some(String::new()),
    };
    fields.finish(reader);
    Some(Identity { name: name?, namespace: namespace? })
}

fn kind_of(file: &str, document: &Node, problems: &mut Problems) -> Option<(Kind, &'static str)> {
    let mut reader = Reader { file, object: "document".to_owned(), problems, lines: BTreeMap::new() };
    let mut fields = reader.map(String::new(), document)?;
    let version = fields.require(&mut reader, "apiVersion", API_VERSION);
    let kind = fields.require(&mut reader, "kind", "one of Tenant, Workload, Rule, Binding");
    let right_version = version.is_some_and(|(path, node)| is_version(&mut reader, &path, node));
    let (path, node) = kind?;
    let word = reader.text(&path, node)?;
    let kind = Kind::of(&word);
    if kind.is_none() {
        let message =
            format!("'{}' is an unknown kind; use one of Tenant, Workload, Rule, Binding", shown(&word));
        reader.refuse("unknown_kind", &path, node.line, message);
    }
    kind.filter(|_| right_version)
}

fn is_version(reader: &mut Reader, path: &str, node: &Node) -> bool {
    let version = reader.text(path, node);
    if let Some(other) = version.as_deref().filter(|version| *version != API_VERSION) {
        let message = format!("'{}' is not spoken here; use {API_VERSION}", shown(other));
        reader.refuse("unknown_api_version", path, node.line, message);
    }
    version.as_deref() == Some(API_VERSION)
}

/// `rules[web-to-db]`; an object without a name is told by its line.
fn place(kind: Kind, list: &'static str, document: &Node) -> String {
    let name = match kind {
        Kind::Binding => field(document, "spec").and_then(|spec| field(spec, "address")).and_then(text),
        Kind::Tenant | Kind::Workload | Kind::Rule => name_in(document),
    };
    let at = At::root(list);
    match name {
        Some(name) if !name.is_empty() => at.name(name).to_string(),
        _ => format!("{list}[line {}]", document.line),
    }
}

fn name_in(document: &Node) -> Option<&str> {
    field(document, "metadata").and_then(|metadata| field(metadata, "name")).and_then(text)
}

fn field<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|Entry { key: other, .. }| other == key).map(|entry| &entry.node)
}

fn text(node: &Node) -> Option<&str> {
    match scalar::of(node) {
        Some(Scalar::Text(text)) => Some(text),
        _ => None,
    }
}
