//! Finding, listing and removing what is in the cache.

use aigate_hub::{Kind, Removed};

use super::*;

async fn two_models() -> (StandIn, Folder) {
    let files = vec![
        File::large("a.gguf", bytes(1000)),
        File::large("sub/b.gguf", bytes(2000)),
        File::large("model.safetensors", bytes(3000)),
        File::small("config.json", b"{}"),
    ];
    let (hub, folder) = (StandIn::start(files).await, Folder::new());
    for file in ["a.gguf", "sub/b.gguf", "model.safetensors", "config.json"] {
        pull(&format!("hf:o/r/{file}"), &folder, &options(&hub, &[])).await.unwrap();
    }
    (hub, folder)
}

#[tokio::test]
async fn the_list_has_each_gguf_file_and_the_encoder_as_one() {
    let (_, folder) = two_models().await;
    std::fs::create_dir_all(folder.0.join("hub/datasets--x--y/snapshots")).unwrap();
    let list = folder.cache().list().unwrap();
    let rows: Vec<_> = list.iter().map(|entry| (entry.file.as_deref(), entry.kind, entry.size)).collect();
    let expected = [
        (Some("a.gguf"), Kind::Gguf, 1000),
        (Some("sub/b.gguf"), Kind::Gguf, 2000),
        (None, Kind::Encoder, 3002),
    ];
    assert_eq!(rows, expected);
    assert!(
        list.iter()
            .all(|entry| entry.repository == "o/r" && entry.revisions == ["main"] && entry.commit == COMMIT)
    );
    assert!(list.iter().all(|entry| entry.written.is_some() && entry.path.exists()));
    assert!(Cache::at("/nonexistent").list().unwrap().is_empty());
}

#[tokio::test]
async fn a_revision_is_found_by_its_name_and_by_its_commit() {
    let (hub, folder) = two_models().await;
    let find = |text: &str| folder.cache().find(&reference(text)).unwrap();
    assert!(find(&format!("hf:o/r@{COMMIT}/a.gguf")).is_some());
    assert_eq!(find("hf:o/r@v1/a.gguf"), None);
    pull("hf:o/r@v1/a.gguf", &folder, &options(&hub, &[])).await.unwrap();
    assert!(find("hf:o/r@v1/a.gguf").is_some());
    assert_eq!(find("hf:o/r/none.gguf"), None);
    assert_eq!(find("hf:o/none"), None);
    let held = folder.cache().held(&reference("hf:o/r/a.gguf")).unwrap().unwrap();
    assert_eq!(
        (held.size, held.sha256, held.commit),
        (1000, Some(File::large("", bytes(1000)).etag), COMMIT.to_owned())
    );
    assert_eq!(held.file.as_deref(), Some("a.gguf"));
    let error = folder.cache().find(&reference("hf:o/r")).unwrap_err();
    assert!(error.contains("a.gguf, sub/b.gguf"), "{error}");
}

#[tokio::test]
async fn a_removed_file_frees_its_bytes_and_leaves_the_others() {
    let (_, folder) = two_models().await;
    let cache = folder.cache();
    let another = folder.repository().join("blobs/partial.incomplete");
    std::fs::write(&another, "another tool is at it").unwrap();
    let removed = cache.remove(&reference("hf:o/r/sub/b.gguf")).unwrap();
    assert_eq!(removed, Removed { files: 1, freed: 2000, shared: 0 });
    assert!(!folder.repository().join(format!("snapshots/{COMMIT}/sub")).exists());
    assert!(cache.find(&reference("hf:o/r/a.gguf")).unwrap().is_some() && another.exists());
    std::fs::remove_file(another).unwrap();
    assert_eq!(cache.remove(&reference("hf:o/r/sub/b.gguf")).unwrap(), Removed::default());
    assert_eq!(cache.remove(&reference("hf:o/r")).unwrap(), Removed { files: 3, freed: 4002, shared: 0 });
    assert!(!folder.repository().exists() && cache.list().unwrap().is_empty());
}

#[tokio::test]
async fn contents_that_another_snapshot_uses_stay() {
    let (_, folder) = two_models().await;
    let other = folder.repository().join(format!("snapshots/{}", "f".repeat(40)));
    std::fs::create_dir_all(&other).unwrap();
    let blob = File::large("", bytes(1000)).etag;
    std::os::unix::fs::symlink(format!("../../blobs/{blob}"), other.join("a.gguf")).unwrap();
    let removed = folder.cache().remove(&reference("hf:o/r@main")).unwrap();
    assert_eq!(removed, Removed { files: 4, freed: 5002, shared: 0 });
    assert_eq!(read(&other.join("a.gguf")), bytes(1000));
    assert!(!folder.repository().join("refs/main").exists());
}

#[tokio::test]
async fn nothing_is_removed_while_a_pull_is_under_way() {
    let hub = StandIn::start(vec![File::large("a.gguf", bytes(1000))]).await;
    hub.faults().stalls = true;
    let folder = Folder::new();
    let options = options(&hub, &[]);
    let cache = folder.cache();
    let mut pulling = std::pin::pin!(pull("hf:o/r/a.gguf", &folder, &options));
    // The lock is held once the content has been asked for.
    while hub.at_cdn().is_empty() {
        let _ = tokio::time::timeout(Duration::from_millis(10), &mut pulling).await;
    }
    let error = cache.remove(&reference("hf:o/r")).unwrap_err();
    assert!(error.contains("`o/r` is being pulled"), "{error}");
}
