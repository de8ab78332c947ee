//! What `aigate serve` says when it runs without a configuration: what is served, a ready request, and what would add a cloud.

use std::{fmt::Write, net::SocketAddr};

use serde_json::Value;

/// The configuration that is used then.
pub(super) const CONFIG: &str = include_str!("../../config/sample.toml");

/// One cloud: what makes it usable, and whether the environment has it.
struct Cloud {
    name: &'static str,
    variables: &'static [&'static str],
    stanza: &'static str,
}

const CLOUDS: [Cloud; 4] = [
    Cloud {
        name: "AWS (Bedrock, SageMaker)",
        variables: &["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"],
        stanza: r#"kind = "aws", region = "eu-central-1""#,
    },
    Cloud {
        name: "Google (Vertex AI)",
        variables: &["GOOGLE_APPLICATION_CREDENTIALS"],
        stanza: r#"kind = "google", project = "...", location = "europe-west4""#,
    },
    Cloud {
        name: "Azure (OpenAI, Azure ML)",
        variables: &["AZURE_OPENAI_API_KEY", "AZURE_CLIENT_ID"],
        stanza: r#"kind = "azure", endpoint = "https://...", api_key = "${AZURE_OPENAI_API_KEY}""#,
    },
    Cloud {
        name: "OpenAI",
        variables: &["OPENAI_API_KEY"],
        stanza: r#"kind = "openai", api_key = "${OPENAI_API_KEY}""#,
    },
];

/// The text, for a gateway at `address`.
pub(super) fn greeting(address: SocketAddr) -> Result<String, String> {
    let request = aigate_local::sample_request()?;
    let mut text = format!(
        "aigate runs without a configuration (no --config, no AIGATE_CONFIG, no aigate.toml here).\n\
         It serves one model on this machine: `credit-risk`, a SAMPLE trained on the public Statlog German Credit data\n\
         (1,000 loans of 1973-1975): for trying, not for lending. `aigate model card` tells all about it.\n\n\
         Ask it:\n\n  curl http://{address}/v2/models/credit-risk/infer -H 'content-type: application/json' -d '{}'\n\n\
         Credentials that would add a cloud (here: found in the environment or not), with the table for aigate.toml:\n",
        body(&request)
    );
    for cloud in CLOUDS {
        let found = cloud.variables.iter().find(|name| std::env::var_os(name).is_some());
        let found = found.map_or_else(|| "not found".to_owned(), |name| format!("{name} found"));
        // Writing into a string does not fail.
        let _ = writeln!(
            text,
            "  {:<26} {} ({found})\n  {:<26} [providers.NAME] with {}",
            cloud.name,
            cloud.variables.join(" or "),
            "",
            cloud.stanza
        );
    }
    text.push_str("\nconfig/examples has whole files; `aigate demo` shows failover on simulated clouds.\n");
    Ok(text)
}

/// The request on a few lines, so that it can be read and pasted.
fn body(request: &Value) -> String {
    let inputs = request["inputs"].as_array().map(Vec::as_slice).unwrap_or_default();
    let line = |input: &Value| {
        let [name, shape, datatype, data] = ["name", "shape", "datatype", "data"].map(|key| &input[key]);
        format!(r#"    {{"name": {name}, "shape": {shape}, "datatype": {datatype}, "data": {data}}}"#)
    };
    let lines: Vec<String> = inputs.iter().map(line).collect();
    let outputs = r#"[{"name": "score"}, {"name": "label"}, {"name": "reason_codes"}]"#;
    format!("{{\"inputs\": [\n{}],\n  \"outputs\": {outputs}}}", lines.join(",\n"))
}
