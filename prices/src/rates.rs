//! Unit prices, checked: each plausible for its unit, and none without effect.

use aigate_contract::{Money, settings::Fault};

use crate::{
    amount::Amount,
    config::{PriceConfig, TierConfig},
    sane,
};

/// What is charged for what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rates {
    pub tokens: Option<Tokens>,
    /// By rising length of the prompt.
    pub tiers: Vec<Tier>,
    pub characters: Option<Characters>,
    pub page: Option<Money>,
    pub image: Option<Money>,
    pub row: Option<Money>,
    pub audio: Option<Audio>,
    pub request: Option<Money>,
    pub hour: Option<Hour>,
}

/// Per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub input: Money,
    pub cached_read: Option<Money>,
    pub cache_write: Option<Money>,
    pub output: Option<Money>,
}

/// Prices for the whole of a request with more input than this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tier {
    pub above: u64,
    pub tokens: Tokens,
}

/// Per 1,000 characters, in started units, of which a request has a least number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Characters {
    pub per_1k: Money,
    pub unit: u32,
    pub minimum_units: u32,
}

/// Per so many milliseconds, in started steps, with a least length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Audio {
    pub price: Money,
    pub per_ms: u32,
    pub minimum_ms: u64,
    pub step_ms: u64,
}

/// Per hour of an instance, shared among the calls it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hour {
    pub price: Money,
    pub calls: Option<u32>,
}

/// Milliseconds in a minute and in an hour.
pub(crate) const MINUTE: u32 = 60_000;
pub(crate) const HOUR: u32 = 3_600_000;

impl Rates {
    /// The prices of `config`.
    ///
    /// # Errors
    /// Every fault, with its key.
    pub(crate) fn checked(config: &PriceConfig) -> Result<Self, Vec<Fault>> {
        let mut check = Check::default();
        let rates = Self {
            tokens: check.tokens("", &TokenKeys::from(config)),
            tiers: check.tiers(config),
            characters: check.characters(config),
            page: check.price("usd_per_page", config.usd_per_page),
            image: check.price("usd_per_image", config.usd_per_image),
            row: check.price("usd_per_row", config.usd_per_row),
            audio: check.audio(config),
            request: check.price("usd_per_request", config.usd_per_request),
            hour: check.hour(config),
        };
        if check.0.is_empty() && rates == Self::default() {
            check.add("", "has no price");
        }
        if check.0.is_empty() { Ok(rates) } else { Err(check.0) }
    }

    /// Whether a call of `task` could have a cost at all.
    ///
    /// # Errors
    /// A chat without a price of its output; prices in units alone that no call of the task is told to consume.
    pub(crate) fn suit(&self, task: &str) -> Result<(), Fault> {
        let any = self.request.is_some() || self.hour.is_some();
        let wanted = match task {
            "chat" | "embed" if !any && self.tokens.is_none() => "tokens (input_usd_per_mtok, …)",
            "predict" if !any && self.row.is_none() => "rows (usd_per_row)",
            _ => "",
        };
        if !wanted.is_empty() {
            let message = format!(
                "would never count: the task `{task}` is paid by {wanted}, by the request or by the hour"
            );
            return Err(Fault::at("", message));
        }
        match &self.tokens {
            Some(tokens) if task == "chat" && tokens.output.is_none() => Err(Fault::at(
                "output_usd_per_mtok",
                "missing: a chat has output; write 0 if it costs nothing",
            )),
            _ => Ok(()),
        }
    }
}

/// The faults found.
#[derive(Default)]
struct Check(Vec<Fault>);

impl Check {
    fn add(&mut self, key: &str, message: &str) {
        self.0.push(Fault::at(key, message));
    }

    fn price(&mut self, key: &str, amount: Option<Amount>) -> Option<Money> {
        sane::checked(key, amount?).map_err(|fault| self.0.push(fault)).ok()
    }

    /// `under` is the path of the table that holds the keys, with its point.
    fn tokens(&mut self, under: &str, keys: &TokenKeys) -> Option<Tokens> {
        let before = self.0.len();
        let [input, cached_read, cache_write, output] =
            keys.all().map(|(key, amount)| self.price(key, amount));
        for fault in &mut self.0[before..] {
            fault.path.insert_str(0, under);
        }
        if self.0.len() > before || keys.all().iter().all(|(_, amount)| amount.is_none()) {
            return None;
        }
        let Some(input) = input else {
            let message = "missing beside other prices per token; write 0 if input costs nothing";
            self.add(&format!("{under}input_usd_per_mtok"), message);
            return None;
        };
        if cached_read.is_some_and(|cached| cached > input) {
            let message = "a cached token is dearer than a fresh one: are the two swapped?";
            self.add(&format!("{under}cached_read_usd_per_mtok"), message);
        }
        Some(Tokens { input, cached_read, cache_write, output })
    }

