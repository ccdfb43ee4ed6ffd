//! Messages by their descriptors: which fields there are, for whoever has to look at encoded bytes instead of values.

use std::collections::BTreeMap;

use prost::Message as _;
use prost::bytes::{Buf, BufMut as _};
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FileDescriptorSet};

/// Messages within messages, at most; as deep as the decoder goes.
const DEPTH_MAX: usize = 100;

/// A field of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// As it is written in the `.proto` file.
    pub name: String,
    /// Its number.
    pub number: u32,
    /// There may be many.
    pub is_repeated: bool,
    /// Full name of the message that it holds; `None` for numbers and texts.
    pub message: Option<String>,
}

/// Every message of a set of files, by full name.
#[derive(Clone, Debug, Default)]
pub struct Schema(BTreeMap<String, Vec<Field>>);

impl Schema {
    /// From an encoded `FileDescriptorSet`; empty when it is none.
    #[must_use]
    pub fn read(descriptor: &[u8]) -> Self {
        let mut messages = BTreeMap::new();
        for file in FileDescriptorSet::decode(descriptor).unwrap_or_default().file {
            for message in &file.message_type {
                add(&mut messages, file.package(), message);
            }
        }
        Self(messages)
    }

    /// The fields of a message; none when it is not known.
    #[must_use]
    pub fn fields(&self, message: &str) -> &[Field] {
        self.0.get(message).map_or(&[], Vec::as_slice)
    }

    /// The field of that name.
    #[must_use]
    pub fn field(&self, message: &str, name: &str) -> Option<&Field> {
        self.fields(message).iter().find(|field| field.name == name)
    }

    fn numbered(&self, message: &str, number: u32) -> Option<&Field> {
        self.fields(message).iter().find(|field| field.number == number)
    }

    /// The path of the first field in an encoded message that the schema does not have: names and places in lists, then
    /// the field's number, as in `whitelist[1].77`. `None` when there is none, and for bytes that are no message.
    #[must_use]
    pub fn unknown(&self, message: &str, bytes: &[u8]) -> Option<String> {
        self.unknown_within(message, bytes, 0)
    }

    fn unknown_within(&self, message: &str, mut bytes: &[u8], depth: usize) -> Option<String> {
        let mut places: BTreeMap<u32, usize> = BTreeMap::new();
        while let Some((number, value)) = next(&mut bytes) {
            let Some(field) = self.numbered(message, number) else { return Some(number.to_string()) };
            let place = places.entry(number).or_insert(0);
            if let (Some(inner), Value::Bytes(value)) = (&field.message, value)
                && depth < DEPTH_MAX
                && let Some(path) = self.unknown_within(inner, value, depth + 1)
            {
                let place = if field.is_repeated { format!("[{place}]") } else { String::new() };
                return Some(format!("{}{place}.{path}", field.name));
            }
            *place += 1;
        }
        None
    }
}

