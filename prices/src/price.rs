//! What a call costs.

use std::fmt::Write as _;

use aigate_contract::{Money, Usage};

use crate::{
    rates::{Audio, Characters, HOUR, Rates, Tokens},
    row::Confidence,
};

/// What one deployment charges, and where that is known from.
#[derive(Clone, Debug, PartialEq)]
pub struct Price {
    /// `None`: whatever is consumed costs nothing.
    rates: Option<Rates>,
    /// What all prices are multiplied with, as a fraction of whole numbers.
    factor: (i128, i128),
    /// What the price is of, e.g. `azure gpt-4.1-mini`.
    title: String,
    pub(crate) about: About,
}

/// Where a price is known from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct About {
    pub source: String,
    /// `YYYY-MM-DD`.
    pub as_of: Option<String>,
    pub confidence: Confidence,
    pub note: Option<String>,
}

impl Price {
    /// What `usage` costs, exactly, rounded once to a trillionth of a dollar (half to even).
    ///
    /// A part of the input that the provider told no number of (`cached_read`, `cache_write`) is none that is billed apart.
    /// Cached tokens for which there is no price of their own are billed as other input, as a provider without a discount
    /// does. Reasoning is in the output.
    ///
    /// # Errors
    /// A sentence for the operator: a part of the usage that has a price is unknown, something was consumed that has no
    /// price, an endpoint's hour has no stated number of calls, or the usage is too large to count.
    pub fn cost(&self, usage: &Usage) -> Result<Money, String> {
        let Some(rates) = &self.rates else { return Ok(Money::ZERO) };
        let unpriced = unpriced(rates, usage);
        if !unpriced.is_empty() {
            return Err(format!("{} has no price for {}", self.title, unpriced.join(" and ")));
        }
        self.sum(rates, usage, false)
    }

    /// What a call of at most this `usage`, an estimate, may cost: to be reserved before the call. Where the estimate does not
    /// tell cached tokens apart, all input is charged at the dearest price that input can have. Parts without a price cost
    /// nothing here.
    ///
    /// # Errors
    /// A sentence for the operator: the estimate lacks a part that has a price, an endpoint's hour has no stated number of
    /// calls, or the usage is too large to count.
    pub fn bound(&self, usage: &Usage) -> Result<Money, String> {
        match &self.rates {
            Some(rates) => self.sum(rates, usage, true),
            None => Ok(Money::ZERO),
        }
    }

    fn sum(&self, rates: &Rates, usage: &Usage, dearest: bool) -> Result<Money, String> {
        let mut bill = Bill::default();
        if let Some(base) = rates.tokens {
            let input = usage.input().unwrap_or(0);
            let tier = rates.tiers.iter().rfind(|tier| input > tier.above);
            bill.tokens(tier.map_or(base, |tier| tier.tokens), usage, dearest);
        }
        if let Some(characters) = rates.characters {
            bill.characters(characters, usage.characters);
        }
        if let Some(audio) = rates.audio {
            bill.audio(audio, usage.audio_ms);
        }
        for (price, count, what) in [
            (rates.page, usage.pages, "pages"),
            (rates.image, usage.images, "images"),
            (rates.row, usage.rows, "rows"),
        ] {
            if let Some(price) = price {
                bill.told(price, count, 1, what);
            }
        }
        if let Some(price) = rates.request {
            bill.add(price, 1, 1);
        }
        let mut calls = 1;
        if let Some(hour) = rates.hour {
            let Some(stated) = hour.calls else {
                return Err(format!(
                    "{} is billed by the hour, used or not: state `calls_per_hour` in the deployment's `price` to share the \
                     hour among its calls",
                    self.title
                ));
            };
            calls = i128::from(stated);
            bill.hour = hour.price.trillionths();
        }
        bill.total(calls, self.factor)
    }

    /// One line for the operator: the prices, the source, its date and how sure it is.
    pub fn describe(&self) -> String {
        let Some(rates) = &self.rates else {
            return format!("{}: costs nothing, {}", self.title, self.about.source);
        };
        let mut text = format!("{}: {}", self.title, list(rates));
        let (times, parts) = self.factor;
        if times != parts {
            // Factors have few decimals, so this is exact.
            let factor = Money::from_trillionths(times * (1_000_000_000_000 / parts));
            let _ = write!(text, "; all times {factor}");
        }
        let _ = write!(text, " (from {}", self.about.source);
        if let Some(date) = &self.about.as_of {
            let _ = write!(text, ", {date}");
        }
        let _ = write!(text, ", confidence {})", self.about.confidence.as_str());
        if let Some(note) = &self.about.note {
            let _ = write!(text, "; {note}");
        }
        text
    }

