//! Broken connections, servers that cannot go on, wrong contents.

use super::*;

#[tokio::test]
async fn a_download_that_is_cut_goes_on_from_where_it_was() {
    for file in [File::large("a.gguf", bytes(300_000)), File::small("a.gguf", &bytes(300_000))] {
        let hub = StandIn::start(vec![file.clone()]).await;
        hub.faults().cuts = [100_000, 50_000].into();
        let folder = Folder::new();
        let path = pull("hf:o/r/a.gguf", &folder, &options(&hub, &[])).await.unwrap();
        assert_eq!(read(&path), file.content);
        let ranges: Vec<Option<String>> = hub.contents().into_iter().map(|seen| seen.range).collect();
        assert_eq!(ranges, [None, Some("bytes=100000-".to_owned()), Some("bytes=150000-".to_owned())]);
    }
}

#[tokio::test]
async fn what_an_earlier_pull_left_is_gone_on_from() {
    let file = File::large("a.gguf", bytes(300_000));
    let hub = StandIn::start(vec![file.clone()]).await;
    hub.faults().cuts = [100_000, 0, 0, 0, 0].into();
    let folder = Folder::new();
    let error = pull("hf:o/r/a.gguf", &folder, &options(&hub, &[])).await.unwrap_err();
    assert!(matches!(&error, PullError::Network(text) if text.contains("5 times in a row")), "{error}");
    assert_eq!(read(&folder.incomplete(&file)), file.content[..100_000]);
    assert_eq!(folder.cache().find(&reference("hf:o/r/a.gguf")).unwrap(), None);

    let path = pull("hf:o/r/a.gguf", &folder, &options(&hub, &[])).await.unwrap();
    assert_eq!(read(&path), file.content);
    assert_eq!(hub.contents().last().unwrap().range.as_deref(), Some("bytes=100000-"));
}

#[tokio::test]
async fn a_server_that_ignores_ranges_begins_anew() {
    let file = File::large("a.gguf", bytes(300_000));
    let hub = StandIn::start(vec![file.clone()]).await;
    hub.faults().cuts = [100_000].into();
    hub.faults().ignores_ranges = true;
    let (folder, notes) = (Folder::new(), Notes::default());
    let path = pull_with("hf:o/r/a.gguf", &folder, &options(&hub, &[]), &notes).await.unwrap();
    assert_eq!(read(&path), file.content);
    assert!(notes.has("begins anew") && notes.has("at 0"), "{:?}", notes.all());
}

#[tokio::test]
async fn a_left_over_that_is_too_long_or_wrong_does_not_spoil_the_file() {
    let file = File::large("a.gguf", bytes(1000));
    let hub = StandIn::start(vec![file.clone()]).await;
    let folder = Folder::new();
    std::fs::create_dir_all(folder.repository().join("blobs")).unwrap();
    std::fs::write(folder.incomplete(&file), bytes(2000)).unwrap();
    let path = pull("hf:o/r/a.gguf", &folder, &options(&hub, &[])).await.unwrap();
    assert_eq!(read(&path), file.content);

    let folder = Folder::new();
    std::fs::create_dir_all(folder.repository().join("blobs")).unwrap();
    std::fs::write(folder.incomplete(&file), [0; 500]).unwrap();
    let error = pull("hf:o/r/a.gguf", &folder, &options(&hub, &[])).await.unwrap_err();
    assert!(matches!(error, PullError::Checksum { .. }), "{error}");
    assert!(!folder.incomplete(&file).exists());
    pull("hf:o/r/a.gguf", &folder, &options(&hub, &[])).await.unwrap();
}

#[tokio::test]
async fn a_wrong_checksum_removes_the_file_and_is_told() {
    for file in [File::large("a.gguf", bytes(1000)), File::small("a.gguf", &bytes(1000))] {
        let wrong = File { content: bytes(1001)[1..].to_vec(), ..file.clone() };
        let hub = StandIn::start(vec![wrong]).await;
        let folder = Folder::new();
        let error = pull("hf:o/r/a.gguf", &folder, &options(&hub, &[])).await.unwrap_err();
        assert!(matches!(&error, PullError::Checksum { expected, .. } if *expected == file.etag), "{error}");
        assert!(error.to_string().contains("it was removed"), "{error}");
        assert!(!folder.incomplete(&file).exists() && !folder.repository().join("snapshots").exists());
    }
}

#[tokio::test]
async fn a_blob_of_the_wrong_length_is_fetched_anew() {
    let file = File::large("a.gguf", bytes(1000));
    let hub = StandIn::start(vec![file.clone()]).await;
    let (folder, notes) = (Folder::new(), Notes::default());
    std::fs::create_dir_all(folder.repository().join("blobs")).unwrap();
    std::fs::write(folder.repository().join("blobs").join(&file.etag), bytes(10)).unwrap();
    let path = pull_with("hf:o/r/a.gguf", &folder, &options(&hub, &[]), &notes).await.unwrap();
    assert_eq!(read(&path), file.content);
    assert!(notes.has("has 10 bytes and should have 1000"), "{:?}", notes.all());
}

#[tokio::test]
async fn too_many_calls_are_waited_out_as_long_as_the_hub_says() {
    let hub = StandIn::start(vec![File::large("a.gguf", bytes(1000))]).await;
    let after = |wait: &str| vec![("retry-after", wait.to_owned())];
    hub.faults().answers = [
        ("/api/", 429, after("0")),
        ("/api/", 503, vec![]),
        ("/resolve/", 429, after("Wed, 21 Oct 2015 07:28:00 GMT")),
        ("/resolve/", 502, vec![]),
    ]
    .into();
    let folder = Folder::new();
    pull("hf:o/r/a.gguf", &folder, &options(&hub, &[])).await.unwrap();
    assert!(hub.faults().answers.is_empty());

    hub.faults().answers = [("/api/", 429, after("3600"))].into();
    let error = pull("hf:o/r/a.gguf", &folder, &options(&hub, &[])).await.unwrap_err();
    assert!(error.to_string().contains("wait for 3600 s"), "{error}");

    hub.faults().answers = (0..9).map(|_| ("/api/", 500, vec![])).collect();
    let error = pull("hf:o/r/a.gguf", &folder, &options(&hub, &[])).await.unwrap_err();
    assert!(error.to_string().contains("500") && hub.faults().answers.len() == 4, "{error}");
}

#[tokio::test]
async fn a_server_that_falls_silent_is_given_up() {
    let hub = StandIn::start(vec![File::large("a.gguf", bytes(1000))]).await;
    hub.faults().stalls = true;
    let mut options = options(&hub, &[]);
    (options.stall_timeout, options.attempts) = (Duration::from_millis(300), 2);
    let error = pull("hf:o/r/a.gguf", &Folder::new(), &options).await.unwrap_err();
    assert!(matches!(&error, PullError::Network(text) if text.contains("no answer in time")), "{error}");
    assert_eq!(hub.at_cdn().len(), 2);
}
