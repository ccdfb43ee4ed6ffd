use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Mutex;

use proptest::prelude::*;

use super::super::sample::{any_record, flows};
use super::super::{Protection, ROW_GROUP_ROWS, Sealed, Writer, names, write};
use super::*;

const KEY: [u8; 32] = [7; 32];
const METADATA: &[u8] = b"{\"keyMaterialType\":\"PKMT1\"}";

fn sealed(records: &[v1::Record]) -> (Vec<u8>, Sealed) {
    let mut bytes = Vec::new();
    let sealed = write(&mut bytes, records, Protection::Sealed { key: &KEY, metadata: METADATA }).unwrap();
    (bytes, sealed)
}

fn opened(bytes: Vec<u8>, predicate: Predicate) -> Result<Vec<v1::Record>, Error> {
    let unwrap = |metadata: &[u8]| if metadata == METADATA { Ok(KEY) } else { Err("metadata".to_owned()) };
    Reader::open(Arc::new(bytes), unwrap, predicate)?.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_field_of_a_record_comes_back(mut records in proptest::collection::vec(any_record(), 0..12)) {
        records.sort_by_key(|record| record.sequence);
        let (bytes, _) = sealed(&records);
        prop_assert_eq!(opened(bytes, Predicate::default()).unwrap(), records);
    }

    #[test]
    fn what_is_pruned_and_left_out_is_what_a_plain_test_leaves_out(
        mut records in proptest::collection::vec(any_record(), 0..12),
        (after, upto, from, until) in any::<(Option<u64>, Option<u64>, Option<i64>, Option<i64>)>(),
        verdict in "[a-c]{0,1}",
    ) {
        records.sort_by_key(|record| record.sequence);
        let test = Test {
            columns: vec!["verdict"],
            passes: Arc::new(move |record| record.verdict.starts_with(&verdict)),
        };
        let predicate = Predicate { after, upto, from, until, test: Some(test) };
        let (bytes, _) = sealed(&records);
        let read = opened(bytes, predicate.clone()).unwrap();
        records.retain(|record| predicate.passes(record));
        prop_assert_eq!(read, records);
    }
}

#[test]
fn a_message_without_content_is_not_a_message_that_is_missing() {
    let hollow = v1::Record {
        source: Some(v1::Endpoint::default()),
        destination: Some(v1::Endpoint::default()),
        process: Some(v1::Process::default()),
        device: Some(v1::Device { minor: Some(0), ..v1::Device::default() }),
        tunnel: Some(v1::TunnelFacts::default()),
        flow: Some(v1::FlowFacts::default()),
        note: Some(v1::Note::default()),
        cpu: Some(0),
        ..v1::Record::default()
    };
    let records = vec![v1::Record::default(), hollow];
    let (bytes, _) = sealed(&records);
    assert_eq!(opened(bytes, Predicate::default()).unwrap(), records);
}

#[test]
fn an_empty_file_holds_no_record() {
    let (bytes, sealed) = sealed(&[]);
    assert_eq!(sealed.row_groups, []);
    assert_eq!(opened(bytes, Predicate::default()).unwrap(), []);
}

#[test]
fn row_groups_end_where_the_next_begins_and_say_what_they_hold() {
    let count = u64::try_from(ROW_GROUP_ROWS).unwrap() + 1000;
    let (bytes, sealed) = sealed(&flows(count));
    let [one, two] = sealed.row_groups.as_slice() else { panic!("{:?}", sealed.row_groups) };
    assert_eq!((one.offset, one.offset + one.length), (4, two.offset));
    assert!(two.offset + two.length < sealed.bytes);
    assert_eq!((one.first, one.last, one.records), (1, count - 1000, count - 1000));
    assert_eq!((two.first, two.last, two.records), (count - 999, count, 1000));
    assert!(one.times.unwrap().1 < two.times.unwrap().0);
    assert_eq!((sealed.records, sealed.bytes), (count, u64::try_from(bytes.len()).unwrap()));
}

/// Notes what it was asked for.
struct Noting(Vec<u8>, Mutex<Vec<Range<usize>>>);

impl Noting {
    fn asked(&self) -> usize {
        self.1.lock().unwrap().drain(..).map(|range| range.len()).sum()
    }
}

impl ReadAt for Noting {
    fn size(&self) -> std::io::Result<u64> {
        self.0.size()
    }

    fn fill(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        self.1.lock().unwrap().push(start..start + buffer.len());
        self.0.fill(buffer, offset)
    }
}

