//! Costs equal invoices worked by hand, for each provider's way of counting.

#![cfg(test)]

use std::sync::Arc;

use aigate_contract::{Money, OpenAiUsage, Usage};
use aigate_prices::{Catalogue, Place, Price, PriceConfig};

fn price(kind: &str, task: &str, model: &str, region: Option<&str>) -> Arc<Price> {
    Catalogue::shipped().unwrap().find(&Place { kind, task, model, region, class: None }).unwrap()
}

fn own(toml: &str, task: &str) -> Arc<Price> {
    let config: PriceConfig = toml::from_str(toml).unwrap();
    let place = Place { kind: "openai", task, model: "any", region: None, class: None };
    config.resolve(&Catalogue::shipped().unwrap(), &place).unwrap()
}

#[track_caller]
fn invoice(price: &Price, usage: &Usage, dollars: &str) {
    assert_eq!(price.cost(usage).map(|cost| cost.to_string()).as_deref(), Ok(dollars));
}

fn none() -> Usage {
    Usage::default()
}

/// Azure and OpenAI count cached tokens inside `prompt_tokens`, reasoning inside `completion_tokens`.
#[test]
fn azure_openai_counts_cached_tokens_inside_the_prompt() {
    let wire: OpenAiUsage = serde_json::from_str(
        r#"{"prompt_tokens": 10000, "completion_tokens": 500, "total_tokens": 10500,
            "prompt_tokens_details": {"cached_tokens": 8192},
            "completion_tokens_details": {"reasoning_tokens": 300}}"#,
    )
    .unwrap();
    // gpt-4.1-mini: fresh 10,000 - 8,192 = 1,808 x 0.40 = 723.2; cached 8,192 x 0.10 = 819.2; output 500 x 1.60 = 800
    // sum 2,342.4 millionths of a dollar
    invoice(&price("azure", "chat", "gpt-4.1-mini-2025-04-14", None), &wire.into(), "0.0023424");
}

/// Bedrock's `inputTokens` leave out `cacheReadInputTokens` and `cacheWriteInputTokens`.
#[test]
fn bedrock_counts_cache_reads_and_writes_outside_the_input() {
    let usage = Usage {
        fresh_input: Some(120),
        cached_read: Some(4000),
        cache_write: Some(2000),
        output: Some(350),
        ..none()
    };
    // global Haiku 4.5: 120 x 1 = 120; 4,000 x 0.10 = 400; 2,000 x 1.25 = 2,500; 350 x 5 = 1,750; sum 4,770 millionths
    let global = price("aws", "chat", "global.anthropic.claude-haiku-4-5-20251001-v1:0", None);
    invoice(&global, &usage, "0.00477");
    // the `eu.` profile: a tenth more, 4,770 x 1.1 = 5,247 millionths
    let regional = price("aws", "chat", "eu.anthropic.claude-haiku-4-5-20251001-v1:0", Some("eu-central-1"));
    invoice(&regional, &usage, "0.005247");
}

/// Gemini's `promptTokenCount` has the cached content inside; thoughts are output outside `candidatesTokenCount`.
#[test]
fn gemini_bills_thoughts_as_output_and_cached_content_at_a_tenth() {
    // promptTokenCount 5,000 of which cachedContentTokenCount 3,000; candidates 200 + thoughts 800
    let usage = Usage {
        fresh_input: Some(2000),
        cached_read: Some(3000),
        output: Some(1000),
        reasoning: Some(800),
        ..none()
    };
    // 2.5-flash: 2,000 x 0.30 = 600; 3,000 x 0.03 = 90; 1,000 x 2.50 = 2,500; sum 3,190 millionths
    invoice(&price("google", "chat", "gemini-2.5-flash", Some("europe-west4")), &usage, "0.00319");
}

#[test]
fn a_gemini_prompt_above_two_hundred_thousand_tokens_moves_the_whole_request_to_the_dearer_tier() {
    let pro = price("google", "chat", "publishers/google/models/gemini-2.5-pro", None);
    let usage =
        |fresh| Usage { fresh_input: Some(fresh), cached_read: Some(50_000), output: Some(1000), ..none() };
    // exactly 200,000 of input: 150,000 x 1.25 = 187,500; 50,000 x 0.125 = 6,250; 1,000 x 10 = 10,000; sum 203,750 millionths
    invoice(&pro, &usage(150_000), "0.20375");
    // one more: 150,001 x 2.50 = 375,002.5; 50,000 x 0.25 = 12,500; 1,000 x 15 = 15,000; sum 402,502.5 millionths
    invoice(&pro, &usage(150_001), "0.4025025");
}

#[test]
fn embeddings_cost_their_input_tokens() {
    let usage = Usage { fresh_input: Some(12_345), ..none() };
    // 12,345 x 0.02 = 246.9 millionths
    invoice(&price("openai", "embed", "text-embedding-3-small", None), &usage, "0.0002469");
    // titan v2 at Bedrock costs the same
    invoice(&price("aws", "embed", "amazon.titan-embed-text-v2:0", Some("us-east-1")), &usage, "0.0002469");
}

#[test]
fn comprehend_bills_at_least_three_units_of_a_hundred_characters() {
    let sentiment = price("aws", "text", "comprehend/sentiment", None);
    let usage = |count| Usage { characters: Some(count), ..none() };
    // 20 characters: 1 unit, billed as 3 x 0.0001
    invoice(&sentiment, &usage(20), "0.0003");
    // 300: 3 units; 301: 4 units; 5,550: 56 units
    invoice(&sentiment, &usage(300), "0.0003");
    invoice(&sentiment, &usage(301), "0.0004");
    invoice(&sentiment, &usage(5550), "0.0056");
}

