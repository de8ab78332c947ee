//! Moments in the config and in messages: RFC 3339.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Reads a moment: RFC 3339 (`2027-01-01T00:00:00Z`, `2027-01-01T01:00:00+01:00`), or a date, which stands for its
/// beginning in UTC.
///
/// # Errors
/// A message for the operator.
pub fn parse_time(text: &str) -> Result<SystemTime, String> {
    let is_date = text.len() == "2027-01-01".len();
    let whole = if is_date { format!("{text}T00:00:00Z") } else { text.to_owned() };
    OffsetDateTime::parse(&whole, &Rfc3339).map(SystemTime::from).map_err(|error| {
        format!(
            "`{text}` is not a moment such as \"2027-01-01T00:00:00Z\" or \"2027-01-01\" (its beginning in UTC): {error}"
        )
    })
}

/// A moment as RFC 3339 in UTC, to the second; `an unknown time` before 1970 and after the year 9999.
pub(crate) fn format_time(moment: SystemTime) -> String {
    let seconds = moment.duration_since(UNIX_EPOCH).ok().and_then(|age| i64::try_from(age.as_secs()).ok());
    seconds
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|moment| moment.format(&Rfc3339).ok())
        .unwrap_or_else(|| "an unknown time".to_owned())
}

/// The moment that a JSON Web Token writes as seconds since 1970; the largest one there is for a number beyond it.
pub(crate) fn from_seconds(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds.min(LAST))
}

/// 9999-12-31T23:59:59Z, in seconds since 1970.
const LAST: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_moment_is_read_with_its_offset_and_a_date_stands_for_its_beginning() {
        let new_year = from_seconds(1_798_761_600);
        for text in
            ["2027-01-01T00:00:00Z", "2027-01-01", "2027-01-01T01:00:00+01:00", "2026-12-31T19:00:00.0-05:00"]
        {
            assert_eq!(parse_time(text), Ok(new_year), "{text}");
        }
        assert_eq!(format_time(new_year), "2027-01-01T00:00:00Z");
    }

    #[test]
    fn what_is_no_moment_is_refused_with_an_example() {
        for text in ["", "tomorrow", "2027-13-01", "2027-02-30", "2027-01-01 at noon", "1798761600", "äöüäö"]
        {
            let why = parse_time(text).unwrap_err();
            assert!(why.contains("2027-01-01T00:00:00Z") && why.contains(&format!("`{text}`")), "{why}");
        }
    }

    #[test]
    fn a_moment_out_of_all_bounds_is_written_without_panic() {
        assert_eq!(format_time(from_seconds(u64::MAX)), "9999-12-31T23:59:59Z");
        assert_eq!(format_time(UNIX_EPOCH - Duration::from_secs(1)), "an unknown time");
        assert_eq!(format_time(UNIX_EPOCH + Duration::from_secs(i64::MAX as u64)), "an unknown time");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,40}") {
            let _ = parse_time(&text);
        }

        #[test]
        fn what_is_written_is_read_back(seconds in 0..=LAST) {
            let moment = from_seconds(seconds);
            prop_assert_eq!(parse_time(&format_time(moment)), Ok(moment));
        }
    }
}
