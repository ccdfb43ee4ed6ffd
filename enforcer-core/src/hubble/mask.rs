//! A field mask: which fields of a flow a client wants. Paths are the names in the `.proto` files, `IP`, `Type` and
//! `Summary` among them.
//!
//! It works on encoded bytes, by the descriptor, so that a field that is added needs nothing here.

use std::collections::BTreeMap;

use enforcer_proto::hubble::flow::Flow;
use enforcer_proto::hubble::{FLOW, SCHEMA};
use enforcer_proto::schema::{Value, next};
use prost::Message as _;

use super::refusal::Refusal;

/// Paths of one mask, at most.
const PATHS_MAX: usize = 512;

/// Fields to keep, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tree(BTreeMap<u32, Keep>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Keep {
    Whole,
    Within(Tree),
}

/// A mask with at least one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask(Tree);

impl Mask {
    /// From a request's paths; `None` when there are none, which keeps everything.
    ///
    /// # Errors
    /// The first path that names no field of a flow.
    pub fn parse(paths: &[String]) -> Result<Option<Self>, Refusal> {
        if paths.len() > PATHS_MAX {
            return Err(Refusal::new(
                "field_mask",
                format!("has {} paths, and at most {PATHS_MAX}", paths.len()),
            ));
        }
        let mut tree = Tree::default();
        for (at, path) in paths.iter().enumerate() {
            let parts: Vec<&str> = path.split('.').collect();
            if !tree.add(FLOW, &parts) {
                let problem = format!("{path:?} is no field of {FLOW}");
                return Err(Refusal::new(format!("field_mask.paths[{at}]"), problem));
            }
        }
        Ok((!paths.is_empty()).then_some(Self(tree)))
    }

    /// The flow with what the mask names, and nothing else.
    #[must_use]
    pub fn apply(&self, flow: &Flow) -> Flow {
        let mut kept = Vec::new();
        self.0.keep(&flow.encode_to_vec(), &mut kept);
        // What was cut from a message at the borders of its fields is one.
        Flow::decode(kept.as_slice()).unwrap_or_default()
    }
}

impl Tree {
    /// False for a path that leads nowhere. A path below a list or a number is one.
    fn add(&mut self, message: &str, path: &[&str]) -> bool {
        let Some((name, rest)) = path.split_first() else { return false };
        let Some(field) = SCHEMA.field(message, name) else { return false };
        if rest.is_empty() {
            self.0.insert(field.number, Keep::Whole);
            return true;
        }
        let Some(inner) = field.message.as_deref().filter(|_| !field.is_repeated) else { return false };
        match self.0.entry(field.number).or_insert_with(|| Keep::Within(Self::default())) {
            Keep::Within(tree) => tree.add(inner, rest),
            // All of it is kept already, if the path is one.
            Keep::Whole => Self::default().add(inner, rest),
        }
    }

    fn keep(&self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some((number, value)) = next(&mut bytes) {
            match (self.0.get(&number), value) {
                (None, _) => {}
                (Some(Keep::Within(tree)), Value::Bytes(inner)) => {
                    let mut kept = Vec::new();
                    tree.keep(inner, &mut kept);
                    Value::Bytes(&kept).write(number, out);
                }
                (Some(Keep::Whole | Keep::Within(_)), value) => value.write(number, out),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use enforcer_proto::hubble::flow::{Endpoint, Ip};

    use super::super::flow::flow;
    use super::super::stage::{names, record};
    use super::*;

    fn masked(paths: &[&str]) -> Flow {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        Mask::parse(&paths).unwrap().unwrap().apply(&whole())
    }

    fn whole() -> Flow {
        flow(&record(), &names()).unwrap()
    }

    #[test]
    fn only_what_is_named_is_left() {
        let wanted =
            Flow { verdict: 1, ip: whole().ip, r#type: 1, summary: whole().summary, ..Flow::default() };
        assert_eq!(masked(&["verdict", "IP", "Type", "Summary"]), wanted);
    }

    #[test]
    fn paths_reach_into_messages() {
        let end = whole().source.unwrap();
        let wanted = Flow {
            source: Some(Endpoint { identity: end.identity, pod_name: end.pod_name, ..Endpoint::default() }),
            ip: Some(Ip { source: "10.0.0.1".to_owned(), ..Ip::default() }),
            ..Flow::default()
        };
        assert_eq!(masked(&["source.identity", "source.pod_name", "IP.source"]), wanted);
        assert_eq!(masked(&["source", "source.identity"]).source, whole().source);
        assert_eq!(masked(&["source.identity", "source"]).source, whole().source);
    }

    /// As the command sends it.
    #[test]
    fn the_commands_own_mask_is_understood() {
        let paths = [
            "time",
            "verdict",
            "ethernet",
            "IP",
            "l4",
            "source.identity",
            "source.namespace",
            "source.pod_name",
            "destination.identity",
            "destination.namespace",
            "destination.pod_name",
            "Type",
            "node_name",
            "l7",
            "event_type",
            "source_service",
            "destination_service",
            "is_reply",
            "Summary",
            "ip_trace_id",
        ];
        let flow = masked(&paths);
        let whole = whole();
        assert_eq!((flow.time, flow.l4, flow.event_type), (whole.time, whole.l4, whole.event_type));
        assert_eq!((flow.is_reply, flow.node_name), (whole.is_reply, whole.node_name));
        assert!(flow.uuid.is_empty() && flow.source.unwrap().labels.is_empty());
    }

    #[test]
    fn every_field_of_a_flow_is_a_path_and_survives_it() {
        let whole = whole();
        let names: Vec<&str> = SCHEMA.fields(FLOW).iter().map(|field| field.name.as_str()).collect();
        assert_eq!(masked(&names), whole);
        for name in names {
            let _is_a_path = masked(&[name]);
        }
    }

    #[test]
    fn a_path_that_leads_nowhere_is_named() {
        for path in
            ["", "ip", "summary", "source.", "source.nothing", "source.labels.x", "verdict.x", "labels"]
        {
            let refusal = Mask::parse(&["time".to_owned(), path.to_owned()]).unwrap_err();
            assert_eq!(refusal.field, "field_mask.paths[1]", "{path}");
        }
        let below_whole = ["source".to_owned(), "source.nothing".to_owned()];
        assert!(Mask::parse(&below_whole).is_err());
        assert_eq!(Mask::parse(&[]), Ok(None));
    }
}