#[test]
fn google_s_natural_language_and_azure_s_records_round_up_to_a_thousand_characters() {
    let usage = |count| Usage { characters: Some(count), ..none() };
    // 800 characters: 1 unit of 1,000; 2,001: 3 units, each 0.001
    let google = price("google", "text", "language/entities", None);
    invoice(&google, &usage(800), "0.001");
    invoice(&google, &usage(2001), "0.003");
    // moderation has units of 100 at 0.0005: 250 characters are 3 units
    invoice(&price("google", "text", "language/moderate", None), &usage(250), "0.0015");
    // Azure: 1,000 characters are one text record, 1,001 two, each 0.001
    let azure = price("azure", "text", "language/text", None);
    invoice(&azure, &usage(1000), "0.001");
    invoice(&azure, &usage(1001), "0.002");
}

#[test]
fn translation_bills_each_character() {
    let usage = Usage { characters: Some(1234), ..none() };
    // AWS 1,234 x 15 / million; Google 1,234 x 20 / million; Azure 1,234 x 10 / million
    invoice(&price("aws", "translate", "translate/text", None), &usage, "0.01851");
    invoice(&price("google", "translate", "translation/nmt", None), &usage, "0.02468");
    invoice(&price("azure", "translate", "translator/text", None), &usage, "0.01234");
}

#[test]
fn textract_bills_pages_and_rekognition_images() {
    // 7 pages of forms x 0.05; 40 images x 0.001
    invoice(&price("aws", "read", "textract/forms", None), &Usage { pages: Some(7), ..none() }, "0.35");
    invoice(&price("aws", "image", "rekognition/image", None), &Usage { images: Some(40), ..none() }, "0.04");
}

#[test]
fn transcribe_bills_at_least_fifteen_seconds_and_started_seconds() {
    let transcribe = price("aws", "transcribe", "transcribe/stream", None);
    let usage = |ms| Usage { audio_ms: Some(ms), ..none() };
    // 4 s are billed as 15 s: 0.024 x 15 / 60
    invoice(&transcribe, &usage(4000), "0.006");
    // 61.2 s are billed as 62 s: 0.024 x 62 / 60
    invoice(&transcribe, &usage(61_200), "0.0248");
    // Azure's hour at 1 dollar: 100 s are 1 / 36 of a dollar, rounded once, to a trillionth
    invoice(&price("azure", "transcribe", "speech/realtime", None), &usage(100_000), "0.027777777778");
}

#[test]
fn an_endpoint_s_hour_is_shared_among_the_stated_calls() {
    // 0.23 an hour among 3,600 calls: 0.0000638888…
    let endpoint = own("usd_per_hour = 0.23\ncalls_per_hour = 3600", "predict");
    invoice(&endpoint, &Usage { rows: Some(500), ..none() }, "0.000063888889");
    // and 0.01 a request on top
    let both = own("usd_per_hour = 0.23\ncalls_per_hour = 23\nusd_per_request = 0.01", "predict");
    invoice(&both, &none(), "0.02");
}

#[test]
fn rows_and_requests_have_prices_too() {
    // 500 rows x 0.00002 + 0.001 a request
    let price = own("usd_per_row = 0.00002\nusd_per_request = 0.001", "predict");
    invoice(&price, &Usage { rows: Some(500), ..none() }, "0.011");
    let flat = own("usd_per_request = 0.001", "predict");
    invoice(&flat, &Usage { rows: Some(500), ..none() }, "0.001");
}

#[test]
fn cached_tokens_without_a_price_of_their_own_cost_what_fresh_ones_do() {
    let usage = Usage { fresh_input: Some(100), cached_read: Some(900), output: Some(10), ..none() };
    // Llama 3.3 at Bedrock has no cache discount: 1,000 x 0.72 + 10 x 0.72 = 727.2 millionths
    invoice(&price("aws", "chat", "us.meta.llama3-3-70b-instruct-v1:0", None), &usage, "0.0007272");
}

#[test]
fn unknown_usage_has_no_cost_and_the_reason_names_it() {
    let chat = price("openai", "chat", "gpt-4.1", None);
    let why = |usage| chat.cost(&usage).unwrap_err();
    assert_eq!(why(none()), "the usage does not tell the input tokens and the output tokens");
    let half = Usage { fresh_input: Some(10), ..none() };
    assert_eq!(why(half.clone()), "the usage does not tell the output tokens");
    let pages = Usage { output: Some(1), pages: Some(2), images: Some(0), ..half };
    assert_eq!(why(pages.clone()), "openai gpt-4.1 has no price for the 2 pages consumed");
    assert!(chat.bound(&pages).is_ok(), "a bound leaves out what has no price");
    assert!(chat.bound(&Usage { pages: Some(2), ..none() }).is_err(), "and needs what has one");

    let audio = price("aws", "transcribe", "transcribe/batch", None);
    assert_eq!(audio.cost(&none()), Err("the usage does not tell the length of the audio".to_owned()));
    let embed = price("openai", "embed", "text-embedding-3-small", None);
    let odd = Usage { fresh_input: Some(1), output: Some(1), ..none() };
    assert!(embed.cost(&odd).unwrap_err().contains("no price for the 1 output tokens"));
    assert_eq!(embed.cost(&Usage { output: Some(0), ..odd }).map(Money::trillionths), Ok(20_000));
}

#[test]
fn usage_beyond_all_counting_is_an_error_and_not_a_wrong_sum() {
    let all = Some(u64::MAX);
    let price = own("usd_per_page = 1\nusd_per_request = 1", "read");
    assert_eq!(
        price.cost(&Usage { pages: all, ..none() }),
        Err("the usage is more than can be counted".to_owned())
    );
}
