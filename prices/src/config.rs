//! The price of a deployment as the operator writes it.

use std::sync::Arc;

use aigate_contract::settings::Fault;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    amount::Amount,
    catalogue::{Catalogue, Place},
    price::Price,
    rates::Rates,
};

/// What a deployment costs, in US dollars. Either `{ model = "gpt-4.1-mini" }`, a row of the catalogue, or its own unit
/// prices under the catalogue's keys; `region` and `class` alone choose among what the catalogue has for the target.
/// Every price is a number or a text; 0 is a price (it costs nothing), a price that is not there is unknown.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct PriceConfig {
    /// The catalogue's row that applies, by the model's name: for an Azure deployment, whose name says nothing, or the
    /// instance of an endpoint, such as `ml.m5.large`.
    #[serde(default)]
    pub model: Option<String>,
    /// Where it is billed, if not where the provider is: `global`, `data_zone` (Azure), or a region.
    #[serde(default)]
    pub region: Option<String>,
    /// The service class that is billed: `flex`, `batch` or `priority`. Default `standard`.
    #[serde(default)]
    pub class: Option<String>,
    /// Per million input tokens that were neither read from a prompt cache nor written to one.
    #[serde(default)]
    pub input_usd_per_mtok: Option<Amount>,
    /// Per million input tokens read from the prompt cache. Default: as other input.
    #[serde(default)]
    pub cached_read_usd_per_mtok: Option<Amount>,
    /// Per million input tokens written to the prompt cache. Default: as other input.
    #[serde(default)]
    pub cache_write_usd_per_mtok: Option<Amount>,
    /// Per million output tokens, reasoning included.
    #[serde(default)]
    pub output_usd_per_mtok: Option<Amount>,
    /// Other prices per token for the whole of a request with a long prompt, by rising length.
    #[serde(default)]
    pub tiers: Vec<TierConfig>,
    /// Per 1,000 characters.
    #[serde(default)]
    pub usd_per_1k_characters: Option<Amount>,
    /// Characters are billed in started units of so many. Default 1.
    #[serde(default)]
    pub unit_characters: Option<u32>,
    /// A request is billed as at least so many of those units. Default 0.
    #[serde(default)]
    pub minimum_units: Option<u32>,
    /// Per page read.
    #[serde(default)]
    pub usd_per_page: Option<Amount>,
    /// Per picture looked at.
    #[serde(default)]
    pub usd_per_image: Option<Amount>,
    /// Per row scored.
    #[serde(default)]
    pub usd_per_row: Option<Amount>,
    /// Per minute of audio.
    #[serde(default)]
    pub usd_per_audio_minute: Option<Amount>,
    /// Per hour of audio, instead of per minute.
    #[serde(default)]
    pub usd_per_audio_hour: Option<Amount>,
    /// Audio is billed as at least so many seconds. Default 0.
    #[serde(default)]
    pub minimum_audio_seconds: Option<u32>,
    /// Audio is billed in started steps of so many seconds. Default: by the millisecond.
    #[serde(default)]
    pub audio_step_seconds: Option<u32>,
    /// Per request, besides the rest.
    #[serde(default)]
    pub usd_per_request: Option<Amount>,
    /// Per hour that an endpoint's instance runs, whatever is asked of it.
    #[serde(default)]
    pub usd_per_hour: Option<Amount>,
    /// How many calls such an instance serves in an hour, by the operator's own reckoning: the hour is shared among them.
    #[serde(default)]
    pub calls_per_hour: Option<u32>,
}

/// Prices per token for prompts above a length.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TierConfig {
    /// They apply when all input, cached or not, is more than so many tokens.
    pub above_input_tokens: u64,
    /// Per million input tokens.
    #[serde(default)]
    pub input_usd_per_mtok: Option<Amount>,
    /// Per million input tokens read from the prompt cache.
    #[serde(default)]
    pub cached_read_usd_per_mtok: Option<Amount>,
    /// Per million input tokens written to the prompt cache.
    #[serde(default)]
    pub cache_write_usd_per_mtok: Option<Amount>,
    /// Per million output tokens.
    #[serde(default)]
    pub output_usd_per_mtok: Option<Amount>,
}

impl PriceConfig {
    /// The price that this says.
    ///
    /// # Errors
    /// Every fault, with its key relative to the `price` table.
    pub fn resolve(&self, catalogue: &Catalogue, place: &Place<'_>) -> Result<Arc<Price>, Vec<Fault>> {
        let faults = self.contradictions();
        if !faults.is_empty() {
            return Err(faults);
        }
        if self.states_prices() {
            let rates = Rates::checked(self)?;
            rates.suit(place.task).map_err(|fault| vec![fault])?;
            return Ok(Arc::new(Price::stated(rates)));
        }
        if place.kind == "local" {
            let message = "has no effect: a model on this machine costs nothing; give unit prices, or leave `price` out";
            return Err(vec![Fault::at("", message)]);
        }
        let place = Place {
            model: self.model.as_deref().unwrap_or(place.model),
            region: self.region.as_deref().or(place.region),
            class: self.class.as_deref().or(place.class),
            ..*place
        };
        let key = if self.model.is_some() { "model" } else { "" };
        let price = catalogue.find(&place).map_err(|why| vec![Fault::at(key, why)])?;
        match self.calls_per_hour {
            None => Ok(price),
            Some(0) => Err(vec![Fault::at("calls_per_hour", "must be at least 1")]),
            Some(calls) => price.at_calls_per_hour(calls).map(Arc::new).ok_or_else(|| {
                vec![Fault::at(
                    "calls_per_hour",
                    "has no effect: this row of the catalogue is not billed by the hour",
                )]
            }),
        }
    }

    /// Whether there is any unit price: then the catalogue is not asked.
    fn states_prices(&self) -> bool {
        self.states_token_prices() || self.states_other_prices()
    }

    fn states_token_prices(&self) -> bool {
        !self.tiers.is_empty()
            || self.input_usd_per_mtok.is_some()
            || self.cached_read_usd_per_mtok.is_some()
            || self.cache_write_usd_per_mtok.is_some()
            || self.output_usd_per_mtok.is_some()
    }

    fn states_other_prices(&self) -> bool {
        let prices = [
            self.usd_per_1k_characters,
            self.usd_per_page,
            self.usd_per_image,
            self.usd_per_row,
            self.usd_per_audio_minute,
            self.usd_per_audio_hour,
            self.usd_per_request,
            self.usd_per_hour,
        ];
        let steps =
            [self.unit_characters, self.minimum_units, self.minimum_audio_seconds, self.audio_step_seconds];
        prices.iter().any(Option::is_some) || steps.iter().any(Option::is_some)
    }

    /// Keys that would have no effect beside others.
    fn contradictions(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.states_prices() {
            let beside = "has no effect beside unit prices: write one or the other";
            for (key, given) in [("model", &self.model), ("region", &self.region), ("class", &self.class)] {
                if given.is_some() {
                    faults.push(Fault::at(key, beside));
                }
            }
        } else if self.model.is_none()
            && self.region.is_none()
            && self.class.is_none()
            && self.calls_per_hour.is_none()
        {
            faults.push(Fault::at(
                "",
                "says nothing: name a row of the catalogue, as in `{ model = \"gpt-4.1-mini\" }`, or give unit prices, as in \
                 `{ input_usd_per_mtok = 0.4, output_usd_per_mtok = 1.6 }`",
            ));
        }
        faults
    }
}

#[cfg(test)]
mod tests;
