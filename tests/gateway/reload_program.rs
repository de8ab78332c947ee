//! Reloads of the program as it is run: signals, watched files, its log, and many reloads under load.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use aigate_sim::{CloudKind, Options, start};
use serde_json::{Value, json};

use crate::reload::{cloud, key, model, provider, send, version};

/// `aigate serve`, with its log.
struct Program {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
    address: SocketAddr,
    operations: String,
    client: reqwest::Client,
}

impl Program {
    fn start(file: &Path) -> Self {
        Self::start_with(file, &[])
    }

    fn start_with(file: &Path, variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_aigate"))
            .args(["serve", "--config", file.to_str().unwrap()])
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
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
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut program = Self { child, lines, address: nowhere, operations: String::new(), client };
        let ready =
            program.line(|line| line["message"].as_str().is_some_and(|text| text.ends_with("is ready")));
        program.address = ready["listen"].as_str().unwrap().parse().unwrap();
        program.operations = format!("http://{}", ready["operations"].as_str().unwrap());
        program
    }

    /// The next line of the log that fits.
    fn line(&self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(60)).expect("the log goes on");
            let value: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
            if fits(&value) {
                return value;
            }
        }
    }

    /// The next line that tells of a reload, with the words `what`.
    fn reloaded(&self, what: &str) -> Value {
        self.line(|line| {
            line["message"] == "the configuration was read again"
                && line["changes"].as_str().is_some_and(|changes| changes.contains(what))
        })
    }

    fn hang_up(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    }

    async fn status(&self, name: &str) -> u16 {
        send(&self.client, self.address, name, "", json!({})).await.status().as_u16()
    }

    /// Memory in KiB.
    fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const LISTEN: &str =
    "[server]\nlisten = \"127.0.0.1:0\"\n[operations]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n";

/// Writes beside the file and renames over it, as editors do.
fn replace(file: &Path, text: &str) {
    let beside = file.with_extension("tmp");
    fs::write(&beside, text).unwrap();
    fs::rename(&beside, file).unwrap();
}

