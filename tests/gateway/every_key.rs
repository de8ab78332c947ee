//! Every key of the configuration acts: for each stands the test that fails when it does not.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    path::{Path, PathBuf},
};

use aigate::config::schema;
use serde_json::Value;

/// Keys, as `TABLE.KEY` with the table's name in the schema (of a provider: its kind), and the test that proves that they act:
/// `PLACE::TEST`, where the place is a module beside this one, or a folder with sources.
#[rustfmt::skip]
const PROVEN: &[(&str, &[&str])] = &[
    ("commands::variables_override_the_file_and_an_address_in_use_is_told", &["Server.listen", "Operations.listen"]),
    ("http_api::a_refusal_reaches_a_caller_who_is_still_sending_and_the_connection_goes_on", &["Server.max_body_bytes"]),
    ("http_api::bodies_for_which_there_is_no_room_are_refused_until_there_is", &["Server.max_buffered_bytes"]),
    ("http_api::header_floods_slow_heads_and_slow_bodies_are_cut_off", &["Server.header_timeout", "Server.body_timeout"]),
    ("http_api::a_connection_over_the_bound_waits_until_another_one_closes", &["Server.max_connections"]),
    ("acting::the_program_still_takes_calls_for_the_configured_delay_after_a_signal", &["Server.shutdown_delay"]),
    ("operations::what_has_not_ended_within_the_shutdown_grace_is_told", &["Server.shutdown_grace"]),
    ("rights::operators_have_a_key_of_their_own_and_no_caller_s_key_opens_their_door", &["Operations.key"]),
    ("acting::the_log_has_the_form_and_the_lines_that_the_configuration_says", &["Log.format", "Log.level", "Log.calls"]),
    ("commands::each_call_gets_one_line_and_a_trace_and_a_running_stream_ends_before_the_program_does", &["Telemetry.otlp_endpoint", "Telemetry.service_name"]),
    ("acting::only_the_configured_share_of_the_calls_is_traced", &["Telemetry.sample_ratio"]),
    ("acting::each_time_limit_ends_what_it_is_for_by_default_and_at_a_model", &["Policies.timeouts", "Model.timeouts", "Timeouts.deadline", "Timeouts.attempt", "Timeouts.first_chunk", "Timeouts.idle"]),
    ("acting::retries_are_as_many_and_wait_as_long_as_the_configuration_says", &["Policies.retry", "Model.retry", "Retry.max_retries", "Retry.max"]),
    ("acting::the_first_wait_before_a_retry_is_as_long_as_base_says", &["Retry.base"]),
    ("acting::a_retry_budget_of_nothing_leaves_ten_retries_a_second_and_a_whole_one_all", &["Retry.budget"]),
    ("acting::a_circuit_opens_after_as_many_failures_and_for_as_long_as_the_configuration_says", &["Policies.breaker", "Model.breaker", "Breaker.failures", "Breaker.open", "Breaker.max_open"]),
    ("acting::a_circuit_opens_at_the_share_of_failures_that_the_configuration_says", &["Breaker.failure_ratio"]),
    ("cache::what_is_too_large_is_not_kept_and_all_together_stay_within_their_bound", &["CacheStore.max_bytes", "CacheStore.max_entry_bytes"]),
    ("acting::prices_of_a_file_of_one_s_own_win", &["Prices.file"]),
    ("replicas::two_processes_keep_100_requests_a_second_together_within_two_percent", &["Shared.redis", "Key.limits"]),
    ("replicas::sharing_is_changed_by_reloads_while_calls_go_on", &["Shared.prefix"]),
    ("replicas::redis_over_tls_is_trusted_for_the_ca_file_of_the_configuration_and_not_without_it", &["Shared.ca_file"]),
    ("replicas::the_first_call_waits_for_a_redis_that_hangs_as_long_as_the_configuration_says", &["Shared.timeout"]),
    ("replicas::what_labels_models_and_deployments_may_use_is_kept_over_both_processes", &["Label.limits", "Label.budget", "Model.limits", "Deployment.limits"]),
    ("replicas::where_nobody_may_guess_calls_with_limits_are_refused_at_once_and_others_go_on", &["Shared.on_loss"]),
    ("budgets::a_budget_outlives_kill_9_under_load_again_and_again", &["StateFile.file"]),
    ("reload_program::variables_win_over_the_file_at_each_reload", &["Reload.watch"]),
    ("limits::every_unit_is_kept_for_keys_labels_models_and_deployments_and_a_refusal_says_which_and_when", &["Limits.requests", "Limits.tokens", "Limits.characters", "Limits.images", "Limits.rows", "Limits.usd", "Key.limits_per_replica", "Label.limits_per_replica", "Model.limits_per_replica", "Deployment.limits_per_replica"]),
    ("limits::only_so_many_calls_at_once_for_keys_labels_models_and_deployments_and_a_place_is_free_after_each", &["Limits.concurrency"]),
    ("configuration::every_faulty_file_gives_the_message_beside_it", &["Limits.pages", "Limits.audio_seconds"]),
    ("replicas::a_budget_is_spent_to_the_cent_by_parallel_callers_of_both_and_both_warn", &["Key.budget"]),
    ("budgets::however_many_call_at_once_no_more_is_spent_than_there_is", &["Key.budget_per_replica", "Budget.usd_per_day"]),
    ("budgets::keys_with_one_label_spend_one_budget", &["Label.budget_per_replica"]),
    ("reload::a_budget_whose_amount_changes_keeps_what_was_spent", &["Budget.usd_per_month"]),
    ("budgets::from_its_share_on_a_budget_warns_and_its_metric_tells_how_it_stands", &["Budget.warn_at"]),
    ("budgets::a_spent_budget_with_cheapest_goes_on_at_the_cheapest_deployment", &["Budget.on_exceeded"]),
    ("keys::a_token_that_is_not_for_us_or_not_good_now_is_refused_with_the_right_word", &["JwtConfig.issuer", "JwtConfig.audience"]),
    ("rights::a_token_s_claims_become_rights_a_name_and_labels", &["JwtConfig.subject_claim", "JwtConfig.models_claim", "JwtConfig.tasks_claim", "JwtConfig.labels", "JwtConfig.required"]),
    ("keys::claims_become_rights_and_labels", &["JwtConfig.models", "JwtConfig.tasks"]),
    ("keys::a_file_is_read_again_when_a_token_names_an_unknown_key_and_at_a_reload", &["JwtConfig.jwks_file"]),
    ("keys::an_algorithm_that_was_not_chosen_or_does_not_fit_the_key_is_refused", &["JwtConfig.algorithms"]),
    ("keys::a_clock_that_is_a_little_off_is_forgiven_and_no_more", &["JwtConfig.leeway"]),
    ("keys::keys_are_fetched_when_first_needed_and_again_when_they_are_old", &["JwtConfig.refresh"]),
    ("rights::an_issuer_s_keys_are_fetched_through_its_proxy", &["JwtConfig.jwks_url", "JwtConfig.proxy"]),
    ("rights::a_key_is_taken_from_each_of_the_three_headers_and_its_second_secret_is_as_good", &["Key.hash", "Key.second_hash"]),
    ("rights::callers_may_use_and_see_the_models_and_tasks_of_their_key_only", &["Key.models", "Key.tasks"]),
    ("rights::whoever_is_not_let_in_reads_why_in_the_words_of_the_surface_and_nothing_else", &["Key.expires", "Key.revoked"]),
    ("rights::calls_and_money_are_counted_for_each_label", &["Key.labels"]),
    ("providers/aws::static_keys_sign_the_request_and_are_not_tried_again_when_refused", &["aws.region", "aws.access_key_id", "aws.secret_access_key", "aws.session_token"]),
    ("providers/aws::an_api_key_travels_as_a_bearer_token_with_the_trace", &["aws.endpoint", "aws.api_key"]),
    ("providers/aws::predictions_go_to_sagemaker_s_own_endpoint_signed_for_it", &["aws.sagemaker_endpoint"]),
    ("acting::a_role_is_assumed_under_the_names_of_the_settings", &["aws.sts_endpoint", "aws.assume_role", "aws.external_id", "aws.session_name"]),
    ("providers/aws::a_profile_in_the_settings_wins_over_keys_in_the_environment", &["aws.profile"]),
    ("acting::a_guardrail_and_a_quota_project_of_the_settings_are_sent", &["aws.guardrail_id", "aws.guardrail_version", "google.quota_project"]),
    ("acting::every_kind_of_provider_goes_through_its_proxy", &["aws.proxy", "azure.proxy", "google.proxy", "openai.proxy"]),
    ("providers/azure::one_chat_request_becomes_each_api_s_url_and_body", &["azure.endpoint", "azure.api", "azure.api_version", "azure.api_key"]),
    ("providers/azure::a_managed_identity_asks_the_machine_and_after_a_refusal_not_for_the_kept_token", &["azure.auth"]),
    ("providers/azure::a_client_secret_is_exchanged_once_for_many_calls", &["azure.tenant_id", "azure.client_id", "azure.client_secret", "azure.token_url"]),
    ("providers/azure::app_service_and_container_apps_are_asked_in_their_own_way", &["azure.scope"]),
    ("providers/azure::the_federated_token_s_file_is_read_anew_for_each_token", &["azure.token_file"]),
    ("acting::the_output_limit_and_the_wish_for_usage_are_sent_as_the_provider_s_settings_say", &["azure.stream_usage", "azure.token_limit_field", "openai.stream_usage", "openai.token_limit_field"]),
    ("language::sixty_four_callers_of_one_worker_each_get_an_answer_or_a_refusal_that_says_when_to_come_back", &["local.folder", "local.queue"]),
    ("language::a_model_that_does_not_fit_into_the_memory_is_a_fault_with_what_it_needs", &["local.memory"]),
    ("acting::a_model_on_this_machine_has_the_configured_number_of_workers_if_it_has_work_for_them", &["local.workers"]),
    ("acting::a_worker_of_a_model_has_the_configured_number_of_threads", &["local.threads"]),
    ("language::what_a_model_cannot_do_is_refused_by_name_and_what_does_not_fit_by_its_length", &["local.context"]),
    ("acting::a_model_on_this_machine_is_loaded_at_the_start_where_the_configuration_says_so", &["local.load"]),
    ("acting::an_idle_model_leaves_the_memory_after_the_configured_time", &["local.unload_after"]),
    ("providers/google::each_kind_of_location_has_its_host", &["google.project", "google.location"]),
    ("providers/google::a_call_carries_its_credentials_and_its_trace", &["google.api_key", "google.base_url"]),
    ("providers/google::a_user_s_refresh_token_is_exchanged_once_and_the_quota_project_is_named", &["google.credentials"]),
    ("providers/google::a_service_account_signs_for_its_own_audience_wherever_the_token_url_leads", &["google.token_url"]),
    ("streaming::a_slow_cloud_s_first_chunk_reaches_the_caller_before_its_last_is_made", &["openai.base_url", "openai.api_key"]),
    ("providers/openai::the_organization_and_the_project_are_sent_and_the_key_is_never_shown", &["openai.organization", "openai.project"]),
    ("http_api::every_cloud_embeds_in_both_encodings", &["Model.task"]),
    ("failover::weighted_deployments_share_the_calls", &["Deployment.weight"]),
    ("failover::the_fastest_deployment_gets_most_of_the_calls_though_it_stands_last", &["Model.strategy"]),
    ("failover::each_fault_of_each_cloud_is_survived_whole_and_streamed", &["Model.deployments", "Deployment.provider"]),
    ("providers/openai::the_body_passes_byte_for_byte_but_for_the_model_and_the_stream_options", &["Deployment.target"]),
    ("failover::a_field_that_one_cloud_cannot_honour_goes_to_one_that_can_or_is_dropped_and_named", &["Model.on_unsupported"]),
    ("acting::a_deployment_s_own_word_on_unsupported_fields_wins_over_its_model_s", &["Deployment.on_unsupported"]),
    ("tenants::what_is_public_is_shared_by_all_who_may_use_the_model_and_by_nobody_else", &["Model.cache", "ModelCache.scope"]),
    ("cache_tasks::when_nobody_can_answer_the_stale_answer_is_given_and_said_to_be_stale", &["ModelCache.ttl", "ModelCache.stale_if_error"]),
    ("cache::what_was_drawn_by_chance_is_kept_only_where_the_model_or_the_caller_says_so", &["ModelCache.sampled"]),
    ("probing::a_deployment_that_is_gone_is_found_out_before_a_caller_meets_it_and_found_again", &["Model.probe"]),
    ("probing::a_deployment_is_not_looked_at_more_often_than_the_configuration_says", &["Probe.every"]),
    ("acting::a_slow_deployment_is_hedged_when_and_as_often_as_the_configuration_says", &["Model.hedge", "Hedge.after", "Hedge.max_extra"]),
    ("predict::another_version_decides_only_where_the_config_or_the_caller_says_so", &["Model.platform", "Model.failover", "Deployment.version"]),
    ("predict::vertex_s_attributions_come_as_contributions_when_they_are_asked_for", &["Model.outputs", "Output.name", "Output.datatype", "Output.shape", "Output.on_request"]),
    ("providers/contract::a_fault_is_told_with_the_tensor_and_what_would_be_right", &["Model.inputs", "Input.name", "Input.datatype", "Input.shape"]),
    ("providers/contract::the_columns_of_a_matrix_are_features_by_name", &["Input.columns", "FormConfig.features"]),
    ("providers/contract::what_fits_passes_and_is_brought_into_the_model_s_form", &["Input.nullable"]),
    ("budgets::a_call_costs_at_each_cloud_what_the_hand_reckons_whole_or_streamed", &["Deployment.price"]),
    ("prices::a_row_is_taken_by_the_model_s_name", &["PriceConfig.model", "PriceConfig.region"]),
    ("acting::the_service_class_of_a_price_changes_it", &["PriceConfig.class"]),
    ("prices::an_endpoint_s_hour_has_a_share_only_where_its_calls_are_stated", &["PriceConfig.usd_per_hour", "PriceConfig.calls_per_hour"]),
    ("acting::each_key_of_a_price_changes_what_a_call_costs", &["PriceConfig.input_usd_per_mtok", "PriceConfig.cached_read_usd_per_mtok", "PriceConfig.cache_write_usd_per_mtok", "PriceConfig.output_usd_per_mtok", "PriceConfig.tiers", "PriceConfig.usd_per_1k_characters", "PriceConfig.unit_characters", "PriceConfig.minimum_units", "PriceConfig.usd_per_page", "PriceConfig.usd_per_image", "PriceConfig.usd_per_row", "PriceConfig.usd_per_request", "PriceConfig.usd_per_audio_minute", "PriceConfig.usd_per_audio_hour", "PriceConfig.minimum_audio_seconds", "PriceConfig.audio_step_seconds", "TierConfig.above_input_tokens", "TierConfig.input_usd_per_mtok", "TierConfig.cached_read_usd_per_mtok", "TierConfig.cache_write_usd_per_mtok", "TierConfig.output_usd_per_mtok"]),
    ("predict::every_form_of_every_cloud_gives_the_score_of_the_model_on_this_machine", &["Deployment.wire", "FormConfig.body", "FormConfig.rows"]),
    ("providers/contract::json_rows_are_lists_or_objects_with_null_for_what_is_missing", &["FormConfig.rows_field"]),
    ("providers/contract::csv_has_a_line_a_row_with_nothing_for_what_is_missing", &["FormConfig.header", "FormConfig.datatypes"]),
    ("providers/contract::the_protocol_itself_goes_out_with_the_deployment_s_names", &["FormConfig.names"]),
    ("providers/contract::codes_stand_for_texts_and_other_texts_are_refused", &["FormConfig.codes"]),
    ("providers/contract::json_lines_answers_have_a_document_a_row", &["FormConfig.answer"]),
    ("providers/contract::json_answers_are_found_at_their_pointers", &["FormConfig.answer_rows", "FormConfig.outputs"]),
    ("providers/aws::requests_and_answers_have_the_declared_form", &["FormConfig.variant", "FormConfig.target_model", "FormConfig.inference_component"]),
    ("providers/azure::each_form_becomes_azure_ml_s_and_its_answer_becomes_tensors", &["FormConfig.azureml_deployment", "FormConfig.path"]),
    ("providers/google::an_endpoint_is_named_by_its_id_and_may_have_a_host_of_its_own", &["FormConfig.host"]),
];

