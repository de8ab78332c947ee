//! Reloads of the program as it is run: signals, watched files, its log, and many reloads under load.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use aigate_sim::{CloudKind, Options, start};
use serde_json::{Value, json};

use tokio::time::{Instant, sleep};

use crate::{
    harness::{
        Program, client, key, metrics,
        program::{aigate, serve},
    },
    reload::{cloud, model, provider, send, version},
};

/// The next line that tells of a reload, with the words `what`.
fn reloaded(program: &Program, what: &str) -> Value {
    program.line(|line| {
        line["message"] == "the configuration was read again"
            && line["changes"].as_str().is_some_and(|changes| changes.contains(what))
    })
}

/// The status of a call.
async fn status(program: &Program, model: &str) -> u16 {
    send(&client(), program.address, model, "", json!({})).await.status().as_u16()
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
    let program = Program::serve(&file);
    assert_eq!(status(&program, "one").await, 200);

    fs::write(&file, text.clone() + &model("two", "")).unwrap();
    let line = reloaded(&program, "models.two: new model");
    assert_eq!((&line["why"], &line["level"]), (&json!("a file changed"), &json!("INFO")), "{line}");
    assert_eq!(status(&program, "two").await, 200);

    replace(&file, &(text.clone() + &model("three", "")));
    let line = reloaded(&program, "models.three: new model");
    assert!(line["changes"].as_str().unwrap().contains("models.two: removed"), "{line}");
    assert_eq!((status(&program, "three").await, status(&program, "two").await), (200, 404));

    fs::write(&file, text.clone() + "[models.three]\ntask = \"chess\"\n").unwrap();
    let line = program.line(|line| line["level"] == "ERROR");
    assert!(line["faults"].as_str().unwrap().contains("models.three.task"), "{line}");
    assert_eq!(status(&program, "three").await, 200);

    fs::remove_file(&file).unwrap();
    program.line(|line| line["message"].as_str().is_some_and(|text| text.contains("is not there")));
    program.signal("-HUP");
    let line = program.line(|line| line["level"] == "ERROR");
    assert!(line["why"] == "SIGHUP" && line["faults"].as_str().unwrap().contains("cannot read"), "{line}");
    assert_eq!(status(&program, "three").await, 200);

    fs::write(&file, &text).unwrap();
    reloaded(&program, "models.three: removed");
    program.signal("-HUP");
    let line = reloaded(&program, "none");
    assert_eq!(line["why"], "SIGHUP");
    assert_eq!((status(&program, "one").await, status(&program, "three").await), (200, 404));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_comes_back_as_it_was_heals_what_its_absence_broke() {
    let cloud = cloud().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("aigate.toml");
    let text = LISTEN.to_owned() + &provider("sim", &cloud) + &model("one", "");
    fs::write(&file, &text).unwrap();
    let program = Program::serve(&file);
    fs::remove_file(&file).unwrap();
    program.line(|line| line["message"].as_str().is_some_and(|text| text.contains("is not there")));
    program.signal("-HUP");
    program.line(|line| line["level"] == "ERROR");
    fs::write(&file, &text).unwrap();
    reloaded(&program, "none");
    let text = metrics::fetch(&client(), program.operations).await;
    assert_eq!(metrics::value(&text, "aigate_config_faulty"), Some(0.0), "{text}");
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
    let program = Program::serve(&file);
    for number in 2..5 {
        let name = format!("new{number}");
        publish(folder.path(), &format!("..2026_{number}"), &(text.clone() + &model(&name, "")));
        reloaded(&program, &format!("models.{name}: new model"));
    }
    assert_ne!(status(&program, "one").await, 200);
    replace(&secret, "second");
    let line = reloaded(&program, "providers.sim");
    assert_eq!(line["why"], "a file changed");
    assert!(!line.to_string().contains("second"), "{line}");
    assert_eq!(status(&program, "one").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_win_over_the_file_at_each_reload() {
    // A variable is a text: what looks like a number is one only where a number is wanted.
    let credentials = aigate_sim::Credentials { api_key: "12345".to_owned(), ..Default::default() };
    let cloud = start(CloudKind::OpenAi, Options { credentials, ..Options::default() }).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("aigate.toml");
    let text =
        LISTEN.to_owned() + &provider("sim", &cloud).replace("simulated-key", "wrong") + &model("one", "");
    fs::write(&file, &text).unwrap();
    let program = Program::start({
        let mut command = serve(&file);
        command.envs([
            ("AIGATE__PROVIDERS__SIM__API_KEY", "12345"),
            ("AIGATE__RELOAD__WATCH", "false"),
            ("AIGATE__LOG__CALLS", "false"),
            ("AIGATE__SERVER__MAX_BODY_BYTES", "2048"),
        ]);
        command
    });
    let too_long = async || {
        let messages = json!([{ "role": "user", "content": "x".repeat(4096) }]);
        let more = json!({ "messages": messages });
        send(&client(), program.address, "one", "", more).await.status().as_u16()
    };
    assert_eq!((status(&program, "one").await, too_long().await), (200, 413));
    fs::write(&file, text.replace("wrong", "wrong-too") + &model("two", "")).unwrap();
    // It does not watch: a watch would have seen it in a fraction of this.
    sleep(Duration::from_millis(1_500)).await;
    let told = metrics::fetch(&client(), program.operations).await;
    for never in ["aigate_reloads_total", "aigate_reloads_refused_total"] {
        assert_eq!(metrics::value(&told, never), Some(0.0), "{told}");
    }
    // Only the signal makes it read.
    program.signal("-HUP");
    let line = reloaded(&program, "models.two");
    assert_eq!((&line["changes"], &line["why"]), (&json!("models.two: new model"), &json!("SIGHUP")));
    assert_eq!((status(&program, "one").await, status(&program, "two").await), (200, 200));
    assert_eq!(too_long().await, 413);
    let log = program.end();
    assert!(!log.iter().any(|line| line.contains("\"message\":\"call\"")), "{log:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_right_after_the_start_is_no_end() {
    let cloud = cloud().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("aigate.toml");
    fs::write(&file, LISTEN.to_owned() + &provider("sim", &cloud) + &model("one", "")).unwrap();
    for _ in 0..5 {
        let program = Program::serve(&file);
        program.signal("-HUP");
        reloaded(&program, "none");
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
        let output = aigate(&["diff"]).args([old, new]).output().unwrap();
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
    took: Duration,
    /// KiB after a fifth of the reloads, and after all.
    memory: (u64, u64),
}

/// How often each caller makes a call.
const PACE: Duration = Duration::from_millis(42);

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
    let program = Program::serve(&file);
    let client = client();
    for _ in 0..5 {
        assert_eq!(send(&client, program.address, "one", "scarce", json!({})).await.status(), 200);
    }
    let (calls, streams, refused) =
        (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let end = Arc::new(AtomicBool::new(false));
    let mut tasks = tokio::task::JoinSet::new();
    let address = program.address;
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
        tasks.spawn(task("call", PACE));
    }
    for _ in 0..4 {
        tasks.spawn(task("stream", Duration::from_millis(10)));
    }
    tasks.spawn(task("refused", Duration::from_millis(50)));
    let (mut memory, begun) = (0, Instant::now());
    let pace = within / u32::try_from(reloads).unwrap();
    let mut tick = tokio::time::interval(pace);
    let mut last = String::new();
    for number in 1..=reloads {
        tick.tick().await;
        replace(&file, &text(number));
        let response =
            client.post(format!("http://{}/admin/reload", program.operations)).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let told: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        let version = told["version"].as_str().unwrap().to_owned();
        assert_ne!(version, last, "each reload brings another version");
        last = version;
        if number == reloads / 5 {
            memory = program.memory();
        }
    }
    let answered = send(&client, address, "one", "anna", json!({})).await;
    assert_eq!(version(&answered), last);
    let (after, took) = (program.memory(), begun.elapsed());
    end.store(true, Ordering::Relaxed);
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let toll = Toll {
        calls: count(&calls),
        streams: count(&streams),
        refused: count(&refused),
        took,
        memory: (memory, after),
    };
    let about = within.mul_f64(0.95)..=within.mul_f64(1.1);
    assert!(about.contains(&toll.took), "{toll:?}");
    assert!(toll.calls > 0 && toll.streams > 0 && toll.refused > 0, "{toll:?}");
    assert!(toll.memory.1 <= toll.memory.0 + MORE, "{toll:?}");
    toll
}

/// How much more memory the program may have at the end than after a fifth of the reloads, in KiB.
const MORE: u64 = 24 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn eighty_reloads_under_load_fail_no_call_refill_no_limit_and_leave_no_memory_behind() {
    let toll = reload_under_load(80, Duration::from_secs(5), 5).await;
    // Nine tenths of what is offered.
    assert!(toll.calls >= 535, "{toll:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute: cargo xtask test runs it"]
async fn a_thousand_reloads_under_load_fail_no_call_refill_no_limit_and_leave_no_memory_behind() {
    let toll = reload_under_load(1000, Duration::from_secs(60), 20).await;
    // Of 28,571.
    assert!(toll.calls >= 28_000, "{toll:?}");
}
