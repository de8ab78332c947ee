//! A Hub that means harm.

use super::*;

#[tokio::test]
async fn names_that_lead_out_of_the_cache_are_refused() {
    let models =
        ["../../evil.gguf", "/tmp/evil.gguf", "a/../../b.gguf", "a\\b.gguf", "a\u{0}b.gguf", "c:evil.gguf"];
    let encoders = ["a\\b.json", "a\nb.json", "1_a\\../config.json"];
    for name in models.into_iter().chain(encoders) {
        let hub = StandIn::start(vec![]).await;
        let others = ["config.json", "model.safetensors"].map(str::to_owned);
        hub.faults().names = vec![name.to_owned()];
        if !name.ends_with(".gguf") {
            hub.faults().names.extend(others);
        }
        let folder = Folder::new();
        let error = pull("hf:o/r", &folder, &options(&hub, &[])).await.unwrap_err();
        assert!(
            matches!(&error, PullError::Answer(text) if text.contains("the file name")),
            "{name}: {error}"
        );
        assert!(!folder.repository().exists());
        assert!(hub.seen().iter().all(|seen| !seen.path.contains("/resolve/")), "{name}");
    }
}

#[tokio::test]
async fn commits_and_checksums_that_are_none_are_refused() {
    let mut file = File::small("a.gguf", b"x");
    let hub = StandIn::start(vec![file.clone()]).await;
    for commit in ["../../../x", "main", "0123456789ABCDEF0123456789abcdef01234567"] {
        hub.faults().commit = Some(commit.to_owned());
        let error = pull("hf:o/r/a.gguf", &Folder::new(), &options(&hub, &[])).await.unwrap_err();
        assert!(matches!(&error, PullError::Answer(text) if text.contains("commit")), "{error}");
    }
    for etag in ["../../../x", "abc", &"g".repeat(64)] {
        file.etag = etag.to_owned();
        let hub = StandIn::start(vec![file.clone()]).await;
        let error = pull("hf:o/r/a.gguf", &Folder::new(), &options(&hub, &[])).await.unwrap_err();
        assert!(matches!(&error, PullError::Answer(text) if text.contains("etag")), "{error}");
    }
}

#[tokio::test]
async fn sizes_that_are_none_or_too_small_are_refused() {
    let file = File::large("a.gguf", bytes(1000));
    let hub = StandIn::start(vec![file.clone()]).await;
    for size in ["-1", "1e9", "99999999999999999999999"] {
        hub.faults().size = Some(size.to_owned());
        let error = pull("hf:o/r/a.gguf", &Folder::new(), &options(&hub, &[])).await.unwrap_err();
        assert!(matches!(&error, PullError::Answer(text) if text.contains("size")), "{error}");
    }
    hub.faults().size = Some("10".to_owned());
    let folder = Folder::new();
    let error = pull("hf:o/r/a.gguf", &folder, &options(&hub, &[])).await.unwrap_err();
    assert!(
        matches!(&error, PullError::Answer(text) if text.contains("longer than the 10 bytes")),
        "{error}"
    );
    assert!(std::fs::metadata(folder.incomplete(&file)).unwrap().len() <= 10);
}

#[tokio::test]
async fn redirects_to_elsewhere_than_the_web_or_in_a_circle_are_refused() {
    let hub = StandIn::start(vec![File::large("a.gguf", bytes(1000))]).await;
    let to = |location: &str| ("/resolve/", 302, vec![("location", location.to_owned())]);
    hub.faults().answers = [to("file:///etc/passwd")].into();
    let error = pull("hf:o/r/a.gguf", &Folder::new(), &options(&hub, &[])).await.unwrap_err();
    assert!(error.to_string().contains("none to follow"), "{error}");
    let here = format!("/o/r/resolve/{COMMIT}/a.gguf");
    hub.faults().answers = (0..11).map(|_| to(&here)).collect();
    let error = pull("hf:o/r/a.gguf", &Folder::new(), &options(&hub, &[])).await.unwrap_err();
    assert!(error.to_string().contains("more than 10 redirects"), "{error}");
    // A few within the hub are its way, and the token goes along.
    hub.faults().answers = [to(&here), to(&here)].into();
    let before = hub.seen().len();
    pull("hf:o/r/a.gguf", &Folder::new(), &options(&hub, &[("HF_TOKEN", TOKEN)])).await.unwrap();
    assert!(hub.seen()[before..].iter().all(|seen| seen.token));
}

#[tokio::test]
async fn a_mirror_may_send_on_to_the_hub_but_the_token_stays_with_the_mirror() {
    let real = StandIn::start(vec![File::small("a.gguf", &bytes(1000))]).await;
    let mirror = StandIn::start(vec![File::small("a.gguf", &bytes(1000))]).await;
    let there = format!("{}/o/r/resolve/{COMMIT}/a.gguf", real.endpoint());
    mirror.faults().answers = (0..2).map(|_| ("/resolve/", 308, vec![("location", there.clone())])).collect();
    let path = pull("hf:o/r", &Folder::new(), &options(&mirror, &[("HF_TOKEN", TOKEN)])).await.unwrap();
    assert!(path.ends_with("a.gguf"));
    assert_eq!(real.seen().len(), 2);
    assert!(real.seen().iter().all(|seen| !seen.token) && mirror.seen().iter().all(|seen| seen.token));
}

#[tokio::test]
async fn another_checksum_when_the_content_comes_is_refused() {
    let hub = StandIn::start(vec![File::large("a.gguf", bytes(1000))]).await;
    let other =
        vec![("x-linked-etag", format!("\"{}\"", "0".repeat(64))), ("x-repo-commit", COMMIT.to_owned())];
    let head = vec![("x-linked-etag", format!("\"{}\"", "1".repeat(64))), ("x-linked-size", "5".to_owned())];
    hub.faults().answers = [("/resolve/", 200, head), ("/resolve/", 200, other)].into();
    let error = pull("hf:o/r/a.gguf", &Folder::new(), &options(&hub, &[])).await.unwrap_err();
    assert!(matches!(&error, PullError::Answer(text) if text.contains("and then")), "{error}");
}
