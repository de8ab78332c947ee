use proptest::prelude::*;

use super::*;
use crate::constraint::{Constraint, Vocabulary};

fn settings() -> Settings {
    Settings {
        temperature: 1.0,
        top_p: None,
        top_k: None,
        min_p: None,
        seed: Some(7),
        frequency_penalty: 0.0,
        presence_penalty: 0.0,
        bias: Vec::new(),
        logprobs: None,
    }
}

fn picks(settings: Settings, logits: &[f32], count: usize) -> Vec<u32> {
    let mut sampler = Sampler::new(settings, logits.len()).unwrap();
    (0..count).map(|_| sampler.pick(logits, None).unwrap().token).collect()
}

fn seen(settings: Settings, logits: &[f32]) -> Vec<u32> {
    let mut tokens = picks(settings, logits, 2000);
    tokens.sort_unstable();
    tokens.dedup();
    tokens
}

/// Logits whose probabilities at temperature 1 are these.
fn logits(probabilities: &[f32]) -> Vec<f32> {
    probabilities.iter().map(|one| one.ln()).collect()
}

#[test]
fn temperature_zero_picks_the_lowest_of_the_highest() {
    assert_eq!(picks(Settings { temperature: 0.0, ..settings() }, &[1.0, 3.0, 3.0, -2.0], 3), [1, 1, 1]);
}

#[test]
fn tokens_come_as_often_as_they_are_probable() {
    let tokens = picks(settings(), &logits(&[0.5, 0.3, 0.2]), 20_000);
    for (token, share) in [(0, 0.5), (1, 0.3), (2, 0.2)] {
        let found = tokens.iter().filter(|one| **one == token).count() as f64 / 20_000.0;
        assert!((found - share).abs() < 0.02, "{token}: {found}");
    }
}

#[test]
fn a_low_temperature_sharpens_the_distribution() {
    let tokens = picks(Settings { temperature: 0.5, ..settings() }, &logits(&[0.6, 0.4]), 20_000);
    let found = tokens.iter().filter(|one| **one == 0).count() as f64 / 20_000.0;
    assert!((found - 0.36 / 0.52).abs() < 0.02, "{found}");
}

#[test]
fn the_filters_keep_what_they_say() {
    let logits = logits(&[0.1, 0.4, 0.05, 0.25, 0.2]);
    assert_eq!(seen(Settings { top_k: Some(2), ..settings() }, &logits), [1, 3]);
    assert_eq!(seen(Settings { top_k: Some(9), ..settings() }, &logits), [0, 1, 2, 3, 4]);
    assert_eq!(seen(Settings { top_p: Some(0.8), ..settings() }, &logits), [1, 3, 4]);
    assert_eq!(seen(Settings { top_p: Some(0.01), ..settings() }, &logits), [1]);
    assert_eq!(seen(Settings { min_p: Some(0.45), ..settings() }, &logits), [1, 3, 4]);
    assert_eq!(seen(Settings { min_p: Some(1.0), ..settings() }, &logits), [1]);
    // Top-p is of what top-k leaves: 0.4 of 0.65 is 0.62.
    assert_eq!(seen(Settings { top_k: Some(2), top_p: Some(0.6), ..settings() }, &logits), [1]);
    assert_eq!(seen(Settings { top_p: Some(0.99), min_p: Some(0.6), ..settings() }, &logits), [1, 3]);
}

#[test]
fn the_same_seed_gives_the_same_tokens() {
    let logits: Vec<f32> = (0..500).map(|at| (at as f32 * 0.77).sin()).collect();
    let with = |seed| picks(Settings { seed, top_p: Some(0.9), ..settings() }, &logits, 50);
    assert_eq!(with(Some(1)), with(Some(1)));
    assert_ne!(with(Some(1)), with(Some(2)));
    let sampler = Sampler::new(Settings { seed: None, ..settings() }, logits.len()).unwrap();
    let seed = Some(sampler.seed());
    assert_eq!(with(seed), with(seed));
    // Fixed for ever: a seed is a promise across versions.
    assert_eq!(picks(settings(), &[0.0; 100], 6), [3, 30, 14, 54, 27, 95]);
}

#[test]
fn penalties_count_what_was_generated() {
    let greedy = Settings { temperature: 0.0, ..settings() };
    let frequency = Settings { frequency_penalty: 0.4, ..greedy.clone() };
    assert_eq!(picks(frequency, &[1.0, 0.5, -9.0], 5), [0, 0, 1, 0, 1]);
    let presence = Settings { presence_penalty: 0.6, ..greedy };
    assert_eq!(picks(presence, &[1.0, 0.5, -9.0], 4), [0, 1, 0, 0]);
}