fn add(messages: &mut BTreeMap<String, Vec<Field>>, scope: &str, message: &DescriptorProto) {
    let name =
        if scope.is_empty() { message.name().to_owned() } else { format!("{scope}.{}", message.name()) };
    let fields = message.field.iter().map(|field| Field {
        name: field.name().to_owned(),
        number: u32::try_from(field.number()).unwrap_or_default(),
        is_repeated: field.label() == Label::Repeated,
        message: (field.r#type() == Type::Message)
            .then(|| field.type_name().trim_start_matches('.').to_owned()),
    });
    messages.insert(name.clone(), fields.collect());
    for inner in &message.nested_type {
        add(messages, &name, inner);
    }
}

/// What a field holds, undecoded.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// A number without a length: its encoding.
    Number(WireType, &'a [u8]),
    /// A text, bytes, a message or packed numbers.
    Bytes(&'a [u8]),
}

impl Value<'_> {
    /// Writes the field.
    pub fn write(self, number: u32, out: &mut Vec<u8>) {
        match self {
            Self::Number(kind, bytes) => {
                encode_key(number, kind, out);
                out.put_slice(bytes);
            }
            Self::Bytes(bytes) => {
                encode_key(number, WireType::LengthDelimited, out);
                encode_varint(u64::try_from(bytes.len()).unwrap_or(u64::MAX), out);
                out.put_slice(bytes);
            }
        }
    }
}

/// The next field of an encoded message: its number and what it holds. `None` at the end, and at what is no field; groups,
/// which nobody writes any more, are none.
pub fn next<'a>(bytes: &mut &'a [u8]) -> Option<(u32, Value<'a>)> {
    if bytes.is_empty() {
        return None;
    }
    let (number, kind) = decode_key(bytes).ok()?;
    let value = match kind {
        WireType::Varint => {
            let before = *bytes;
            decode_varint(bytes).ok()?;
            Value::Number(kind, before.get(..before.len() - bytes.remaining())?)
        }
        WireType::ThirtyTwoBit => Value::Number(kind, split(bytes, 4)?),
        WireType::SixtyFourBit => Value::Number(kind, split(bytes, 8)?),
        WireType::LengthDelimited => {
            let length = usize::try_from(decode_varint(bytes).ok()?).ok()?;
            Value::Bytes(split(bytes, length)?)
        }
        WireType::StartGroup | WireType::EndGroup => return None,
    };
    Some((number, value))
}

fn split<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (first, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(first)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use crate::hubble::flow::{FlowFilter, TcpFlags};
    use crate::hubble::observer::GetFlowsRequest;
    use crate::hubble::{FLOW, GET_FLOWS_REQUEST, SCHEMA};

    #[test]
    fn a_request_without_unknown_fields_passes_and_one_with_is_named_by_path() {
        let filter = FlowFilter {
            source_pod: vec!["a/".to_owned()],
            tcp_flags: vec![TcpFlags { syn: true, ..TcpFlags::default() }],
            source_identity: vec![1, 2, 3],
            ..FlowFilter::default()
        };
        let request = GetFlowsRequest {
            number: 7,
            whitelist: vec![filter.clone(), filter.clone()],
            ..GetFlowsRequest::default()
        };
        assert_eq!(SCHEMA.unknown(GET_FLOWS_REQUEST, &request.encode_to_vec()), None);
        // Field 77 of the second filter, and field 12 of the request.
        let mut second = filter.encode_to_vec();
        second.extend([0xe8, 0x04, 1]);
        let mut bytes =
            GetFlowsRequest { whitelist: vec![filter], ..GetFlowsRequest::default() }.encode_to_vec();
        bytes.push(6 << 3 | 2);
        bytes.push(u8::try_from(second.len()).unwrap());
        bytes.extend(second);
        assert_eq!(SCHEMA.unknown(GET_FLOWS_REQUEST, &bytes).as_deref(), Some("whitelist[1].77"));
        assert_eq!(SCHEMA.unknown(GET_FLOWS_REQUEST, &[12 << 3, 1]).as_deref(), Some("12"));
        // The numbers that were retired are unknown too.
        assert_eq!(SCHEMA.unknown(GET_FLOWS_REQUEST, &[2 << 3, 1]).as_deref(), Some("2"));
    }

    #[test]
    fn garbage_ends_the_search() {
        assert_eq!(SCHEMA.unknown(GET_FLOWS_REQUEST, &[0x32, 0xff, 1]), None);
        assert_eq!(SCHEMA.unknown(GET_FLOWS_REQUEST, &[0xff; 20]), None);
        assert_eq!(SCHEMA.unknown("no.such.Message", &[]), None);
    }

    #[test]
    fn fields_are_found_by_the_names_that_stand_in_the_files() {
        assert_eq!(SCHEMA.field(FLOW, "IP").unwrap().message.as_deref(), Some("flow.IP"));
        assert_eq!(SCHEMA.field(FLOW, "Summary").unwrap().number, 100_000);
        assert!(SCHEMA.field(FLOW, "ip").is_none());
    }
}
