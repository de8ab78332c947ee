//! Days and months in UTC.

use std::{fmt, str::FromStr, time::Duration};

use time::{Date, OffsetDateTime};

const SECONDS_A_DAY: u64 = 86_400;

/// How long a budget lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Period {
    /// A day, from midnight to midnight in UTC.
    Day,
    /// A calendar month in UTC.
    Month,
}

/// One day or one month. Prints as `2028-02-29` or `2028-02`, and reads so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Window {
    period: Period,
    /// Its first day.
    first: Date,
}

impl Period {
    /// The word in messages and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

impl Window {
    /// The day or month that a moment lies in; of all moments after 9999-12-31, that one.
    pub fn at(period: Period, since_epoch: Duration) -> Self {
        let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
        let day = OffsetDateTime::from_unix_timestamp(seconds).map_or(Date::MAX, OffsetDateTime::date);
        Self::of(period, day)
    }

    fn of(period: Period, day: Date) -> Self {
        let first = match period {
            Period::Day => day,
            // Each month has a first.
            Period::Month => day.replace_day(1).unwrap_or(day),
        };
        Self { period, first }
    }

    /// Day or month.
    pub const fn period(self) -> Period {
        self.period
    }

    /// The moment when it ends and the next begins, since 1970.
    pub fn end(self) -> Duration {
        let days = match self.period {
            Period::Day => 1,
            Period::Month => self.first.month().length(self.first.year()),
        };
        let start = self.first.midnight().assume_utc().unix_timestamp();
        Duration::from_secs(u64::try_from(start).unwrap_or(0) + u64::from(days) * SECONDS_A_DAY)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.first.to_calendar_date();
        write!(f, "{year:04}-{:02}", u8::from(month))?;
        match self.period {
            Period::Day => write!(f, "-{day:02}"),
            Period::Month => Ok(()),
        }
    }
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // What is no number of its place, or written as `+1` or `2`, prints otherwise.
        read(text).filter(|window| window.first.year() >= 1970 && window.to_string() == text).ok_or_else(
            || format!("`{text}` is neither a day such as 2028-02-29 nor a month such as 2028-02"),
        )
    }
}

fn read(text: &str) -> Option<Window> {
    let mut parts = text.splitn(3, '-');
    let (year, month) = (parts.next()?.parse().ok()?, parts.next()?.parse::<u8>().ok()?);
    let (period, day) = match parts.next() {
        Some(day) => (Period::Day, day.parse().ok()?),
        None => (Period::Month, 1),
    };
    let day = Date::from_calendar_date(year, month.try_into().ok()?, day).ok()?;
    Some(Window::of(period, day))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> (String, String) {
        let moment = Duration::from_secs(seconds);
        (Window::at(Period::Day, moment).to_string(), Window::at(Period::Month, moment).to_string())
    }

    #[test]
    fn known_moments_lie_in_their_days_and_months() {
        assert_eq!(at(0), ("1970-01-01".into(), "1970-01".into()));
        assert_eq!(at(951_782_400), ("2000-02-29".into(), "2000-02".into()));
        assert_eq!(at(1_709_251_199), ("2024-02-29".into(), "2024-02".into()));
        assert_eq!(at(1_709_251_200), ("2024-03-01".into(), "2024-03".into()));
        assert_eq!(at(1_798_761_599), ("2026-12-31".into(), "2026-12".into()));
        assert_eq!(at(1_798_761_600), ("2027-01-01".into(), "2027-01".into()));
        assert_eq!(at(u64::MAX), ("9999-12-31".into(), "9999-12".into()));
    }

    #[test]
    fn a_window_ends_where_the_next_one_begins() {
        for period in [Period::Day, Period::Month] {
            let mut window = Window::at(period, Duration::ZERO);
            for _ in 0..5_000 {
                let end = window.end();
                assert_eq!(Window::at(period, end - Duration::from_nanos(1)), window);
                let next = Window::at(period, end);
                assert!(next > window && next.period() == period);
                window = next;
            }
        }
    }

    #[test]
    fn a_window_reads_as_it_prints() {
        for text in ["2028-02-29", "2028-02", "1970-01-01", "2026-12", "9999-12-31"] {
            assert_eq!(text.parse::<Window>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "2027-02-29",
            "2028-13",
            "2028-00",
            "2028-2",
            "2028",
            "+2028-02",
            "1969-12",
            "2028-02-29-1",
            "x-y",
        ] {
            assert!(text.parse::<Window>().unwrap_err().contains("such as"), "{text}");
        }
    }
}