#[test]
fn row_groups_and_columns_that_are_not_wanted_are_not_read() {
    let count = u64::try_from(ROW_GROUP_ROWS).unwrap() + 1000;
    let source = Arc::new(Noting(sealed(&flows(count)).0, Mutex::default()));
    let read = |predicate| {
        let reader = Reader::open(Arc::clone(&source) as Arc<dyn ReadAt>, |_| Ok(KEY), predicate).unwrap();
        let records = reader.collect::<Result<Vec<_>, _>>().unwrap().len();
        (records, source.asked())
    };
    let (all, whole) = read(Predicate::default());
    let (late, tail) = read(Predicate { after: Some(count - 10), ..Predicate::default() });
    let none = Test { columns: vec!["verdict"], passes: Arc::new(|record| record.verdict == "audit") };
    let (audited, deciding) = read(Predicate { test: Some(none), ..Predicate::default() });
    assert_eq!((all, late, audited), (usize::try_from(count).unwrap(), 10, 0));
    assert!(tail * 4 < whole, "{tail} of {whole} bytes");
    assert!(deciding * 2 < whole, "{deciding} of {whole} bytes");
}

#[test]
fn records_out_of_order_are_refused() {
    let mut writer = Writer::new(Vec::new(), Protection::Plain).unwrap();
    let at = |sequence| v1::Record { sequence, ..v1::Record::default() };
    writer.push(&at(2)).unwrap();
    writer.push(&at(2)).unwrap();
    assert!(matches!(writer.push(&at(1)), Err(Error::Value { column: "sequence", .. })));
}

#[test]
fn another_key_opens_nothing() {
    let (bytes, _) = sealed(&flows(10));
    let source: Arc<dyn ReadAt> = Arc::new(bytes);
    let with = |key: Vec<u8>| Reader::open(Arc::clone(&source), |_| Ok(key), Predicate::default()).err();
    assert!(matches!(with(vec![8; 32]), Some(Error::Sealed { what: "footer", .. })));
    assert!(matches!(with(vec![7; 16]), Some(Error::Sealed { .. })));
    assert!(matches!(with(vec![7; 31]), Some(Error::KeyLength(31))));
    let refused =
        Reader::open(source, |_| Err::<Vec<u8>, _>("destroyed".to_owned()), Predicate::default()).err();
    assert!(matches!(refused, Some(Error::Key(why)) if why == "destroyed"));
}

#[test]
fn nothing_of_a_record_can_be_read_in_the_file() {
    let (bytes, _) = sealed(&flows(2000));
    for word in ["intra-tenant", "10.1.0.2", "red-1", "node-1", "verdict", "source_address"] {
        assert!(!bytes.windows(word.len()).any(|window| window == word.as_bytes()), "{word}");
    }
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_an_error() {
    let (bytes, _) = sealed(&flows(300));
    for length in 0..bytes.len() {
        let cut = bytes.get(..length).unwrap().to_vec();
        assert!(opened(cut, Predicate::default()).is_err(), "cut off at {length} of {}", bytes.len());
    }
}

/// What is not read for this answer cannot change it: page indexes, which are for other engines, and the pages of
/// columns without a value. Chains of hashes cover those.
#[test]
fn a_file_with_any_byte_changed_that_is_read_is_an_error() {
    let (bytes, _) = sealed(&flows(50));
    let source = Arc::new(Noting(bytes.clone(), Mutex::default()));
    let reader = Reader::open(Arc::clone(&source) as Arc<dyn ReadAt>, |_| Ok(KEY), Predicate::default());
    assert_eq!(reader.unwrap().count(), 50);
    let places: BTreeSet<usize> = source.1.lock().unwrap().drain(..).flatten().collect();
    assert!(places.len() * 3 > bytes.len(), "{} of {} bytes are read", places.len(), bytes.len());
    for at in places {
        let mut changed = bytes.clone();
        *changed.get_mut(at).unwrap() ^= if at % 2 == 0 { 0x01 } else { 0xff };
        assert!(opened(changed, Predicate::default()).is_err(), "byte {at}");
    }
}

#[test]
fn columns_have_names_of_their_own() {
    let mut seen: Vec<_> = names().collect();
    let count = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), count);
}

#[test]
fn a_plain_file_is_read_by_anybody() {
    use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
    let mut bytes = Vec::new();
    write(&mut bytes, flows(5), Protection::Plain).unwrap();
    let reader = SerializedFileReader::new(::bytes::Bytes::from(bytes)).unwrap();
    let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect();
    assert_eq!(rows.len(), 5);
    assert!(rows.first().unwrap().contains("source_workload: \"red-1\""), "{rows:?}");
}
