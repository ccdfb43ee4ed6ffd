//! `/proc/PID/uid_map`: which users of the host a process can be.

/// Bytes of a map: the kernel takes at most 340 lines of three numbers.
pub const MAX_TEXT: usize = 16 * 1024;

/// Host users: the first, and how many. The whole host is `(0, 4294967295)`.
pub type Range = (u32, u32);

/// The host's ranges in a map, as it is read from the initial user namespace.
///
/// # Errors
/// It is no such map, in a sentence.
pub fn parse(text: &str) -> Result<Vec<Range>, String> {
    if text.len() > MAX_TEXT {
        return Err(format!("{} bytes, more than {MAX_TEXT}", text.len()));
    }
    text.lines().map(|line| range(line).ok_or_else(|| "a line is not three numbers".to_owned())).collect()
}

fn range(line: &str) -> Option<Range> {
    let mut words = line.split_ascii_whitespace().map(|word| word.parse::<u32>().ok());
    let (_inside, outside, length) = (words.next()??, words.next()??, words.next()??);
    (words.next().is_none() && length > 0).then_some((outside, length))
}

/// Whether a user of the host is in both.
#[must_use]
pub fn overlap(one: &[Range], other: &[Range]) -> bool {
    let meet = |(a, n): &Range, (b, m): &Range| {
        let end = |first: u32, length: u32| u64::from(first) + u64::from(length);
        u64::from(*a) < end(*b, *m) && u64::from(*b) < end(*a, *n)
    };
    one.iter().any(|one| other.iter().any(|other| meet(one, other)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_meet_where_a_user_is_in_both() {
        let map = |text| parse(text).unwrap();
        let host = map("         0          0 4294967295\n");
        let red = map("         0     100000      65536\n");
        let blue = map("         0     165536      65536\n");
        assert!(overlap(&host, &red));
        assert!(overlap(&host, &host));
        assert!(!overlap(&red, &blue));
        assert!(overlap(&red, &map("0 165535 2\n")));
    }

    #[test]
    fn what_is_no_map_is_an_error() {
        for text in ["0 0\n", "0 0 0\n", "a b c\n", "0 0 1 2\n", "0 -1 4\n"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&"0 0 1\n".repeat(10_000)).is_err());
    }
}
