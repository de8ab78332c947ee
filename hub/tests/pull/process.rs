//! Several at once, in tasks and in processes, and a process that is killed.

use std::process::{Child, Command, Stdio};

use super::*;

/// What a child process runs: a pull into the folder that its environment names. The other tests here start it in processes of
/// its own; without their environment there is nothing to pull.
#[tokio::test]
async fn child() {
    let Ok(wanted) = std::env::var("PULL") else { return };
    let cache = Cache::from_environment().unwrap();
    let options = Options::from_environment().unwrap();
    aigate_hub::pull(&reference(&wanted), &cache, &options, &Notes::default()).await.unwrap();
}

fn start(hub: &StandIn, folder: &Folder, more: &[(&str, &str)]) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "process::child"]);
    command
        .env("PULL", "hf:o/r/a.gguf")
        .env("HF_ENDPOINT", hub.endpoint())
        .env("HF_TOKEN_PATH", "/nonexistent/token");
    command
        .env("HF_HUB_CACHE", folder.cache().root())
        .env("NO_PROXY", "127.0.0.1")
        .envs(more.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

async fn ended(child: Child) -> bool {
    let mut child = child;
    tokio::task::spawn_blocking(move || child.wait().unwrap().success()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_tasks_at_once_one_fetches_and_the_other_waits_and_says_so() {
    let file = File::large("a.gguf", bytes(1000));
    let hub = StandIn::start(vec![file.clone()]).await;
    hub.faults().stalls = true;
    let (folder, options) = (Folder::new(), options(&hub, &[]));
    let notes = [Notes::default(), Notes::default()];
    let waits = || notes.iter().filter(|notes| notes.has("waiting for it")).count();
    let release = async {
        while waits() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        hub.faults().stalls = false;
    };
    let (a, b, ()) = tokio::join!(
        pull_with("hf:o/r/a.gguf", &folder, &options, &notes[0]),
        pull_with("hf:o/r/a.gguf", &folder, &options, &notes[1]),
        release,
    );
    assert_eq!(read(&a.unwrap()), read(&b.unwrap()));
    assert_eq!(hub.at_cdn().len(), 1);
    assert_eq!(waits(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_at_once_one_fetches() {
    let file = File::large("a.gguf", bytes(1000));
    let hub = StandIn::start(vec![file.clone()]).await;
    hub.faults().stalls = true;
    let folder = Folder::new();
    let (mut a, mut b) = (start(&hub, &folder, &[]), start(&hub, &folder, &[]));
    let heads = || hub.seen().iter().filter(|seen| seen.method == "HEAD").count();
    while heads() < 2 || hub.at_cdn().is_empty() {
        assert!(a.try_wait().unwrap().or(b.try_wait().unwrap()).is_none(), "both are held up");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    hub.faults().stalls = false;
    assert!(ended(a).await && ended(b).await);
    assert_eq!(hub.at_cdn().len(), 1);
    let path = folder.cache().find(&reference("hf:o/r/a.gguf")).unwrap().unwrap();
    assert_eq!(read(&path), file.content);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_process_was_killed_the_next_goes_on_from_what_it_left() {
    let file = File::large("a.gguf", bytes(300_000));
    let hub = StandIn::start(vec![file.clone()]).await;
    // The connection breaks after a third; the answer to the next call never comes.
    hub.faults().cuts = [100_000].into();
    let folder = Folder::new();
    let mut child = start(&hub, &folder, &[]);
    while hub.at_cdn().is_empty() {
        assert!(child.try_wait().unwrap().is_none(), "it is under way");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    hub.faults().stalls = true;
    while std::fs::metadata(folder.incomplete(&file)).map_or(0, |data| data.len()) < 100_000 {
        assert!(child.try_wait().unwrap().is_none(), "it is held up by the server");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(folder.cache().find(&reference("hf:o/r/a.gguf")).unwrap(), None);
    hub.faults().stalls = false;
    assert!(ended(start(&hub, &folder, &[])).await, "the lock of the killed process is gone with it");
    assert_eq!(hub.at_cdn().last().unwrap().range.as_deref(), Some("bytes=100000-"));
    assert_eq!(read(&folder.cache().find(&reference("hf:o/r/a.gguf")).unwrap().unwrap()), file.content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_used_and_left_out_where_the_environment_says_so() {
    let hub = StandIn::start(vec![File::large("a.gguf", bytes(1000))]).await;
    let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let more = [("HTTP_PROXY", &*address), ("http_proxy", &*address), ("NO_PROXY", ""), ("no_proxy", "")];
    let mut child = start(&hub, &Folder::new(), &more);
    let (mut stream, _) = proxy.accept().await.unwrap();
    let mut line = vec![0; 11];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut line).await.unwrap();
    assert_eq!(line, b"GET http://", "the whole address, as one asks a proxy");
    child.kill().unwrap();
    child.wait().unwrap();
    let more = [("HTTP_PROXY", &*address), ("NO_PROXY", "127.0.0.1"), ("no_proxy", "127.0.0.1")];
    assert!(ended(start(&hub, &Folder::new(), &more)).await);
}
