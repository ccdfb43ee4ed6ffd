//! Windows against a slow, obvious reference.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::detect::limits::DISTINCT_MAX;

/// Steps of a clock that goes on, and how late each event is told, in buckets.
fn events() -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
    proptest::collection::vec((0_u64..30, 0_u64..90, 0_u64..40), 1..200)
}

proptest! {
    #[test]
    fn a_count_is_what_a_list_of_everything_says(events in events()) {
        let (mut counts, mut all, mut head) = (Counts::default(), Vec::new(), 1_000);
        for (step, late, count) in events {
            head += step;
            let bucket = head - late;
            all.push((bucket, count));
            let told = counts.add(bucket, count, head);
            let within = all.iter().filter(|(at, _)| *at <= head && head - at < BUCKETS);
            prop_assert_eq!(told, within.map(|(_, count)| count).sum::<u64>());
            prop_assert!(counts.held() <= usize::try_from(BUCKETS).unwrap());
        }
    }

    #[test]
    fn a_distinct_count_is_what_a_set_of_everything_says(events in events()) {
        let (mut distinct, mut all, mut head) = (Distinct::default(), Vec::new(), 1_000);
        for (step, late, port) in events {
            head += step;
            let (bucket, value) = (head - late, Value::Port(u32::try_from(port).unwrap()));
            all.push((bucket, value));
            let told = distinct.add(value, bucket, head);
            let within = all.iter().filter(|(at, _)| *at <= head && head - at < BUCKETS);
            let reference: HashSet<Value> = within.map(|(_, value)| *value).collect();
            prop_assert_eq!(usize::try_from(told).unwrap(), reference.len());
        }
    }

    #[test]
    fn beyond_its_bound_a_distinct_count_is_the_bound(
        extra in 1_u32..2_000,
        step in 0_u64..2,
    ) {
        let mut distinct = Distinct::default();
        let bound = u32::try_from(DISTINCT_MAX).unwrap();
        let mut head = 1_000;
        for port in 0..bound + extra {
            if port % bound == bound - 1 {
                head += step;
            }
            distinct.add(Value::Port(port), head, head);
        }
        prop_assert_eq!(distinct.held(), DISTINCT_MAX);
    }
}

#[test]
fn what_is_older_than_the_window_or_in_the_future_is_not_counted() {
    let mut counts = Counts::default();
    assert_eq!(counts.add(100, 5, 100), 5);
    assert_eq!(counts.add(40, 7, 100), 5);
    assert_eq!(counts.add(101, 7, 100), 5);
    assert_eq!(counts.add(41, 7, 100), 12);
    assert_eq!(counts.sum(101), 5);
    assert_eq!(counts.sum(160), 0);
    assert_eq!(counts.add(u64::MAX, u64::MAX, u64::MAX), u64::MAX);
    assert_eq!(counts.add(u64::MAX, u64::MAX, u64::MAX), u64::MAX);
}

#[test]
fn a_span_is_cut_into_buckets() {
    let span = Span::new(3_600);
    assert_eq!(span.bucket(3_600 * SECOND_NS), BUCKETS);
    assert_eq!(span.bucket(60 * SECOND_NS - 1), 0);
    assert_eq!(span.period(3_600 * SECOND_NS), 1);
    assert_eq!(Span::new(0), Span::new(1));
}
