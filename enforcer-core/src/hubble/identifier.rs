//! A flow's UUID: made from the record alone, so that whoever asks again gets the same one, and unique, since a node's
//! sequence numbers are and its time tells two runs apart. It shows neither.

use std::fmt::Write as _;

use enforcer_proto::v1;
use sha2::{Digest as _, Sha256};

/// In RFC 9562's version 8: the bits are our own.
#[must_use]
pub fn uuid(record: &v1::Record) -> String {
    let time = record.time.unwrap_or_default();
    let mut hash = Sha256::new();
    hash.update(b"enforcer flow\0");
    hash.update(record.node.as_bytes());
    hash.update([0]);
    hash.update(record.sequence.to_be_bytes());
    hash.update(time.seconds.to_be_bytes());
    hash.update(time.nanos.to_be_bytes());
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    written(&bytes)
}

fn written(bytes: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (place, byte) in bytes.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn record(node: &str, sequence: u64, seconds: i64) -> v1::Record {
        v1::Record {
            node: node.to_owned(),
            sequence,
            time: Some(prost_types::Timestamp { seconds, nanos: 1 }),
            ..v1::Record::default()
        }
    }

    #[test]
    fn a_record_has_one_uuid_and_two_records_have_two() {
        let mut seen = BTreeSet::new();
        for node in ["n1", "n2"] {
            for sequence in 1..100 {
                for seconds in [7, 8] {
                    assert!(seen.insert(uuid(&record(node, sequence, seconds))));
                }
            }
        }
        assert_eq!(uuid(&record("n1", 1, 7)), uuid(&record("n1", 1, 7)));
    }

    #[test]
    fn it_is_written_as_rfc_9562_says() {
        let text = uuid(&record("n1", 1, 7));
        assert_eq!(text.len(), 36);
        assert_eq!(text.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert_eq!(text.as_bytes()[14], b'8');
        assert!(matches!(text.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
    }

    /// Whoever stored a UUID finds its flow with a later version too.
    #[test]
    fn the_uuid_of_a_record_stays_what_it_was() {
        assert_eq!(uuid(&record("n1", 1, 7)), "d9697371-a169-80b0-a2cc-3f4702dbfbda");
    }
}
