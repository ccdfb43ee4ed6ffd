//! A document as a tree with lines, made from the parser's events within bounds on depth and size.

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::in_file;
use crate::policy::parse::limits::{MAX_YAML_DEPTH, MAX_YAML_NODES, MAX_YAML_SCALAR};
use crate::policy::problem::{Problem, Problems, shown};

/// A value and the line it starts on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) line: u32,
    pub(crate) value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Scalar { text: String, plain: bool },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of a map and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) line: u32,
    pub(crate) node: Node,
}

/// Reads the documents of a file one after the other, and says how many there were. Reading ends at the first
/// place that is no YAML: what follows cannot be told apart.
pub(crate) fn each_document<P>(
    file: &str,
    text: &str,
    parsed: &mut P,
    problems_of: impl Fn(&mut P) -> &mut Problems,
    mut read: impl FnMut(&str, &Node, &mut P),
) -> usize {
    let mut events = Events { parser: Parser::new_from_str(text), nodes: 0 };
    let mut seen = 0;
    loop {
        let mut problems = Problems::default();
        let document = events.document(&mut problems);
        let (document, stop) = match document {
            Ok(Some(document)) => (Some(document), None),
            Ok(None) => (None, None),
            Err(stop) => (None, Some(stop)),
        };
        let ended = document.is_none();
        let whole = problems.is_empty() && stop.is_none();
        for problem in problems.into_vec().into_iter().chain(stop) {
            let line = problem.line.unwrap_or(1);
            problems_of(parsed).push(in_file(problem, file, line));
            seen += usize::from(ended);
        }
        let Some(document) = document else { return seen };
        let empty = matches!(&document.value, Value::Scalar { text, plain: true } if text.is_empty());
        if !empty {
            seen += 1;
            if whole {
                read(file, &document, parsed);
            }
        }
    }
}

struct Events<'t> {
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    nodes: usize,
}

/// Why reading a file cannot go on.
type Stop = Problem;

impl Events<'_> {
    fn next(&mut self) -> Result<(Event<'_>, Span), Stop> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let message = format!("is no YAML: {}", shown(error.info()));
                Err(at("malformed_yaml", line_of(error.marker().line()), message))
            }
            None => Ok((Event::StreamEnd, Span::empty(saphyr_parser::Marker::new(0, 1, 0)))),
        }
    }

    /// The next document, `None` at the end of the file.
    fn document(&mut self, problems: &mut Problems) -> Result<Option<Node>, Stop> {
        loop {
            let ended = match self.next()?.0 {
                Event::StreamEnd => Some(true),
                Event::DocumentStart(_) => Some(false),
                _ => None,
            };
            match ended {
                Some(true) => return Ok(None),
                Some(false) => {
                    return self
                        .node(0, problems)
                        .map(|node| node.map(Some).unwrap_or_else(|| Some(nothing())));
                }
                None => {}
            }
        }
    }

    /// The next node; `None` at the end of the collection that it would be in.
    fn node(&mut self, depth: usize, problems: &mut Problems) -> Result<Option<Node>, Stop> {
        self.nodes += 1;
        let nodes = self.nodes;
        let (event, span) = self.next()?;
        let line = line_of(span.start.line());
        if nodes > MAX_YAML_NODES {
            return Err(at(
                "document_too_large",
                line,
                format!("has more than {MAX_YAML_NODES} values; split the file"),
            ));
        }
        let (anchor, tag) = match &event {
            Event::Scalar(_, _, anchor, tag)
            | Event::SequenceStart(anchor, tag)
            | Event::MappingStart(anchor, tag) => (*anchor, tag.is_some()),
            Event::Alias(_) => (1, false),
            _ => (0, false),
        };
        if anchor != 0 {
            problems.push(at("anchor_refused", line, "uses an anchor or alias; write the value out"));
        }
        if tag {
            problems.push(at("tag_refused", line, "carries a YAML tag; write the value without"));
        }
        let value = match event {
            Event::Alias(_) => nothing().value,
            Event::Scalar(text, style, _, _) => {
                if text.len() > MAX_YAML_SCALAR {
                    let message = format!("is longer than {MAX_YAML_SCALAR} bytes; no value is that long");
                    return Err(at("value_too_long", line, message));
                }
                Value::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain }
            }
            Event::SequenceStart(..) => {
                below(depth, line)?;
                self.list(depth + 1, problems)?
            }
            Event::MappingStart(..) => {
                below(depth, line)?;
                self.map(depth + 1, problems)?
            }
            _ => return Ok(None),
        };
        Ok(Some(Node { line, value }))
    }

    fn list(&mut self, depth: usize, problems: &mut Problems) -> Result<Value, Stop> {
        let mut items = Vec::new();
        while let Some(item) = self.node(depth, problems)? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn map(&mut self, depth: usize, problems: &mut Problems) -> Result<Value, Stop> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut keys = std::collections::HashSet::new();
        while let Some(key) = self.node(depth, problems)? {
            let Some(node) = self.node(depth, problems)? else { break };
            let Value::Scalar { text, .. } = key.value else {
                problems.push(at("invalid_key", key.line, "is a key that is no text; use a field name"));
                continue;
            };
            if keys.insert(text.clone()) {
                entries.push(Entry { key: text, line: key.line, node });
            } else {
                let message = format!("states '{}' twice; state it once", shown(&text));
                problems.push(at("duplicate_field", key.line, message));
            }
        }
        Ok(Value::Map(entries))
    }
}

fn below(depth: usize, line: u32) -> Result<(), Stop> {
    if depth < MAX_YAML_DEPTH {
        return Ok(());
    }
    Err(at(
        "nested_too_deep",
        line,
        format!("has more than {MAX_YAML_DEPTH} levels; no object needs that many"),
    ))
}

const fn nothing() -> Node {
    Node { line: 1, value: Value::Scalar { text: String::new(), plain: true } }
}

fn at(code: &'static str, line: u32, message: impl Into<String>) -> Problem {
    Problem { line: Some(line), ..Problem::new(code, "document", message) }
}

fn line_of(line: usize) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX)
}
