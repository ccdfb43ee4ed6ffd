//! Hours of the week that are usual for a tenant, by its own offset from UTC. No time zone database: an offset does not
//! change in summer, and who needs that states the rule for the season.

const DAY_MINUTES: u16 = 24 * 60;

/// Days with their words, Monday first.
pub const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// From a time of day to another, on some days of the week. Where the end is not after the beginning, it lies on the day
/// after: the hours belong to the day on which they begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    from_minute: u16,
    to_minute: u16,
    /// Bit 0 is Monday.
    days: u8,
    offset_minutes: i32,
}

impl Hours {
    /// Minutes of the day below 1440, days by their bits, and the offset from UTC in minutes.
    #[must_use]
    pub fn new(from_minute: u16, to_minute: u16, days: u8, offset_minutes: i32) -> Option<Self> {
        let is_right = from_minute < DAY_MINUTES
            && to_minute < DAY_MINUTES
            && days & 0x7f != 0
            && offset_minutes.abs() <= 14 * 60;
        is_right.then_some(Self { from_minute, to_minute, days: days & 0x7f, offset_minutes })
    }

    /// Whether an instant, in nanoseconds since the Unix epoch, is within these hours.
    #[must_use]
    pub fn contain(&self, unix_ns: u64) -> bool {
        let minutes = i64::try_from(unix_ns / 60_000_000_000).unwrap_or(i64::MAX / 2);
        let local = minutes + i64::from(self.offset_minutes);
        // 1970-01-01 was a Thursday.
        let day = (local.div_euclid(i64::from(DAY_MINUTES)) + 3).rem_euclid(7);
        let minute = u16::try_from(local.rem_euclid(i64::from(DAY_MINUTES))).unwrap_or(0);
        let (today, yesterday) = (self.has(day), self.has((day + 6) % 7));
        if self.from_minute < self.to_minute {
            return today && (self.from_minute..self.to_minute).contains(&minute);
        }
        (today && minute >= self.from_minute) || (yesterday && minute < self.to_minute)
    }

    const fn has(&self, day: i64) -> bool {
        self.days >> day & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_NS: u64 = 3_600_000_000_000;
    /// Monday, 2026-11-30, midnight UTC.
    const MONDAY_NS: u64 = 1_795_996_800 * 1_000_000_000;
    const WEEK: u8 = 0b001_1111;

    fn hours(from: u16, to: u16, days: u8, offset: i32) -> Hours {
        Hours::new(from * 60, to * 60, days, offset * 60).unwrap()
    }

    fn within(hours: Hours) -> Vec<u64> {
        (0..7 * 24).filter(|hour| hours.contain(MONDAY_NS + hour * HOUR_NS)).collect()
    }

    #[test]
    fn office_hours_are_five_times_ten() {
        let found = within(hours(8, 18, WEEK, 0));
        let wanted: Vec<u64> = (0..5).flat_map(|day| day * 24 + 8..day * 24 + 18).collect();
        assert_eq!(found, wanted);
        let office = hours(8, 18, WEEK, 0);
        assert!(!office.contain(MONDAY_NS + 8 * HOUR_NS - 1));
        assert!(office.contain(MONDAY_NS + 18 * HOUR_NS - 1));
    }

    #[test]
    fn hours_across_midnight_belong_to_the_day_on_which_they_begin() {
        let friday_night = hours(22, 6, 0b001_0000, 0);
        assert_eq!(within(friday_night), (4 * 24 + 22..5 * 24 + 6).collect::<Vec<_>>());
        // And across the end of the week.
        let sunday_night = within(hours(22, 6, 0b100_0000, 0));
        assert_eq!(sunday_night, (0..6).chain(6 * 24 + 22..7 * 24).collect::<Vec<_>>());
    }

    #[test]
    fn an_offset_moves_hours_and_days() {
        // Monday from 8 in Tokyo begins on Sunday at 23 in UTC.
        let tokyo = within(hours(8, 18, 1, 9));
        assert_eq!(tokyo, (0..9).chain([6 * 24 + 23]).collect::<Vec<_>>());
        let los_angeles = within(hours(17, 23, 1, -8));
        assert_eq!(los_angeles, (25..31).collect::<Vec<_>>());
    }

    #[test]
    fn a_whole_day_is_a_whole_day_and_nonsense_is_refused() {
        assert_eq!(within(hours(0, 0, 0b10, 0)), (24..48).collect::<Vec<_>>());
        assert_eq!(within(hours(7, 7, 0x7f, 0)).len(), 168);
        assert_eq!(Hours::new(1_440, 0, 1, 0), None);
        assert_eq!(Hours::new(0, 0, 0, 0), None);
        assert_eq!(Hours::new(0, 0, 1, 15 * 60), None);
        assert!(hours(0, 0, 0x7f, 0).contain(0) && hours(0, 0, 0x7f, 0).contain(u64::MAX));
    }
}
