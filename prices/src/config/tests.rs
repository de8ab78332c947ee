use aigate_contract::{Money, Usage};
use serde_json::json;

use super::*;

fn resolve(price: serde_json::Value, place: &Place<'_>) -> Result<Arc<Price>, Vec<String>> {
    let config: PriceConfig = serde_json::from_value(price).unwrap();
    let told = |faults: Vec<Fault>| {
        faults.into_iter().map(|fault| format!("{}: {}", fault.path, fault.message)).collect()
    };
    config.resolve(&Catalogue::shipped().unwrap(), place).map_err(told)
}

fn azure(task: &'static str) -> Place<'static> {
    Place { kind: "azure", task, model: "our-assistant", region: None, class: None }
}

const USAGE: Usage = Usage {
    fresh_input: Some(1000),
    output: Some(100),
    cached_read: None,
    cache_write: None,
    reasoning: None,
    rows: None,
    characters: None,
    pages: None,
    images: None,
    audio_ms: None,
};

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

#[test]
fn a_row_is_taken_by_the_model_s_name() {
    let price = resolve(json!({ "model": "gpt-4.1-mini" }), &azure("chat")).unwrap();
    // 1,000 x 0.4 / million + 100 x 1.6 / million
    assert_eq!(price.cost(&USAGE), Ok(money("0.00056")));
    let zone = resolve(json!({ "model": "gpt-4.1-mini", "region": "data_zone" }), &azure("chat")).unwrap();
    assert_eq!(zone.cost(&USAGE), Ok(money("0.000616")));
    let wrong = resolve(json!({ "model": "gpt-4.1-mimi" }), &azure("chat")).unwrap_err();
    assert!(wrong[0].starts_with("model: no price is known for `gpt-4.1-mimi`"), "{wrong:?}");
}

#[test]
fn unit_prices_of_one_s_own_are_numbers_or_texts_and_zero_is_a_price() {
    for price in [
        json!({ "input_usd_per_mtok": 0.1, "output_usd_per_mtok": 0.2 }),
        json!({ "input_usd_per_mtok": "0.10", "output_usd_per_mtok": "0.2" }),
    ] {
        let price = resolve(price, &azure("chat")).unwrap();
        assert_eq!(price.cost(&USAGE), Ok(money("0.00012")));
        assert_eq!(
            (price.about.as_of.as_deref(), &*price.about.source),
            (None, "its `price` in the configuration")
        );
    }
    let free = resolve(json!({ "input_usd_per_mtok": 0, "output_usd_per_mtok": 0 }), &azure("chat")).unwrap();
    assert_eq!(free.cost(&USAGE), Ok(Money::ZERO));
    assert!(free.cost(&Usage::default()).is_err(), "unknown stays unknown");
}

#[test]
fn an_endpoint_s_hour_has_a_share_only_where_its_calls_are_stated() {
    let place = Place { kind: "aws", task: "predict", model: "risk", region: Some("us-east-1"), class: None };
    let unstated = resolve(json!({ "model": "ml.m5.large" }), &place).unwrap();
    let why = unstated.cost(&Usage::default()).unwrap_err();
    assert!(why.contains("`calls_per_hour`"), "{why}");
    assert_eq!(unstated.bound(&Usage::default()), Err(why));
    let stated = resolve(json!({ "model": "ml.m5.large", "calls_per_hour": 460 }), &place).unwrap();
    // 0.115 / 460
    assert_eq!(stated.cost(&Usage { rows: Some(7), ..Usage::default() }), Ok(money("0.00025")));

    let elsewhere = Place { region: Some("eu-central-1"), ..place };
    assert!(resolve(json!({ "model": "ml.m5.large" }), &elsewhere).is_err());
    let taken = json!({ "model": "ml.m5.large", "region": "us-east-1", "calls_per_hour": 460 });
    assert!(resolve(taken, &elsewhere).is_ok());
}

#[test]
fn what_would_have_no_effect_is_refused() {
    for (price, expected) in [
        (json!({}), ": says nothing"),
        (json!({ "model": "gpt-4.1", "usd_per_page": 0.01 }), "model: has no effect beside unit prices"),
        (json!({ "class": "flex", "usd_per_page": 0.01 }), "class: has no effect beside unit prices"),
        (json!({ "model": "gpt-4.1", "calls_per_hour": 5 }), "calls_per_hour: has no effect: this row"),
        (json!({ "model": "gpt-4.1", "calls_per_hour": 0 }), "calls_per_hour: must be at least 1"),
        (json!({ "minimum_units": 3 }), "minimum_units: has no effect without `unit_characters`"),
        (json!({ "audio_step_seconds": 3 }), "audio_step_seconds: has no effect without"),
        (json!({ "input_usd_per_mtok": 0.4 }), "output_usd_per_mtok: missing: a chat has output"),
        (json!({ "usd_per_page": 0.01, "calls_per_hour": 5 }), "calls_per_hour: has no effect without"),
        (json!({ "usd_per_audio_minute": 0.01, "usd_per_audio_hour": 0.6 }), "usd_per_audio_hour: there is"),
        (json!({ "usd_per_page": 15 }), "usd_per_page: 15 is no plausible price"),
    ] {
        let faults = resolve(price, &azure("chat")).unwrap_err();
        assert!(faults.iter().any(|fault| fault.starts_with(expected)), "{expected}\n{faults:#?}");
    }
}

#[test]
fn a_model_on_this_machine_costs_nothing_whatever_it_consumed() {
    let place = Place { kind: "local", task: "chat", model: "qwen", region: None, class: None };
    let price = Catalogue::shipped().unwrap().find(&place).unwrap();
    assert_eq!(price.cost(&Usage::default()), Ok(Money::ZERO));
    assert_eq!(price.bound(&USAGE), Ok(Money::ZERO));
    assert_eq!(price.describe(), "this machine: costs nothing, no provider bills it");
    let why = resolve(json!({ "model": "gpt-4.1" }), &place).unwrap_err();
    assert!(why[0].contains("has no effect"), "{why:?}");
    let own = json!({ "input_usd_per_mtok": 0.1, "output_usd_per_mtok": 0.2 });
    assert_eq!(resolve(own, &place).unwrap().cost(&USAGE), Ok(money("0.00012")));
}

#[test]
fn a_price_describes_itself_in_one_line() {
    let price =
        resolve(json!({ "model": "gemini-2.5-pro" }), &Place { kind: "google", ..azure("chat") }).unwrap();
    assert_eq!(
        price.describe(),
        "google gemini-2.5-pro: $1.25 input, $0.125 cached, $10 output per million tokens, above 200000 input tokens $2.5 \
         input, $0.25 cached, $15 output (from G and P, 2026-08-21, confidence high)"
    );
}