#[test]
fn bias_moves_a_token() {
    let settings = Settings { temperature: 0.0, bias: vec![(2, 100.0), (0, -100.0)], ..settings() };
    assert_eq!(picks(settings, &[5.0, 1.0, 0.0], 1), [2]);
}

#[test]
fn log_probabilities_are_of_the_models_own_distribution() {
    let settings = Settings { temperature: 0.0, bias: vec![(2, 100.0)], logprobs: Some(2), ..settings() };
    let mut sampler = Sampler::new(settings, 3).unwrap();
    let picked = sampler.pick(&logits(&[0.25, 0.6, 0.15]), None).unwrap();
    assert_eq!(picked.token, 2);
    assert!((picked.logprob.unwrap() - 0.15f32.ln()).abs() < 1e-5);
    let (tokens, values): (Vec<u32>, Vec<f32>) = picked.top.into_iter().unzip();
    assert_eq!(tokens, [1, 0]);
    assert!((values[0] - 0.6f32.ln()).abs() < 1e-5 && (values[1] - 0.25f32.ln()).abs() < 1e-5);
    let picked = Sampler::new(self::settings(), 3).unwrap().pick(&[0.0; 3], None).unwrap();
    assert_eq!((picked.logprob, picked.top), (None, vec![]));
}

#[test]
fn logits_that_are_no_numbers_are_an_error() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut sampler = Sampler::new(settings(), 2).unwrap();
        assert!(sampler.pick(&[0.0, bad], None).unwrap_err().contains("token 1"));
        assert!(sampler.pick(&[0.0], None).unwrap_err().contains("1 logits"));
        assert!(sampler.pick(&[0.0, 1.0], None).is_ok());
    }
}

#[test]
fn settings_that_mean_nothing_are_refused_by_name() {
    let cases = [
        ("temperature", Settings { temperature: -1.0, ..settings() }),
        ("temperature", Settings { temperature: f32::NAN, ..settings() }),
        ("top_p", Settings { top_p: Some(0.0), ..settings() }),
        ("top_p", Settings { top_p: Some(1.5), ..settings() }),
        ("min_p", Settings { min_p: Some(-0.1), ..settings() }),
        ("top_k", Settings { top_k: Some(0), ..settings() }),
        ("frequency_penalty", Settings { frequency_penalty: f32::NAN, ..settings() }),
        ("presence_penalty", Settings { presence_penalty: f32::INFINITY, ..settings() }),
        ("token 5", Settings { bias: vec![(5, 1.0)], ..settings() }),
        ("bias", Settings { bias: vec![(1, f32::NAN)], ..settings() }),
        ("log probabilities", Settings { logprobs: Some(6), ..settings() }),
    ];
    for (name, settings) in cases {
        assert!(Sampler::new(settings, 5).unwrap_err().contains(name));
    }
}

#[test]
fn a_mask_is_kept_whatever_the_logits() {
    let pieces: Vec<Vec<u8>> = (0..=255u8).map(|byte| vec![byte]).collect();
    let vocabulary = Vocabulary::new(pieces, &|token| token == 0, vec![0]).unwrap();
    let mask = Constraint::json_object(&vocabulary).unwrap().mask().unwrap();
    let logits: Vec<f32> = (0..256).map(|token| token as f32).collect();
    for temperature in [0.0, 1.0] {
        let mut sampler =
            Sampler::new(Settings { temperature, top_p: Some(0.5), ..settings() }, 256).unwrap();
        assert_eq!(sampler.pick(&logits, Some(&mask)).unwrap().token, u32::from(b'{'));
    }
    assert!(Sampler::new(settings(), 3).unwrap().pick(&[0.0; 3], Some(&mask)).is_err());
}

proptest! {
    #[test]
    fn the_nucleus_is_the_one_that_sorting_finds(
        logits in prop::collection::vec(-15.0f32..15.0, 1..60), p in 0.05f32..0.999, k in 1u32..70,
    ) {
        let mut sorted: Vec<Candidate> =
            (0u32..).zip(&logits).map(|(token, &logit)| Candidate { logit, token }).collect();
        sorted.sort_by(order);
        sorted.truncate(k as usize);
        let total: f64 = sorted.iter().map(|one| f64::from((one.logit - sorted[0].logit).exp())).sum();
        let mut mass = 0.0;
        let kept = sorted.iter().position(|one| {
            mass += f64::from((one.logit - sorted[0].logit).exp());
            mass >= total * f64::from(p) - 1e-9
        });
        let last = sorted[kept.unwrap()];
        let mut sampler = Sampler::new(Settings { top_p: Some(p), top_k: Some(k), ..settings() }, logits.len()).unwrap();
        sampler.prepare(&logits, None).unwrap();
        let cut = sampler.cut(sorted[0]);
        prop_assert!(cut.token == last.token || (cut.logit - last.logit).abs() < 1e-4);
    }
}