    pub(crate) fn new(rates: Rates, factor: (i128, i128), title: String, about: About) -> Self {
        Self { rates: Some(rates), factor, title, about }
    }

    /// The operator's own prices.
    pub(crate) fn stated(rates: Rates) -> Self {
        Self::new(
            rates,
            (1, 1),
            "this deployment".to_owned(),
            About::certain("its `price` in the configuration"),
        )
    }

    /// A model on this machine.
    pub(crate) fn this_machine() -> Self {
        Self {
            rates: None,
            factor: (1, 1),
            title: "this machine".to_owned(),
            about: About::certain("no provider bills it"),
        }
    }

    /// The same price, its hour shared among so many calls. `None` if it is not billed by the hour.
    pub(crate) fn at_calls_per_hour(&self, calls: u32) -> Option<Self> {
        let mut price = self.clone();
        price.rates.as_mut()?.hour.as_mut()?.calls = Some(calls);
        Some(price)
    }
}

impl About {
    fn certain(source: &str) -> Self {
        Self { source: source.to_owned(), as_of: None, confidence: Confidence::High, note: None }
    }
}

/// What was consumed that has no price. An hour of an endpoint pays for all that it does, and so does a request that is the
/// only thing billed.
fn unpriced(rates: &Rates, usage: &Usage) -> Vec<String> {
    let flat = Rates { request: rates.request, ..Rates::default() };
    if rates.hour.is_some() || *rates == flat {
        return Vec::new();
    }
    let tokens = rates.tokens;
    let parts = [
        (usage.input(), tokens.is_some(), "input tokens"),
        (usage.output, tokens.is_some_and(|tokens| tokens.output.is_some()), "output tokens"),
        (usage.rows, rates.row.is_some(), "rows"),
        (usage.characters, rates.characters.is_some(), "characters"),
        (usage.pages, rates.page.is_some(), "pages"),
        (usage.images, rates.image.is_some(), "images"),
        (usage.audio_ms, rates.audio.is_some(), "milliseconds of audio"),
    ];
    let consumed = |(count, priced, what): (Option<u64>, bool, &str)| {
        let count = count.filter(|&count| count > 0 && !priced)?;
        Some(format!("the {count} {what} consumed"))
    };
    parts.into_iter().filter_map(consumed).collect()
}

/// Every unit price divides into so many whole parts: a million tokens, a thousand characters and the milliseconds of an
/// hour all go into it.
const PARTS: i128 = 18_000_000;

/// A sum of prices, in trillionths of a dollar over [`PARTS`], and what is missing for it.
#[derive(Default)]
struct Bill {
    parts: i128,
    /// An endpoint's hour, in trillionths of a dollar, still to be divided by its calls.
    hour: i128,
    missing: Vec<&'static str>,
    too_much: bool,
}

impl Bill {
    /// `count` of what costs `price` for `per` of them. `per` divides [`PARTS`].
    fn add(&mut self, price: Money, count: u64, per: u32) {
        let amount = price
            .trillionths()
            .checked_mul(i128::from(count))
            .and_then(|product| product.checked_mul(PARTS / i128::from(per)))
            .and_then(|amount| self.parts.checked_add(amount));
        match amount {
            Some(sum) => self.parts = sum,
            None => self.too_much = true,
        }
    }

    /// As `add`, for a count that must be known.
    fn told(&mut self, price: Money, count: Option<u64>, per: u32, what: &'static str) {
        match count {
            Some(count) => self.add(price, count, per),
            None => self.missing.push(what),
        }
    }

