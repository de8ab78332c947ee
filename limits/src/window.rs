//! Days and months in UTC.

use std::{fmt, str::FromStr, time::Duration};

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
    /// Days since 1970-01-01, or months since 1970-01.
    number: i64,
}

impl Window {
    /// The day or month that a moment lies in.
    pub fn at(period: Period, since_epoch: Duration) -> Self {
        let day = i64::try_from(since_epoch.as_secs() / SECONDS_A_DAY).unwrap_or(i64::MAX).min(LAST_DAY);
        let number = match period {
            Period::Day => day,
            Period::Month => {
                let (year, month, _) = civil(day);
                (year - 1970) * 12 + month - 1
            }
        };
        Self { period, number }
    }

    /// Day or month.
    pub const fn period(self) -> Period {
        self.period
    }

    /// The moment when it ends and the next begins, since 1970.
    pub fn end(self) -> Duration {
        let next = self.number + 1;
        let day = match self.period {
            Period::Day => next,
            Period::Month => days(1970 + next.div_euclid(12), next.rem_euclid(12) + 1, 1),
        };
        Duration::from_secs(u64::try_from(day).unwrap_or(0) * SECONDS_A_DAY)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.period {
            Period::Day => {
                let (year, month, day) = civil(self.number);
                write!(f, "{year:04}-{month:02}-{day:02}")
            }
            Period::Month => {
                write!(f, "{:04}-{:02}", 1970 + self.number.div_euclid(12), self.number.rem_euclid(12) + 1)
            }
        }
    }
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is neither a day such as 2028-02-29 nor a month such as 2028-02");
        let numbers: Vec<i64> =
            text.split('-').map(|part| part.parse().map_err(|_| wrong())).collect::<Result<_, _>>()?;
        let window = match numbers[..] {
            [year @ 1970..=9999, month @ 1..=12, day @ 1..=31] => {
                Self { period: Period::Day, number: days(year, month, day) }
            }
            [year @ 1970..=9999, month @ 1..=12] => {
                Self { period: Period::Month, number: (year - 1970) * 12 + month - 1 }
            }
            _ => return Err(wrong()),
        };
        // A day that its month does not have, or `+1`, prints otherwise.
        if window.to_string() == text { Ok(window) } else { Err(wrong()) }
    }
}

/// 9999-12-31.
const LAST_DAY: i64 = 2_932_896;

/// Days from 1970-01-01 to a date of the Gregorian calendar. The year is counted from March, so that the leap day is its last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

/// Year, month and day, so many days after 1970-01-01: [`days`] turned round (Howard Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> (String, String) {
        let moment = Duration::from_secs(seconds);
        (Window::at(Period::Day, moment).to_string(), Window::at(Period::Month, moment).to_string())
    }

    #[test]
    fn each_day_until_9999_follows_the_one_before_it() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for number in 0..=LAST_DAY {
            assert_eq!(civil(number), (year, month, day));
            assert_eq!(days(year, month, day), number);
            let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
            let last = match month {
                2 => 28 + i64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            (year, month, day) = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                (_, d) if d == last => (year, month + 1, 1),
                (_, d) => (year, month, d + 1),
            };
        }
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
