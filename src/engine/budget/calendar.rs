//! Days and months of the ledger, as numbers: `20261125`, `202611`.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::domain::time::Timestamp;

/// The day of `now` in `zone`; the last one that a calendar has for times beyond it.
pub(super) fn day_of(now: Timestamp, zone: &TimeZone) -> u32 {
    number(local(now, zone).date())
}

/// The first day of the month before that of `now`.
pub(super) fn month_before(now: Timestamp, zone: &TimeZone) -> u32 {
    let first = local(now, zone).date().first_of_month();
    first.yesterday().map_or_else(|_| number(first), |last| number(last.first_of_month()))
}

/// When the day after `day`, or the month after its month, begins in `zone`, and how people write
/// that: `2026-11-26 00:00 Europe/Berlin`. A day that a change of the clocks begins later begins
/// then.
pub(super) fn next(day: u32, monthly: bool, zone: &TimeZone) -> (Timestamp, String) {
    let date = date(day).map(|date| if monthly { date.last_of_month() } else { date });
    let begin = date.and_then(|date| date.tomorrow().ok()?.to_zoned_datetime(zone.clone()).ok());
    let Some(begin) = begin else {
        return (Timestamp::from_ms(u64::MAX), "never".to_owned());
    };
    let name = zone.iana_name().unwrap_or("local time");
    let text = format!("{} {:02}:{:02} {name}", begin.date(), begin.hour(), begin.minute());
    (Timestamp::from_ms(begin.timestamp().as_millisecond().try_into().unwrap_or(0)), text)
}

fn local(now: Timestamp, zone: &TimeZone) -> jiff::ZonedDateTime {
    let ms = i64::try_from(now.as_ms()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX).to_zoned_datetime(zone.clone())
}

fn number(date: Date) -> u32 {
    let part = |part: i16| u32::try_from(part).unwrap_or(0);
    part(date.year()) * 10_000 + part(date.month().into()) * 100 + part(date.day().into())
}

fn date(day: u32) -> Option<Date> {
    let part = |part: u32| i8::try_from(part % 100).ok();
    Date::new(i16::try_from(day / 10_000).ok()?, part(day / 100)?, part(day)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> TimeZone {
        jiff::tz::TimeZoneDatabase::bundled().get(name).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::from_ms(text.parse::<jiff::Timestamp>().unwrap().as_millisecond().try_into().unwrap())
    }

    #[test]
    fn a_day_and_a_month_begin_in_the_zone() {
        for (now, name, day) in [
            ("2026-11-25T22:59:59.999Z", "Europe/Berlin", 20_261_125),
            ("2026-11-25T23:00:00Z", "Europe/Berlin", 20_261_126),
            ("2026-12-31T23:30:00Z", "UTC", 20_261_231),
            ("2026-12-31T23:30:00Z", "Asia/Tokyo", 20_270_101),
            ("2028-02-29T12:00:00Z", "UTC", 20_280_229),
            // Clocks go back at 03:00: the hour that comes twice is of the same day.
            ("2026-10-25T00:30:00Z", "Europe/Berlin", 20_261_025),
            ("2026-10-25T22:59:59Z", "Europe/Berlin", 20_261_025),
            ("2026-10-25T23:00:00Z", "Europe/Berlin", 20_261_026),
        ] {
            assert_eq!(day_of(at(now), &zone(name)), day, "{now} {name}");
        }
        assert_eq!(day_of(Timestamp::from_ms(u64::MAX), &TimeZone::UTC), 99_991_230);
    }

    #[test]
    fn the_next_window_begins_when_its_first_day_does() {
        for (day, monthly, name, begin, text) in [
            (20_261_125, false, "UTC", "2026-11-26T00:00:00Z", "2026-11-26 00:00 UTC"),
            (20_261_125, true, "Europe/Berlin", "2026-11-30T23:00:00Z", "2026-12-01 00:00 Europe/Berlin"),
            (20_261_231, false, "UTC", "2027-01-01T00:00:00Z", "2027-01-01 00:00 UTC"),
            (20_261_231, true, "UTC", "2027-01-01T00:00:00Z", "2027-01-01 00:00 UTC"),
            (20_280_228, false, "UTC", "2028-02-29T00:00:00Z", "2028-02-29 00:00 UTC"),
            // A day of 25 hours, and one that begins at 01:00.
            (20_261_025, false, "Europe/Berlin", "2026-10-25T23:00:00Z", "2026-10-26 00:00 Europe/Berlin"),
            (20_181_103, false, "America/Sao_Paulo", "2018-11-04T03:00:00Z", "2018-11-04 01:00 America/Sao_Paulo"),
        ] {
            assert_eq!(next(day, monthly, &zone(name)), (at(begin), text.to_owned()), "{day} {name}");
        }
        for nonsense in [0, 20_261_131, u32::MAX, 99_991_231] {
            assert_eq!(next(nonsense, false, &TimeZone::UTC).1, "never", "{nonsense}");
        }
    }

    #[test]
    fn the_month_before_is_of_the_year_before_in_january() {
        assert_eq!(month_before(at("2027-01-15T00:00:00Z"), &TimeZone::UTC), 20_261_201);
        assert_eq!(month_before(at("2026-12-01T00:00:00Z"), &TimeZone::UTC), 20_261_101);
        assert_eq!(month_before(Timestamp::from_ms(0), &TimeZone::UTC), 19_691_201);
    }
}
