//! The program as it is run: its commands, exit codes, log, signals, traces.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use aigate_sim::{CloudKind, Options, start};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::harness::{KINDS, TempFile, listeners, models, providers, user_credentials};

fn aigate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aigate"));
    command.args(arguments).env_remove("AIGATE_CONFIG").stdin(Stdio::null());
    command
}

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

/// A collector that takes what is sent to it and remembers the bodies.
async fn collector() -> (String, tokio::sync::mpsc::UnboundedReceiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (send, receive) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let send = send.clone();
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                let mut buffer = [0; 8192];
                while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                    bytes.extend_from_slice(&buffer[..count]);
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
                    if stream.write_all(answer).await.is_err() {
                        break;
                    }
                    let _ = send.send(std::mem::take(&mut bytes));
                }
            });
        }
    });
    (url, receive)
}

struct Serving {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
    address: String,
}

impl Serving {
    fn start(config: &TempFile) -> Self {
        let mut child = aigate(&["serve", "--config", config.0.to_str().unwrap()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let (send, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let mut serving = Self { child, lines, address: String::new() };
        let ready =
            serving.line(|line| line["message"].as_str().is_some_and(|text| text.ends_with("is ready")));
        serving.address = ready["listen"].as_str().unwrap().to_owned();
        serving
    }

    /// The next line of the log that fits; every line must be JSON.
    fn line(&self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(20)).expect("the log goes on");
            let value: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
            if fits(&value) {
                return value;
            }
        }
    }

    fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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
    let mut serving = Serving::start(&config);

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
    serving.terminate();
    serving.line(|line| line["message"].as_str().is_some_and(|text| text.starts_with("stopping")));
    let mut rest = Vec::new();
    while let Some(piece) = stream.chunk().await.unwrap() {
        rest.extend_from_slice(&piece);
    }
    assert!(String::from_utf8(rest).unwrap().ends_with("data: [DONE]\n\n"), "the stream was cut off");
    let refused = client.get(format!("http://{}/v1/models", serving.address)).send().await;
    assert!(refused.is_err(), "no new connections while stopping");
    let status = tokio::task::spawn_blocking(move || {
        let status = serving.child.wait().unwrap();
        drop(serving);
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
    let file = TempFile::new(
        "env.toml",
        "[operations]\nlisten = \"127.0.0.1:0\"\n[providers.o]\nkind = \"openai\"\napi_key = \"k\"\n[models.m]\ntask = \"chat\"\ndeployments = [{ provider = \"o\", target = \"t\" }]\n",
    );
    let mut child = aigate(&["serve", "--config", file.0.to_str().unwrap()])
        .env("AIGATE__SERVER__LISTEN", &address)
        .env("AIGATE__SERVER__MAX_CONNECTIONS", "17")
        .env("AIGATE__LOG__CALLS", "false")
        .env("AIGATE__PROVIDERS__O__API_KEY", "12345")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(text.contains("server.listen: cannot listen on") && text.contains(&address), "{text}");
}
