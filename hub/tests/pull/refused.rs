//! What the Hub refuses, and what the machine does not allow.

use super::*;

#[tokio::test]
async fn a_gated_repository_names_the_page_and_how_to_give_a_token() {
    let hub = StandIn::start(vec![File::large("a.gguf", bytes(1000))]).await;
    for (status, more, told) in
        [(401, &[][..], "no token was sent"), (403, &[("HF_TOKEN", TOKEN)][..], "does not suffice")]
    {
        hub.faults().answers = [("/resolve/", status, vec![("x-error-code", "GatedRepo".to_owned())])].into();
        let error = pull("hf:o/r/a.gguf", &Folder::new(), &options(&hub, more)).await.unwrap_err();
        assert!(matches!(error, PullError::Denied { .. }) && !error.is_usage(), "{error}");
        let text = error.to_string();
        for part in [told, &format!("{}/o/r", hub.endpoint()), "HF_TOKEN", "/nonexistent/token"] {
            assert!(text.contains(part), "{part} is missing: {text}");
        }
        assert!(!text.contains(TOKEN), "{text}");
    }
}

#[tokio::test]
async fn what_the_hub_does_not_have_is_told_with_names_near_it() {
    let hub = StandIn::start(vec![File::large("model-q8.gguf", bytes(1000))]).await;
    for (text, parts) in [
        ("hf:o/other-modle", ["repository `o/other-modle`", "private", "o/other-model"]),
        ("hf:o/r@v1.2", ["revision `v1.2` of `o/r`", "near it: ", "v1.1"]),
        ("hf:o/r/model-q9.gguf", ["file `model-q9.gguf` in `o/r`", "near it: ", "model-q8.gguf"]),
    ] {
        let error = pull(text, &Folder::new(), &options(&hub, &[])).await.unwrap_err();
        assert!(matches!(error, PullError::Missing { .. }), "{error}");
        for part in parts {
            assert!(error.to_string().contains(part), "{part} is missing: {error}");
        }
    }
}

#[tokio::test]
async fn offline_the_cache_is_used_and_nobody_is_asked() {
    let hub = StandIn::start(vec![File::large("a.gguf", bytes(1000))]).await;
    let folder = Folder::new();
    let offline = options(&hub, &[("HF_HUB_OFFLINE", "1")]);
    let error = pull("hf:o/r/a.gguf", &folder, &offline).await.unwrap_err();
    assert!(error.to_string().contains("HF_HUB_OFFLINE"), "{error}");
    assert!(hub.seen().is_empty());
    let path = pull("hf:o/r/a.gguf", &folder, &options(&hub, &[])).await.unwrap();
    let asked = hub.seen().len();
    assert_eq!(pull("hf:o/r/a.gguf", &folder, &offline).await.unwrap(), path);
    assert_eq!(hub.seen().len(), asked);
}

#[tokio::test]
async fn a_disk_without_room_is_told_before_anything_is_fetched() {
    let hub = StandIn::start(vec![File::large("a.gguf", bytes(1000))]).await;
    hub.faults().size = Some(u64::MAX.to_string());
    let error = pull("hf:o/r/a.gguf", &Folder::new(), &options(&hub, &[])).await.unwrap_err();
    assert!(matches!(error, PullError::NoRoom { needed: u64::MAX, .. }), "{error}");
    assert!(hub.at_cdn().is_empty());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_disk_that_becomes_full_is_told_and_what_came_is_kept() {
    let file = File::large("a.gguf", bytes(1000));
    let hub = StandIn::start(vec![file.clone()]).await;
    let folder = Folder::new();
    std::fs::create_dir_all(folder.repository().join("blobs")).unwrap();
    // Each write to this device fails as on a full disk.
    std::os::unix::fs::symlink("/dev/full", folder.incomplete(&file)).unwrap();
    let error = pull("hf:o/r/a.gguf", &folder, &options(&hub, &[])).await.unwrap_err();
    assert!(matches!(&error, PullError::Full(path) if *path == folder.incomplete(&file)), "{error}");
    assert!(error.to_string().contains("make room and pull again"), "{error}");
    assert!(folder.incomplete(&file).symlink_metadata().is_ok());
}

#[tokio::test]
async fn a_hub_that_cannot_be_reached_is_told() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let error = pull("hf:o/r/a.gguf", &Folder::new(), &options_for(&endpoint, &[])).await.unwrap_err();
    assert!(matches!(&error, PullError::Network(text) if text.contains("cannot reach 127.0.0.1")), "{error}");
}

#[tokio::test]
async fn a_cache_that_cannot_be_written_is_told() {
    let hub = StandIn::start(vec![File::large("a.gguf", bytes(1000))]).await;
    let folder = Folder::new();
    std::fs::write(folder.0.join("hub"), "a file where the folder should be").unwrap();
    let error = pull("hf:o/r/a.gguf", &folder, &options(&hub, &[])).await.unwrap_err();
    assert!(matches!(&error, PullError::Disk(text) if text.contains("cannot write")), "{error}");
}