/// Keys of which no test would say that they do not act, and why. This list is to become shorter, never longer.
const UNPROVEN: &[(&[&str], &str)] = &[
    (
        &["aws.ca_file", "azure.ca_file", "google.ca_file", "openai.ca_file", "JwtConfig.ca_file"],
        "aigate-transport proves that its `Settings` trust the file's CA; that each owner hands them on, no test with TLS shows",
    ),
    (
        &["aws.connect_timeout", "azure.connect_timeout", "google.connect_timeout", "openai.connect_timeout"],
        "aigate-transport proves it with its `Settings`; nothing on loopback refuses to connect for so long",
    ),
];

/// The most keys that may be unproven.
const MOST_UNPROVEN: usize = 9;

/// Every key of every table of the schema. The root's own are tables, whose keys act.
fn keys() -> BTreeSet<String> {
    let schema = schema();
    let mut keys = BTreeSet::new();
    let mut add = |table: &str, definition: &Value| {
        let properties = definition["properties"].as_object().into_iter().flatten();
        keys.extend(properties.map(|(key, _)| format!("{table}.{key}")));
    };
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        add(name, definition);
    }
    for provider in schema["$defs"]["ProviderConfig"]["oneOf"].as_array().unwrap() {
        add(provider["properties"]["kind"]["const"].as_str().unwrap(), provider);
    }
    // It chooses the table that the others stand in.
    keys.retain(|key| !key.ends_with(".kind"));
    assert!(keys.len() > 200, "{}", keys.len());
    keys
}

