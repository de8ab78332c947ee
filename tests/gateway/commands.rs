//! The program as it is run: its commands, exit codes, log, signals, traces.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Output, Stdio},
    time::Duration,
};

use aigate_sim::{CloudKind, Options, start};
use serde_json::Value;

use crate::harness::{
    KINDS, Program, TempFile, collector, listeners, models,
    program::{aigate, serve},
    providers, user_credentials,
};

fn output(arguments: &[&str]) -> (Output, String, String) {
    let output = aigate(arguments).current_dir(std::env::temp_dir()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    (output, out, err)
}

#[test]
fn check_tells_faults_by_its_exit_code_and_explains_a_model_in_order() {
    let file = TempFile::new(
        "good.toml",
        "[providers.o]\nkind = \"openai\"\napi_key = \"k\"\n[models.m]\ntask = \"chat\"\ndeployments = [{ provider = \"o\", target = \"t\", limits_per_replica = { concurrency = 5 } }]\n",
    );
    let path = file.0.to_str().unwrap();
    let (output_, out, _) = output(&["check", path]);
    assert!(output_.status.success() && out.contains("no faults"), "{out}");

    let (_, out, _) = output(&["check", path, "--explain", "m"]);
    let places: Vec<usize> = [
        "keys", "observe", "cache", "limits", "deadline", "failover", "retry", "breaker", "quota", "timeout",
    ]
    .map(|word| out.find(&format!("    {word}")).unwrap_or_else(|| panic!("{word} is missing in\n{out}")))
    .into();
    assert!(places.is_sorted(), "{out}");
    assert!(!out.contains("\"k\""), "a secret is shown: {out}");

    let (output_, _, err) = output(&["check", path, "--explain", "mm"]);
    assert_eq!(output_.status.code(), Some(1));
    assert!(err.contains("did you mean `m`?"), "{err}");

    let bad = TempFile::new(
        "bad.toml",
        "[models.m]\ntask = \"chat\"\ndeployments = [{ provider = \"o\", target = \"t\" }]\nx = 1\n",
    );
    let (output_, _, err) = output(&["check", bad.0.to_str().unwrap()]);
    assert_eq!(output_.status.code(), Some(1));
    assert!(err.contains("models.m.x: unknown key"), "{err}");

    let (output_, _, err) = output(&["check"]);
    assert_eq!(output_.status.code(), Some(1));
    assert!(err.contains("no configuration") && err.contains("aigate demo"), "{err}");
    let (output_, _, _) = output(&["surf"]);
    assert_eq!(output_.status.code(), Some(2));
}

#[test]
fn the_card_in_the_repository_is_that_of_the_sample_that_is_built_in() {
    let card = concat!(env!("CARGO_MANIFEST_DIR"), "/providers/local/models/credit-risk.md");
    let (output_, out, _) = output(&["model", "card"]);
    assert!(output_.status.success());
    assert_eq!(out, std::fs::read_to_string(card).unwrap(), "write it anew: aigate model card > {card}");
    assert!(out.contains("NOT a lending model") && out.contains("1973 to 1975"), "{out}");
}

#[test]
fn a_new_key_is_printed_once_with_the_lines_for_the_file() {
    let (_, out, _) = output(&["key", "new", "team-a"]);
    let secret = out.split_whitespace().find(|word| word.starts_with("aig_")).unwrap();
    let hash = aigate_keys::secret::format_hash(&aigate_keys::secret::hash(secret));
    assert!(out.contains(&format!("[keys.team-a]\n  hash = \"{hash}\"")), "{out}");
    let (output_, _, _) = output(&["key", "new", "no spaces"]);
    assert_eq!(output_.status.code(), Some(1));
}

#[test]
fn the_schema_is_printed_as_json() {
    let (_, out, _) = output(&["schema"]);
    let schema: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(schema["title"], "aigate configuration");
}

#[test]
fn the_demo_in_a_pipe_ends_by_itself_without_colours_or_surprises() {
    let (output_, out, err) = output(&["demo", "--port", "0"]);
    assert!(output_.status.success(), "{out}\n{err}");
    assert!(
        out.contains("SIMULATED") && out.contains("curl http://127.0.0.1:") && out.contains("0 surprises"),
        "{out}"
    );
    assert!(!out.contains('\x1b'), "colours in a pipe");
    for who in ["azure-simulated", "aws-simulated", "google-simulated"] {
        assert!(out.contains(who), "{who} never answered:\n{out}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_gets_one_line_and_a_trace_and_a_running_stream_ends_before_the_program_does() {
    let mut clouds = Vec::new();
    for kind in KINDS {
        clouds.push(start(kind, Options { keep_requests: 10, ..Options::default() }).await.unwrap());
    }
    let (collector, mut traces) = collector().await;
    let credentials = user_credentials();
    let text = listeners("")
        + &providers(&clouds, &credentials.0)
        + &models()
        + &format!(
            "[log]\nformat = \"json\"\n[telemetry]\notlp_endpoint = \"{collector}\"\nservice_name = \"gate-under-test\"\n"
        );
    let config = TempFile::new("serve.toml", &text);
    let mut serving = Program::serve(&config.0);

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let words = "slowly ".to_owned() + &"word ".repeat(50);
    let call = |model: &str, text: &str, stream: bool| {
        let messages = serde_json::json!([{ "role": "user", "content": text }]);
        let body = serde_json::json!({ "model": model, "messages": messages, "stream": stream });
        client
            .post(format!("http://{}/v1/chat/completions", serving.address))
            .header("content-type", "application/json")
            .header("x-request-id", "my-id")
            .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))
            .body(body.to_string())
            .send()
    };
    assert_eq!(call("google", "secret question", false).await.unwrap().status(), 200);
    let line = serving.line(|line| line["message"] == "call");
    for (field, value) in [
        ("request_id", "my-id"),
        ("model", "google"),
        ("outcome", "ok"),
        ("provider", "google"),
        ("deployment", "google/gemini-2.5-flash"),
        ("finish", "stop"),
    ] {
        assert_eq!(line[field], value, "{line}");
    }
    assert_eq!((line["attempts"].as_u64(), line["input_tokens"].as_u64()), (Some(1), Some(2)), "{line}");
    assert!(!line.to_string().contains("secret question"), "content is not logged");
    let upstream =
        clouds[2].requests().into_iter().find(|request| request.path.contains("generateContent")).unwrap();
    let handed_on = upstream.headers["traceparent"].to_str().unwrap();
    assert!(handed_on.contains(trace), "the trace goes on upstream: {handed_on}");

    let mut stream = call("azure", &words, true).await.unwrap();
    assert!(stream.chunk().await.unwrap().is_some());
    serving.signal("-TERM");
    serving.line(|line| line["message"].as_str().is_some_and(|text| text.starts_with("stopping")));
    let mut rest = Vec::new();
    while let Some(piece) = stream.chunk().await.unwrap() {
        rest.extend_from_slice(&piece);
    }
    assert!(String::from_utf8(rest).unwrap().ends_with("data: [DONE]\n\n"), "the stream was cut off");
    let refused = client.get(format!("http://{}/v1/models", serving.address)).send().await;
    assert!(refused.is_err(), "no new connections while stopping");
    let status = tokio::task::spawn_blocking(move || {
        let (status, _) = serving.ended();
        status
    })
    .await
    .unwrap();
    assert!(status.success());

    let mut sent = Vec::new();
    while let Ok(Some(body)) = tokio::time::timeout(Duration::from_secs(1), traces.recv()).await {
        sent.extend(body);
    }
    let sent = String::from_utf8_lossy(&sent).into_owned();
    for word in [
        "POST /v1/traces",
        "gate-under-test",
        "gen_ai.provider.name",
        "gcp.vertex_ai",
        "chat gemini-2.5-flash",
    ] {
        assert!(sent.contains(word), "{word} is missing in the traces");
    }
    assert_eq!(CloudKind::Azure.name(), "azure");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_configuration_the_sample_is_served_and_the_printed_request_is_answered() {
    let mut child = aigate(&["serve"])
        .current_dir(std::env::temp_dir())
        .env("AIGATE__SERVER__LISTEN", "127.0.0.1:0")
        .env("AIGATE__OPERATIONS__LISTEN", "127.0.0.1:0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    while !said.contains("aigate demo") {
        assert!(out.read_line(&mut said).unwrap() > 0, "it ended after: {said}");
    }
    for word in ["SAMPLE", "AWS_ACCESS_KEY_ID", "GOOGLE_APPLICATION_CREDENTIALS", "AZURE_OPENAI_API_KEY"] {
        assert!(said.contains(word), "{word} is missing in {said}");
    }
    let url = said.split("curl ").nth(1).unwrap().split(' ').next().unwrap();
    let body = said.split("-d '").nth(1).unwrap().split('\'').next().unwrap().to_owned();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(url).header("content-type", "application/json").body(body);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let score = answer["outputs"][0]["data"][0].as_f64().unwrap();
    assert!(score > 0.0 && score < 1.0, "{answer}");
    assert_eq!(answer["outputs"][2]["name"], "reason_codes");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn variables_override_the_file_and_an_address_in_use_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let file = |operations: &str| {
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[operations]\nlisten = \"{operations}\"\n[providers.o]\nkind = \"openai\"\n\
             api_key = \"k\"\n[models.m]\ntask = \"chat\"\ndeployments = [{{ provider = \"o\", target = \"t\" }}]\n"
        );
        TempFile::new("taken.toml", &text)
    };
    let free = file("127.0.0.1:0");
    let mut overridden = serve(&free.0);
    overridden.env("AIGATE__SERVER__LISTEN", &address);
    let in_use = file(&address);
    for (mut command, key) in [(overridden, "server.listen"), (serve(&in_use.0), "operations.listen")] {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut text = String::new();
        child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1));
        assert!(text.contains(&format!("{key}: cannot listen on")) && text.contains(&address), "{text}");
    }
}
