//! Decoding without loss: a field that this version does not know is refused, not dropped.

use prost::Message;

use crate::policy::parse::limits::MAX_PUSH_BYTES;
use crate::policy::problem::Problem;

/// Decodes a message of which every byte is understood.
///
/// Protobuf decoders drop what they do not know, so that a restriction from a newer sender would vanish. What
/// was understood encodes to the shortest form there is; if the input is longer, something was not understood.
///
/// # Errors
/// `push_too_large`, `malformed_message` or `unknown_field`.
pub fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, Problem> {
    if bytes.len() > MAX_PUSH_BYTES {
        let message = format!("is {} bytes where {MAX_PUSH_BYTES} are the most; push in parts", bytes.len());
        return Err(Problem::new("push_too_large", "", message));
    }
    let message = M::decode(bytes)
        .map_err(|error| Problem::new("malformed_message", "", format!("is no such message: {error}")))?;
    if message.encoded_len() != bytes.len() {
        let text = "holds fields that this version does not know, or states one twice; nothing was applied";
        return Err(Problem::new("unknown_field", "", text));
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use enforcer_proto::v1;

    use super::*;

    fn tenant() -> v1::Tenant {
        v1::Tenant { name: "red".to_owned(), id: 16, ..v1::Tenant::default() }
    }

    #[test]
    fn a_field_from_a_newer_sender_is_refused() {
        let mut bytes = tenant().encode_to_vec();
        assert_eq!(decode::<v1::Tenant>(&bytes), Ok(tenant()));
        // Field 200, a varint.
        bytes.extend([0xc0, 0x0c, 1]);
        assert_eq!(v1::Tenant::decode(bytes.as_slice()), Ok(tenant()), "prost drops it");
        assert_eq!(decode::<v1::Tenant>(&bytes).unwrap_err().code, "unknown_field");
    }

    #[test]
    fn garbage_and_floods_are_refused() {
        assert_eq!(decode::<v1::Tenant>(&[0xff; 9]).unwrap_err().code, "malformed_message");
        assert_eq!(decode::<v1::Tenant>(&vec![0; MAX_PUSH_BYTES + 1]).unwrap_err().code, "push_too_large");
    }
}
