//! What holds for every price and every usage.

#![cfg(test)]

use std::sync::{Arc, LazyLock};

use aigate_contract::{Money, Usage};
use aigate_prices::{Catalogue, Place, Price, PriceConfig};
use proptest::{prelude::*, test_runner::Config};

static SHIPPED: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::shipped().unwrap());

/// Prices per million with up to six decimals, so that a token costs whole trillionths.
fn micro(count: u32) -> String {
    format!("{}.{:06}", count / 1_000_000, count % 1_000_000)
}

prop_compose! {
    fn token_price()(input in 5000..100_000_000_u32, cached in 0..=100_u32, write in 100..=200_u32,
                     output in 5000..500_000_000_u32, has_cached: bool, has_write: bool) -> Arc<Price> {
        let mut toml = format!("input_usd_per_mtok = \"{}\"\noutput_usd_per_mtok = {}\n", micro(input), micro(output));
        // A share of the input price, in hundredths, and not below what is plausible.
        if has_cached {
            let price = (u64::from(input) * u64::from(cached) / 100) as u32;
            toml.push_str(&format!("cached_read_usd_per_mtok = {}\n", micro(price.max(500))));
        }
        if has_write {
            let price = (u64::from(input) * u64::from(write) / 100) as u32;
            toml.push_str(&format!("cache_write_usd_per_mtok = {}\n", micro(price)));
        }
        own(&toml)
    }
}

prop_compose! {
    fn usage()(fresh in 0..2_000_000_u64, read in 0..2_000_000_u64, write in 0..2_000_000_u64,
               output in 0..200_000_u64, told in 0..=1_u8) -> Usage {
        let apart = |count| (told == 1).then_some(count);
        Usage {
            fresh_input: Some(fresh), cached_read: apart(read), cache_write: apart(write), output: Some(output),
            ..Usage::default()
        }
    }
}

fn own(toml: &str) -> Arc<Price> {
    let config: PriceConfig = toml::from_str(toml).unwrap();
    let place = Place { kind: "openai", task: "chat", model: "any", region: None, class: None };
    config.resolve(&SHIPPED, &place).unwrap()
}

fn both(one: &Usage, other: &Usage) -> Usage {
    let sum = |a: Option<u64>, b: Option<u64>| Some(a.unwrap_or(0) + b.unwrap_or(0));
    Usage {
        fresh_input: sum(one.fresh_input, other.fresh_input),
        cached_read: sum(one.cached_read, other.cached_read),
        cache_write: sum(one.cache_write, other.cache_write),
        output: sum(one.output, other.output),
        ..Usage::default()
    }
}

proptest! {
    #![proptest_config(Config { cases: 128, failure_persistence: None, ..Config::default() })]

    #[test]
    fn the_cost_of_two_calls_is_that_of_one_with_both_usages_and_never_negative(
        price in token_price(), one in usage(), other in usage(),
    ) {
        let cost = |usage: &Usage| price.cost(usage).unwrap();
        prop_assert_eq!(cost(&one) + cost(&other), cost(&both(&one, &other)));
        prop_assert!(cost(&one) >= Money::ZERO);
        prop_assert!(cost(&both(&one, &other)) >= cost(&one), "more consumed costs no less");
    }

    #[test]
    fn a_bound_without_knowledge_of_caching_is_never_below_the_cost(price in token_price(), usage in usage()) {
        let estimate = Usage { fresh_input: usage.input(), output: usage.output, ..Usage::default() };
        prop_assert!(price.bound(&estimate).unwrap() >= price.cost(&usage).unwrap());
        prop_assert_eq!(price.bound(&both(&usage, &Usage::default())), price.cost(&usage), "what is told apart is billed so");
    }

    #[test]
    fn tiers_minimum_units_and_started_steps_never_make_more_usage_cheaper(
        count in 0..600_000_u64, more in 0..300_000_u64,
    ) {
        let usage = |count| Usage { fresh_input: Some(count), output: Some(10), ..Usage::default() };
        let characters = |count| Usage { characters: Some(count), ..Usage::default() };
        let audio = |count| Usage { audio_ms: Some(count), ..Usage::default() };
        for (kind, task, model, small, large) in [
            ("google", "chat", "gemini-2.5-pro", usage(count), usage(count + more)),
            ("aws", "text", "comprehend/pii", characters(count), characters(count + more)),
            ("aws", "transcribe", "transcribe/batch", audio(count), audio(count + more)),
        ] {
            let price = SHIPPED.find(&Place { kind, task, model, region: None, class: None }).unwrap();
            prop_assert!(price.cost(&small).unwrap() <= price.cost(&large).unwrap());
        }
    }

    #[test]
    fn no_target_and_no_catalogue_makes_a_panic(text in "\\PC{0,80}", kind in "aws|azure|google|openai|local|x") {
        let place = Place { kind: &kind, task: "chat", model: &text, region: Some(&text), class: None };
        let _ = SHIPPED.find(&place);
        let _ = Catalogue::parse(&text);
        let _ = Catalogue::parse(&format!("[[price]]\n{text}\n[[factor]]\n{text}"));
    }
}