    /// A tier replaces all of the base prices, so it must have the same ones.
    fn tiers(&mut self, config: &PriceConfig) -> Vec<Tier> {
        let mut tiers: Vec<Tier> = Vec::with_capacity(config.tiers.len());
        for (index, tier) in config.tiers.iter().enumerate() {
            let under = format!("tiers[{index}].");
            let keys = TokenKeys::from(tier);
            for ((key, base), (_, here)) in TokenKeys::from(config).all().into_iter().zip(keys.all()) {
                match (base, here) {
                    (Some(_), None) => self.add(&format!("{under}{key}"), "missing: the row has this price"),
                    (None, Some(_)) => {
                        self.add(&format!("{under}{key}"), "the row itself lacks this price");
                    }
                    _ => {}
                }
            }
            let above = tier.above_input_tokens;
            if above == 0 || tiers.last().is_some_and(|last| last.above >= above) {
                let message = "must be more than 0 and than the tier before it";
                self.add(&format!("{under}above_input_tokens"), message);
            }
            tiers.extend(self.tokens(&under, &keys).map(|tokens| Tier { above, tokens }));
        }
        tiers
    }

    fn characters(&mut self, config: &PriceConfig) -> Option<Characters> {
        let per_1k = self.price("usd_per_1k_characters", config.usd_per_1k_characters);
        if config.usd_per_1k_characters.is_none() {
            self.inert("unit_characters", config.unit_characters, "usd_per_1k_characters");
        }
        if config.unit_characters.is_none() {
            self.inert("minimum_units", config.minimum_units, "unit_characters");
        }
        if config.unit_characters == Some(0) {
            self.add("unit_characters", "must be at least 1");
        }
        Some(Characters {
            per_1k: per_1k?,
            unit: config.unit_characters.unwrap_or(1),
            minimum_units: config.minimum_units.unwrap_or(0),
        })
    }

    fn audio(&mut self, config: &PriceConfig) -> Option<Audio> {
        let minute = self.price("usd_per_audio_minute", config.usd_per_audio_minute);
        let hour = self.price("usd_per_audio_hour", config.usd_per_audio_hour);
        match (config.usd_per_audio_minute, config.usd_per_audio_hour) {
            (Some(_), Some(_)) => self.add("usd_per_audio_hour", "there is `usd_per_audio_minute` already"),
            (None, None) => {
                for (key, seconds) in [
                    ("minimum_audio_seconds", config.minimum_audio_seconds),
                    ("audio_step_seconds", config.audio_step_seconds),
                ] {
                    self.inert(key, seconds, "usd_per_audio_minute");
                }
            }
            _ => {}
        }
        if config.audio_step_seconds == Some(0) {
            self.add("audio_step_seconds", "must be at least 1");
        }
        let ms = |seconds: u32| u64::from(seconds) * 1000;
        let (price, per_ms) = minute.map(|price| (price, MINUTE)).or(hour.map(|price| (price, HOUR)))?;
        Some(Audio {
            price,
            per_ms,
            minimum_ms: ms(config.minimum_audio_seconds.unwrap_or(0)),
            step_ms: config.audio_step_seconds.map_or(1, ms),
        })
    }

    fn hour(&mut self, config: &PriceConfig) -> Option<Hour> {
        if config.usd_per_hour.is_none() {
            self.inert("calls_per_hour", config.calls_per_hour, "usd_per_hour");
        }
        if config.calls_per_hour == Some(0) {
            self.add("calls_per_hour", "must be at least 1");
        }
        let price = self.price("usd_per_hour", config.usd_per_hour)?;
        Some(Hour { price, calls: config.calls_per_hour })
    }

    fn inert(&mut self, key: &str, value: Option<u32>, needs: &str) {
        if value.is_some() {
            self.add(key, &format!("has no effect without `{needs}`"));
        }
    }
}

/// The keys of the prices per token, which a row and each of its tiers have.
struct TokenKeys {
    input: Option<Amount>,
    cached_read: Option<Amount>,
    cache_write: Option<Amount>,
    output: Option<Amount>,
}

impl TokenKeys {
    fn all(&self) -> [(&'static str, Option<Amount>); 4] {
        [
            ("input_usd_per_mtok", self.input),
            ("cached_read_usd_per_mtok", self.cached_read),
            ("cache_write_usd_per_mtok", self.cache_write),
            ("output_usd_per_mtok", self.output),
        ]
    }
}

impl From<&PriceConfig> for TokenKeys {
    fn from(config: &PriceConfig) -> Self {
        Self {
            input: config.input_usd_per_mtok,
            cached_read: config.cached_read_usd_per_mtok,
            cache_write: config.cache_write_usd_per_mtok,
            output: config.output_usd_per_mtok,
        }
    }
}

impl From<&TierConfig> for TokenKeys {
    fn from(tier: &TierConfig) -> Self {
        Self {
            input: tier.input_usd_per_mtok,
            cached_read: tier.cached_read_usd_per_mtok,
            cache_write: tier.cache_write_usd_per_mtok,
            output: tier.output_usd_per_mtok,
        }
    }
}
