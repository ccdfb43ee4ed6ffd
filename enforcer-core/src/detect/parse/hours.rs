//! `usual`: hours of the week.

use crate::detect::hours::{DAYS, Hours};
use crate::policy::parse::yaml::fields::Reader;
use crate::policy::parse::yaml::node::Node;
use crate::policy::problem::shown;

const EVERY_DAY: u8 = 0x7f;

pub(super) fn read(reader: &mut Reader, path: String, node: &Node) -> Option<Hours> {
    let line = node.line;
    let mut fields = reader.map(path.clone(), node)?;
    let from = fields.require(reader, "from", "a time of day, such as \"08:00\"");
    let from = from.and_then(|(path, node)| time_of_day(reader, &path, node));
    let to = fields.require(reader, "to", "a time of day, such as \"18:00\"");
    let to = to.and_then(|(path, node)| time_of_day(reader, &path, node));
    let days = match fields.take(reader, "days") {
        Some((path, node)) => days(reader, &path, node),
        None => Some(EVERY_DAY),
    };
    let offset = match fields.take(reader, "utcOffset") {
        Some((path, node)) => offset(reader, &path, node),
        None => Some(0),
    };
    fields.finish(reader);
    let hours = Hours::new(from?, to?, days?, offset?);
    if hours.is_none() {
        reader.refuse("out_of_range", &path, line, "is no time of a week");
    }
    hours
}

fn time_of_day(reader: &mut Reader, path: &str, node: &Node) -> Option<u16> {
    let text = reader.text(path, node)?;
    let minutes = minutes(&text).filter(|minutes| *minutes < 24 * 60);
    if minutes.is_none() {
        let message =
            format!("'{}' is no time of day; write it as \"08:00\", from 00:00 to 23:59", shown(&text));
        reader.refuse("invalid_time", path, node.line, message);
    }
    minutes
}

/// `08:00`: two digits, a colon, two digits below 60.
fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let is_number = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(hours) || !is_number(minutes) {
        return None;
    }
    let minute: u16 = minutes.parse().ok().filter(|minute| *minute < 60)?;
    Some(hours.parse::<u16>().ok()? * 60 + minute)
}

fn days(reader: &mut Reader, path: &str, node: &Node) -> Option<u8> {
    let mut bits = Some(0);
    for (path, item) in reader.list(path, node) {
        let text = reader.text(&path, item)?;
        let day = DAYS.iter().position(|day| *day == text);
        match (day, bits) {
            (Some(day), Some(set)) => bits = Some(set | 1 << day),
            (Some(_), None) => {}
            (None, _) => {
                let message = format!("'{}' is no day; use one of {}", shown(&text), DAYS.join(", "));
                reader.refuse("unknown_value", &path, item.line, message);
                bits = None;
            }
        }
    }
    bits.filter(|bits| *bits != 0)
}

/// `+02:00`, `-08:00`: up to 14 hours.
fn offset(reader: &mut Reader, path: &str, node: &Node) -> Option<i32> {
    let text = reader.text(path, node)?;
    let (sign, rest) = match text.split_at_checked(1) {
        Some(("+", rest)) => (1, rest),
        Some(("-", rest)) => (-1, rest),
        Some(_) | None => (0, ""),
    };
    let minutes =
        minutes(rest).filter(|minutes| *minutes <= 14 * 60).map(|minutes| sign * i32::from(minutes));
    if minutes.is_none() {
        let message = format!("'{}' is no offset; write it as \"+02:00\", up to 14 hours", shown(&text));
        reader.refuse("invalid_time", path, node.line, message);
    }
    minutes
}