#[test]
fn every_key_has_a_test_that_fails_when_it_does_not_act_or_is_known_to_have_none() {
    let proven = PROVEN.iter().flat_map(|(_, keys)| keys.iter());
    let unproven = UNPROVEN.iter().flat_map(|(keys, _)| keys.iter());
    let mut entries = BTreeSet::new();
    for key in proven.chain(unproven) {
        assert!(entries.insert((*key).to_owned()), "{key} stands twice");
    }
    let keys = keys();
    let missing: Vec<&String> = keys.difference(&entries).collect();
    assert!(missing.is_empty(), "no test is named for {missing:?}: write one, and name it here");
    let gone: Vec<&String> = entries.difference(&keys).collect();
    assert!(gone.is_empty(), "there are no keys {gone:?} any more");
}

#[test]
fn few_keys_are_unproven_and_the_test_says_which() {
    let mut out = std::io::stdout();
    let mut count = 0;
    for (keys, why) in UNPROVEN {
        writeln!(out, "unproven: {}: {why}", keys.join(", ")).unwrap();
        count += keys.len();
    }
    assert!(count <= MOST_UNPROVEN, "{count} keys are unproven");
}

/// The texts of all sources below a folder.
fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("target") {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// The texts of a place: a module of these tests with its submodules, or a folder.
fn texts(place: &str) -> Vec<String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let module = root.join("tests/gateway").join(place);
    found.extend(std::fs::read_to_string(module.with_extension("rs")));
    if found.is_empty() {
        sources(&root.join(place), &mut found);
    } else {
        sources(&module, &mut found);
    }
    found
}

/// Whether a text has a test of that name: a function right beneath an attribute that makes it one.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let head = format!("fn {name}(");
    lines.iter().enumerate().any(|(number, line)| {
        let is_head = line.strip_prefix("async ").unwrap_or(line).starts_with(&head);
        let above = lines[..number].iter().rev().take_while(|line| line.starts_with("#["));
        is_head
            && above.into_iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    })
}

#[test]
fn every_test_that_is_named_exists() {
    let mut read: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut missing = Vec::new();
    for (test, _) in PROVEN {
        let (place, name) = test.split_once("::").unwrap();
        let texts = read.entry(place).or_insert_with(|| texts(place));
        if !texts.iter().any(|text| has_test(text, name)) {
            missing.push(*test);
        }
    }
    assert!(missing.is_empty(), "there are no tests {missing:#?}");
}