    fn tokens(&mut self, prices: Tokens, usage: &Usage, dearest: bool) {
        const MILLION: u32 = 1_000_000;
        let written = prices.cache_write.unwrap_or(prices.input);
        let fresh =
            if dearest && usage.cache_write.is_none() { written.max(prices.input) } else { prices.input };
        self.told(fresh, usage.fresh_input, MILLION, "input tokens");
        self.add(prices.cached_read.unwrap_or(prices.input), usage.cached_read.unwrap_or(0), MILLION);
        self.add(written, usage.cache_write.unwrap_or(0), MILLION);
        if let Some(output) = prices.output {
            self.told(output, usage.output, MILLION, "output tokens");
        }
    }

    fn characters(&mut self, prices: Characters, count: Option<u64>) {
        let unit = u64::from(prices.unit);
        let units = count.map(|count| count.div_ceil(unit).max(u64::from(prices.minimum_units)));
        let billed = units.map(|units| units.saturating_mul(unit));
        self.told(prices.per_1k, billed, 1000, "characters");
    }

    fn audio(&mut self, prices: Audio, length_ms: Option<u64>) {
        let long =
            |ms: u64| ms.max(prices.minimum_ms).div_ceil(prices.step_ms).saturating_mul(prices.step_ms);
        self.told(prices.price, length_ms.map(long), prices.per_ms, "length of the audio");
    }

    /// All of it times `factor`, in money.
    fn total(self, calls: i128, (times, over): (i128, i128)) -> Result<Money, String> {
        if !self.missing.is_empty() {
            return Err(format!("the usage does not tell the {}", self.missing.join(" and the ")));
        }
        let sum = || {
            let parts = self.parts.checked_mul(calls)?;
            let hour = self.hour.checked_mul(PARTS)?;
            parts.checked_add(hour)?.checked_mul(times)
        };
        match sum() {
            Some(sum) if !self.too_much => Ok(rounded(sum, PARTS * calls * over)),
            _ => Err("the usage is more than can be counted".to_owned()),
        }
    }
}

/// `sum / parts` trillionths, half to even. Neither is negative.
fn rounded(sum: i128, parts: i128) -> Money {
    let (whole, rest) = (sum / parts, sum % parts);
    let up = match (rest * 2).cmp(&parts) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => whole % 2 == 1,
        std::cmp::Ordering::Greater => true,
    };
    Money::from_trillionths(whole + i128::from(up))
}

/// The prices in words.
fn list(rates: &Rates) -> String {
    let mut items = Vec::new();
    if let Some(tokens) = &rates.tokens {
        items.push(format!("{} per million tokens", per_tokens(tokens)));
    }
    for tier in &rates.tiers {
        items.push(format!("above {} input tokens {}", tier.above, per_tokens(&tier.tokens)));
    }
    if let Some(Characters { per_1k, unit, minimum_units }) = rates.characters {
        let units =
            if unit > 1 { format!(" in units of {unit}, at least {minimum_units}") } else { String::new() };
        items.push(format!("${per_1k} per 1,000 characters{units}"));
    }
    for (price, what) in
        [(rates.page, "page"), (rates.image, "image"), (rates.row, "row"), (rates.request, "request")]
    {
        items.extend(price.map(|price| format!("${price} per {what}")));
    }
    if let Some(Audio { price, per_ms, minimum_ms, step_ms }) = rates.audio {
        let per = if per_ms == HOUR { "hour" } else { "minute" };
        items.push(format!("${price} per {per} of audio in steps of {step_ms} ms, at least {minimum_ms} ms"));
    }
    if let Some(hour) = rates.hour {
        let calls = hour.calls.map_or("an unstated number of".to_owned(), |calls| calls.to_string());
        items.push(format!("${} per hour, shared among {calls} calls", hour.price));
    }
    items.join(", ")
}

fn per_tokens(tokens: &Tokens) -> String {
    let mut text = format!("${} input", tokens.input);
    for (price, what) in [
        (tokens.cached_read, "cached"),
        (tokens.cache_write, "written to the cache"),
        (tokens.output, "output"),
    ] {
        if let Some(price) = price {
            let _ = write!(text, ", ${price} {what}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_of_a_trillionth_goes_to_the_even_neighbour() {
        for (sum, parts, result) in [(5, 10, 0), (15, 10, 2), (25, 10, 2), (26, 10, 3), (4, 10, 0), (7, 3, 2)]
        {
            assert_eq!(rounded(sum, parts), Money::from_trillionths(result), "{sum}/{parts}");
        }
    }
}
