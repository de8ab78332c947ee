//! A model in its container: what stands behind the endpoints of the three predict services, whichever cloud runs it.
//!
//! Its name says how it behaves: `broken…` answers 500, `picky…` answers 400, and `headed…` takes CSV whose first line
//! has the names of the values. All others are sound, and their CSV has values alone.

mod oip;
mod read;
mod write;

use bytes::Bytes;
use serde_json::json;

pub(crate) use read::Row;

use crate::{
    answer::{Ask, Whole},
    scorer::{Cell, Score, Scorer},
};

/// A container of one model.
#[derive(Debug)]
pub(crate) struct Container<'a> {
    pub(crate) scorer: &'a Scorer,
    /// The model's name, as answers of the Open Inference Protocol have it.
    pub(crate) model: &'a str,
    pub(crate) nature: Nature,
    pub(crate) dialect: Dialect,
}

/// How a container behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    Sound,
    Broken,
    Picky,
    Headed,
}

/// How a container takes and gives JSON that is not the Open Inference Protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `{"instances": [rows]}`, answered by `{"predictions": [{"score": x}]}`.
    Instances,
    /// A scoring script's `{"data": [rows]}` or `{"instances": [rows]}`, answered by `{"predictions": [x]}`; or MLflow's
    /// `{"input_data": {"columns", "index", "data"}}`, answered by `[x]`.
    Script,
}

/// A container's answer that is not 200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) status: u16,
    pub(crate) error: String,
}

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// The media types that containers know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Media {
    Csv,
    Json,
    Lines,
}

impl Container<'_> {
    /// Answers a request that a cloud passed on as it was.
    pub(crate) fn answer(&self, ask: &Ask<'_>) -> Result<Whole> {
        self.wake()?;
        let given = ask.header("content-type").and_then(Media::read).ok_or_else(|| {
            Failure::new(415, "the content type is none of text/csv, application/json, application/jsonlines")
        })?;
        let wanted = wanted(ask.header("accept"), given)?;
        let question = read::question(self, given, ask.body)?;
        let scores = self.score_all(&question.rows)?;
        write::answer(self, wanted, &question, &scores)
    }

    /// Scores rows that a cloud read itself.
    pub(crate) fn score(&self, rows: &[Row]) -> Result<Vec<Score>> {
        self.wake()?;
        self.score_all(rows)
    }

    fn wake(&self) -> Result<()> {
        match self.nature {
            Nature::Broken => Err(Failure::new(500, "the simulated container is broken")),
            Nature::Picky => Err(Failure::new(400, "the simulated container takes no input at all")),
            Nature::Sound | Nature::Headed => Ok(()),
        }
    }

    fn score_all(&self, rows: &[Row]) -> Result<Vec<Score>> {
        if rows.is_empty() {
            return Err(Failure::new(400, "there are no rows"));
        }
        let scores = rows.iter().map(|Row(cells)| {
            let cells: Vec<Cell<'_>> = cells.iter().map(|(name, value)| (name.as_deref(), value)).collect();
            match self.scorer.score(&cells) {
                Ok(score) if score.score.is_finite() => Ok(score),
                Ok(_) => Err(Failure::new(500, "the model gave a score that is not finite")),
                Err(error) => Err(Failure::new(400, error)),
            }
        });
        scores.collect()
    }
}

impl Nature {
    /// The nature that one of these names tells.
    pub(crate) fn of(names: &[&str]) -> Self {
        // A model's path ends with its own name.
        let own = names.iter().filter_map(|name| name.rsplit('/').next());
        let begins = |start: &str| own.clone().any(|name| name.starts_with(start));
        match () {
            () if begins("broken") => Self::Broken,
            () if begins("picky") => Self::Picky,
            () if begins("headed") => Self::Headed,
            () => Self::Sound,
        }
    }
}

impl Failure {
    pub(crate) fn new(status: u16, error: impl Into<String>) -> Self {
        Self { status, error: error.into() }
    }

    /// The body of the container's answer.
    pub(crate) fn body(&self) -> String {
        json!({"error": self.error}).to_string()
    }
}

/// The body of a 200 that tells of an error nonetheless.
pub(crate) fn error_body() -> Bytes {
    Bytes::from(Failure::new(200, "the model could not be run").body())
}

impl Media {
    fn read(text: &str) -> Option<Self> {
        match text.split(';').next().unwrap_or_default().trim() {
            "text/csv" => Some(Self::Csv),
            "application/json" => Some(Self::Json),
            "application/jsonlines" => Some(Self::Lines),
            _ => None,
        }
    }
}

/// The first media type of `accept` that is known; by default that of the request.
fn wanted(accept: Option<&str>, given: Media) -> Result<Media> {
    let Some(accept) = accept else { return Ok(given) };
    let mut listed = accept.split(',').map(str::trim);
    let known = listed.find_map(|one| if one.starts_with("*/*") { Some(given) } else { Media::read(one) });
    known.ok_or_else(|| {
        Failure::new(406, "accept has none of text/csv, application/json, application/jsonlines")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accepted_form_is_the_first_known_one_or_that_of_the_request() {
        assert_eq!(wanted(None, Media::Csv), Ok(Media::Csv));
        assert_eq!(wanted(Some("*/*"), Media::Lines), Ok(Media::Lines));
        assert_eq!(wanted(Some("image/png, application/json;q=0.5, text/csv"), Media::Csv), Ok(Media::Json));
        assert_eq!(wanted(Some("image/png"), Media::Csv).unwrap_err().status, 406);
    }

    #[test]
    fn any_of_its_names_tells_a_containers_nature() {
        assert_eq!(Nature::of(&["credit", "broken-one"]), Nature::Broken);
        assert_eq!(Nature::of(&["credit", "models/picky.tar.gz"]), Nature::Picky);
        assert_eq!(Nature::of(&["unbroken", ""]), Nature::Sound);
    }
}