/// A new version of a Kubernetes volume: `..data` leads to its folder.
fn publish(folder: &Path, version: &str, text: &str) -> PathBuf {
    fs::create_dir(folder.join(version)).unwrap();
    fs::write(folder.join(version).join("aigate.toml"), text).unwrap();
    let before = fs::read_link(folder.join("..data")).ok();
    symlink(version, folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    if let Some(before) = before {
        fs::remove_dir_all(folder.join(before)).unwrap();
    }
    folder.join("..data").join("aigate.toml")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_read_by_itself_and_on_a_signal_and_its_loss_is_survived() {
    let cloud = cloud().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("aigate.toml");
    let text = LISTEN.to_owned() + &provider("sim", &cloud) + &model("one", "");
    fs::write(&file, &text).unwrap();
    let program = Program::start(&file);
    assert_eq!(program.status("one").await, 200);

    fs::write(&file, text.clone() + &model("two", "")).unwrap();
    let line = program.reloaded("models.two: new model");
    assert_eq!((&line["why"], &line["level"]), (&json!("a file changed"), &json!("INFO")), "{line}");
    assert_eq!(program.status("two").await, 200);

    replace(&file, &(text.clone() + &model("three", "")));
    let line = program.reloaded("models.three: new model");
    assert!(line["changes"].as_str().unwrap().contains("models.two: removed"), "{line}");
    assert_eq!((program.status("three").await, program.status("two").await), (200, 404));

    fs::write(&file, text.clone() + "[models.three]\ntask = \"chess\"\n").unwrap();
    let line = program.line(|line| line["level"] == "ERROR");
    assert!(line["faults"].as_str().unwrap().contains("models.three.task"), "{line}");
    assert_eq!(program.status("three").await, 200);

    fs::remove_file(&file).unwrap();
    program.line(|line| line["message"].as_str().is_some_and(|text| text.contains("is not there")));
    program.hang_up();
    let line = program.line(|line| line["level"] == "ERROR");
    assert!(line["why"] == "SIGHUP" && line["faults"].as_str().unwrap().contains("cannot read"), "{line}");
    assert_eq!(program.status("three").await, 200);

    fs::write(&file, &text).unwrap();
    program.reloaded("models.three: removed");
    program.hang_up();
    let line = program.reloaded("none");
    assert_eq!(line["why"], "SIGHUP");
    assert_eq!((program.status("one").await, program.status("three").await), (200, 404));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_comes_back_as_it_was_heals_what_its_absence_broke() {
    let cloud = cloud().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("aigate.toml");
    let text = LISTEN.to_owned() + &provider("sim", &cloud) + &model("one", "");
    fs::write(&file, &text).unwrap();
    let program = Program::start(&file);
    fs::remove_file(&file).unwrap();
    program.line(|line| line["message"].as_str().is_some_and(|text| text.contains("is not there")));
    program.hang_up();
    program.line(|line| line["level"] == "ERROR");
    fs::write(&file, &text).unwrap();
    program.reloaded("none");
    let url = format!("{}/metrics", program.operations);
    let metrics = program.client.get(url).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("aigate_config_faulty 0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swapped_volume_of_kubernetes_and_a_changed_secret_are_seen() {
    let credentials = aigate_sim::Credentials { api_key: "second".to_owned(), ..Default::default() };
    let cloud = start(CloudKind::OpenAi, Options { credentials, ..Options::default() }).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "first").unwrap();
    let text = LISTEN.to_owned()
        + &provider("sim", &cloud).replace("simulated-key", &format!("file:{}", secret.display()))
        + &model("one", "");
    publish(folder.path(), "..2026_1", &text);
    let file = folder.path().join("aigate.toml");
    symlink("..data/aigate.toml", &file).unwrap();
    let program = Program::start(&file);
    for number in 2..5 {
        let name = format!("new{number}");
        publish(folder.path(), &format!("..2026_{number}"), &(text.clone() + &model(&name, "")));
        program.reloaded(&format!("models.{name}: new model"));
    }
    assert_ne!(program.status("one").await, 200);
    replace(&secret, "second");
    let line = program.reloaded("providers.sim");
    assert_eq!(line["why"], "a file changed");
    assert!(!line.to_string().contains("second"), "{line}");
    assert_eq!(program.status("one").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_win_over_the_file_at_each_reload() {
    let cloud = cloud().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("aigate.toml");
    let text =
        LISTEN.to_owned() + &provider("sim", &cloud).replace("simulated-key", "wrong") + &model("one", "");
    fs::write(&file, &text).unwrap();
    let variables =
        [("AIGATE__PROVIDERS__SIM__API_KEY", "simulated-key"), ("AIGATE__RELOAD__WATCH", "false")];
    let program = Program::start_with(&file, &variables);
    assert_eq!(program.status("one").await, 200);
    fs::write(&file, text.replace("wrong", "wrong-too") + &model("two", "")).unwrap();
    // It does not watch: only the signal makes it read.
    program.hang_up();
    let line = program.reloaded("models.two");
    assert_eq!((&line["changes"], &line["why"]), (&json!("models.two: new model"), &json!("SIGHUP")));
    assert_eq!((program.status("one").await, program.status("two").await), (200, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_right_after_the_start_is_no_end() {
    let cloud = cloud().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("aigate.toml");
    fs::write(&file, LISTEN.to_owned() + &provider("sim", &cloud) + &model("one", "")).unwrap();
    for _ in 0..5 {
        let program = Program::start(&file);
        program.hang_up();
        program.reloaded("none");
    }
}

#[test]
fn diff_tells_the_changes_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old.toml"), folder.path().join("new.toml"));
    let text = "[providers.o]\nkind = \"openai\"\napi_key = \"old-secret\"\n[models.m]\ntask = \"chat\"\ndeployments = [{ provider = \"o\", target = \"t\" }]\n";
    fs::write(&old, text).unwrap();
    let changed = text
        .replace("old-secret", "new-secret")
        .replace("\"t\" }", "\"t\" }, { provider = \"o\", target = \"u\" }");
    fs::write(&new, changed + &key("anna", "models = [\"m\"]") + "[server]\nmax_body_bytes = 2048\n")
        .unwrap();
    let diff = |old: &Path, new: &Path| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_aigate")).arg("diff").args([old, new]).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, out, _) = diff(&old, &new);
    assert_eq!(code, Some(0));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(
        lines,
        [
            "keys.anna: new key",
            "models.m.deployments: added o/u at place 2",
            "providers.o.api_key: changed (secret)",
            "server.max_body_bytes: 33554432 -> 2048",
        ]
    );
    assert_eq!(diff(&old, &old), (Some(0), "no difference\n".to_owned(), String::new()));
    fs::write(&new, "[models.m]\nx = 1\n").unwrap();
    let (code, out, err) = diff(&old, &new);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("new.toml") && err.contains("models.m.x: unknown key"), "{err}");
}

/// What many reloads cost.
#[derive(Debug)]
struct Toll {
    calls: u64,
    streams: u64,
    refused: u64,
    /// KiB after a fifth of the reloads, and after all.
    memory: (u64, u64),
}

/// Reloads again and again while calls and streams go on, each caller with some 24 calls a second. Every second half of the reloads rebuilds the provider as well.
async fn reload_under_load(reloads: u64, within: Duration, callers: u32) -> Toll {
    let cloud = cloud().await;
    let slow =
        start(CloudKind::OpenAi, Options { chunk_delay: Duration::from_millis(20), ..Options::default() });
    let slow = slow.await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("aigate.toml");
    let text = |number: u64| {
        let settings =
            if number >= reloads / 2 { format!("organization = \"o{number}\"\n") } else { String::new() };
        let more = if number % 2 == 1 { model("extra", "") } else { String::new() };
        LISTEN
            .replace("[log]", "[log]\ncalls = false\nlevel = \"info,aigate::refusal=off,aigate::reload=off\"")
            + "[reload]\nwatch = false\n"
            + &provider("sim", &cloud)
            + &settings
            + &provider("slow", &slow)
            + &settings
            + &model("one", &format!("[models.one.timeouts]\nattempt = \"{}s\"\n", 100 + number % 2))
            + &model("long", "").replace("provider = \"sim\"", "provider = \"slow\"")
            + &key("anna", "")
            + &key("scarce", "limits_per_replica = { requests = \"5/d\" }")
            + &more
    };
    fs::write(&file, text(0)).unwrap();
    let program = Program::start(&file);
    for _ in 0..5 {
        assert_eq!(send(&program.client, program.address, "one", "scarce", json!({})).await.status(), 200);
    }
    let (calls, streams, refused) =
        (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let end = Arc::new(AtomicBool::new(false));
    let mut tasks = tokio::task::JoinSet::new();
    let (client, address) = (program.client.clone(), program.address);
    let task = |what: &'static str, pause: Duration| {
        let (client, end) = (client.clone(), Arc::clone(&end));
        let count = Arc::clone(match what {
            "call" => &calls,
            "stream" => &streams,
            _ => &refused,
        });
        async move {
            let mut tick = tokio::time::interval(pause);
            while !end.load(Ordering::Relaxed) {
                tick.tick().await;
                match what {
                    "call" => {
                        let response = send(&client, address, "one", "anna", json!({})).await;
                        let status = response.status();
                        let text = response.text().await.unwrap();
                        assert!(status == 200 && text.contains("heard: a b c"), "{status}: {text}");
                    }
                    "stream" => {
                        let response =
                            send(&client, address, "long", "anna", json!({ "stream": true })).await;
                        assert_eq!(response.status(), 200);
                        assert!(!version(&response).is_empty());
                        let text = response.text().await.unwrap();
                        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
                    }
                    _ => {
                        let response = send(&client, address, "one", "scarce", json!({})).await;
                        assert_eq!(response.status(), 429, "a used-up limit was refilled");
                    }
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    for _ in 0..callers {
        tasks.spawn(task("call", Duration::from_millis(42)));
    }
    for _ in 0..4 {
        tasks.spawn(task("stream", Duration::from_millis(10)));
    }
    tasks.spawn(task("refused", Duration::from_millis(50)));
    let mut memory = 0;
    let pace = within / u32::try_from(reloads).unwrap();
    let mut tick = tokio::time::interval(pace);
    let mut last = String::new();
    for number in 1..=reloads {
        tick.tick().await;
        replace(&file, &text(number));
        let response =
            program.client.post(format!("{}/admin/reload", program.operations)).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let told: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        let version = told["version"].as_str().unwrap().to_owned();
        assert_ne!(version, last, "each reload brings another version");
        last = version;
        if number == reloads / 5 {
            memory = program.memory();
        }
    }
    let answered = send(&program.client, program.address, "one", "anna", json!({})).await;
    assert_eq!(version(&answered), last);
    let after = program.memory();
    end.store(true, Ordering::Relaxed);
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let toll = Toll {
        calls: count(&calls),
        streams: count(&streams),
        refused: count(&refused),
        memory: (memory, after),
    };
    assert!(toll.calls > 0 && toll.streams > 0 && toll.refused > 0, "{toll:?}");
    toll
}

/// How much more memory the program may have at the end than after a fifth of the reloads, in KiB.
const MORE: u64 = 24 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn eighty_reloads_under_load_fail_no_call_refill_no_limit_and_leave_no_memory_behind() {
    let toll = reload_under_load(80, Duration::from_secs(5), 5).await;
    assert!(toll.memory.1 <= toll.memory.0 + MORE, "{toll:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute: cargo xtask test runs it"]
async fn a_thousand_reloads_under_load_fail_no_call_refill_no_limit_and_leave_no_memory_behind() {
    let toll = reload_under_load(1000, Duration::from_secs(60), 20).await;
    assert!(toll.memory.1 <= toll.memory.0 + MORE, "{toll:?}");
}
