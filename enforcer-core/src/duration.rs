//! Durations as policies and configurations write them: `90s`, `5m`, `1h30m`.

/// Seconds, from whole numbers with the units h, m, s, each at most once and in this order.
#[must_use]
pub fn parse_seconds(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total: i64 = 0;
    for (unit, length) in [('h', 3_600), ('m', 60), ('s', 1)] {
        let Some((number, after)) = rest.split_once(unit) else { continue };
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(length)?)?;
        rest = after;
    }
    (rest.is_empty() && !text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_like_a_clock() {
        assert_eq!(parse_seconds("90s"), Some(90));
        assert_eq!(parse_seconds("5m"), Some(300));
        assert_eq!(parse_seconds("1h30m"), Some(5_400));
        assert_eq!(parse_seconds("1h2m3s"), Some(3_723));
        for wrong in [
            "",
            "5",
            "5d",
            "m5",
            "1m1h",
            "5m5m",
            "-5s",
            "+5s",
            "1.5h",
            "5 s",
            "99999999999999999999s",
            "9223372036854775807h",
        ] {
            assert_eq!(parse_seconds(wrong), None, "{wrong}");
        }
    }
}
