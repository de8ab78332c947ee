//! Real files, changed in the ways that editors and Kubernetes change them.

use std::{os::unix::fs::symlink, sync::mpsc::RecvTimeoutError};

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;

const SOON: Duration = Duration::from_secs(20);
/// Longer than a change takes to be told.
const NEVER: Duration = Duration::from_millis(600);

/// A folder with a file, and who watches it.
struct Scene {
    folder: TempDir,
    file: PathBuf,
    told: mpsc::Receiver<()>,
    watch: Watch,
}

impl Scene {
    fn of(make: impl FnOnce(&Path) -> PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = make(folder.path());
        let (changed, told) = mpsc::channel(1);
        let watch = Watch::start(Seen::of([file.clone()]), changed).unwrap();
        Self { folder, file, told, watch }
    }

    fn plain() -> Self {
        Self::of(|folder| {
            let file = folder.join("aigate.toml");
            fs::write(&file, "one").unwrap();
            file
        })
    }

    async fn is_told(&mut self) {
        timeout(SOON, self.told.recv()).await.expect("a change was not seen").unwrap();
    }

    async fn is_not_told(&mut self) {
        assert!(timeout(NEVER, self.told.recv()).await.is_err(), "told of a change that is none");
    }
}

/// Writes beside the file and renames over it, as vim does.
fn replace(file: &Path, content: &str) {
    let beside = file.with_extension("tmp");
    fs::write(&beside, content).unwrap();
    fs::rename(&beside, file).unwrap();
}

/// A volume of Kubernetes: the file is a link to `..data/aigate.toml`, `..data` one to a folder for each version.
fn volume(folder: &Path) -> PathBuf {
    publish(folder, "..2024_1", "one");
    let file = folder.join("aigate.toml");
    symlink("..data/aigate.toml", &file).unwrap();
    file
}

fn publish(folder: &Path, version: &str, content: &str) {
    fs::create_dir(folder.join(version)).unwrap();
    fs::write(folder.join(version).join("aigate.toml"), content).unwrap();
    let before = fs::read_link(folder.join("..data")).ok();
    symlink(version, folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    if let Some(before) = before {
        fs::remove_dir_all(folder.join(before)).unwrap();
    }
}

#[tokio::test]
async fn plain_writes_are_told() {
    let mut scene = Scene::plain();
    for content in ["two", "three", "four"] {
        fs::write(&scene.file, content).unwrap();
        scene.is_told().await;
    }
}

#[tokio::test]
async fn renames_over_the_file_are_told() {
    let mut scene = Scene::plain();
    for content in ["two", "three", "four"] {
        replace(&scene.file, content);
        scene.is_told().await;
    }
}

#[tokio::test]
async fn swapped_links_of_a_volume_are_told() {
    let mut scene = Scene::of(volume);
    for (version, content) in [("..2024_2", "two"), ("..2024_3", "three"), ("..2024_4", "four")] {
        publish(scene.folder.path(), version, content);
        scene.is_told().await;
    }
    publish(scene.folder.path(), "..2024_5", "four");
    scene.is_not_told().await;
}

#[tokio::test]
async fn a_vanished_file_is_not_told_and_one_made_anew_is_if_it_differs() {
    let mut scene = Scene::plain();
    fs::remove_file(&scene.file).unwrap();
    scene.is_not_told().await;
    fs::write(&scene.file, "one").unwrap();
    scene.is_not_told().await;
    fs::remove_file(&scene.file).unwrap();
    scene.is_not_told().await;
    fs::write(&scene.file, "two").unwrap();
    scene.is_told().await;
}

#[tokio::test]
async fn a_folder_removed_and_made_anew_is_watched_again() {
    let mut scene = Scene::of(|folder| {
        fs::create_dir_all(folder.join("etc/aigate")).unwrap();
        fs::write(folder.join("etc/aigate/aigate.toml"), "one").unwrap();
        folder.join("etc/aigate/aigate.toml")
    });
    let etc = scene.folder.path().join("etc");
    for content in ["two", "three", "four"] {
        fs::remove_dir_all(&etc).unwrap();
        fs::create_dir_all(etc.join("aigate")).unwrap();
        fs::write(&scene.file, content).unwrap();
        scene.is_told().await;
    }
    fs::write(&scene.file, "five").unwrap();
    scene.is_told().await;
}

#[tokio::test]
async fn a_touch_an_empty_file_and_other_files_are_not_told() {
    let mut scene = Scene::plain();
    fs::File::open(&scene.file).unwrap().set_modified(std::time::SystemTime::now() + SOON).unwrap();
    fs::write(scene.folder.path().join("other.toml"), "two").unwrap();
    scene.is_not_told().await;
    fs::write(&scene.file, "").unwrap();
    scene.is_not_told().await;
    fs::write(&scene.file, "one").unwrap();
    scene.is_not_told().await;
}

#[tokio::test]
async fn a_burst_of_writes_is_told_a_few_times_and_the_last_one_is_among_them() {
    let mut scene = Scene::plain();
    let start = Instant::now();
    for content in 0..200 {
        fs::write(&scene.file, content.to_string()).unwrap();
    }
    let mut times = 0;
    while timeout(NEVER, scene.told.recv()).await.is_ok() {
        times += 1;
    }
    // Two changes are told no sooner after one another than a file needs to settle.
    let most = 1 + start.elapsed().as_millis() / SETTLE.as_millis();
    assert!((1..=most).contains(&times), "told {times} times");
    fs::write(&scene.file, "199").unwrap();
    scene.is_not_told().await;
}

#[tokio::test]
async fn a_change_between_the_load_and_the_watch_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (early, late) = (folder.path().join("aigate.toml"), folder.path().join("secret"));
    fs::write(&early, "one").unwrap();
    let mut seen = Seen::of([early.clone(), late.clone()]);
    fs::write(&late, "it came").unwrap();
    seen.add(late); // seen already: the earlier look counts
    let (changed, mut told) = mpsc::channel(1);
    let _watch = Watch::start(seen, changed).unwrap();
    timeout(SOON, told.recv()).await.expect("a change was not seen").unwrap();
}

#[tokio::test]
async fn a_change_is_told_once_a_watch_and_never_after_its_end() {
    let Scene { file, mut told, watch, folder: _folder } = Scene::plain();
    drop(watch);
    fs::write(&file, "two").unwrap();
    // The thread drops its sender when it ends.
    let last = timeout(SOON, told.recv()).await.expect("the thread did not end");
    assert_eq!(last, None, "told after the end");
}

/// A patrol without the system's watches, that looks every few milliseconds.
#[tokio::test]
async fn without_watches_the_files_are_polled() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("aigate.toml");
    fs::write(&file, "one").unwrap();
    let (changed, mut told) = mpsc::channel(1);
    let (_wake, woken) = sync_channel(1);
    let mut eyes = blind();
    assert_eq!(eyes.follow([&file].into_iter()), POLL);
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Seen::of([file.clone()]).0;
    let patrol = Patrol { eyes, woken, stop, last: seen.clone(), seen, changed };
    let thread = thread::spawn(|| patrol.run());
    fs::write(&file, "two").unwrap();
    timeout(SOON, told.recv()).await.expect("a change was not seen").unwrap();
    drop(told);
    thread.join().unwrap();
}

fn blind() -> Eyes {
    Eyes { watcher: None, folders: BTreeSet::new(), interest: Arc::default(), told: None }
}

/// That it is the system's watches that tell, and not the look that follows each change.
#[test]
fn every_way_to_change_a_file_wakes_the_thread() {
    type Change = fn(&Path, usize);
    let ways: [(&str, Change); 4] = [
        ("write", |folder, n| fs::write(folder.join("aigate.toml"), n.to_string()).unwrap()),
        ("rename", |folder, n| replace(&folder.join("aigate.toml"), &n.to_string())),
        ("remove", |folder, n| match n % 2 {
            0 => fs::remove_file(folder.join("aigate.toml")).unwrap(),
            _ => fs::write(folder.join("aigate.toml"), "anew").unwrap(),
        }),
        ("swap", |folder, n| publish(folder, &format!("..2025_{n}"), "new")),
    ];
    for (name, change) in ways {
        let folder = tempfile::tempdir().unwrap();
        let file = volume(folder.path());
        let (wake, woken) = sync_channel(1);
        let mut eyes = Eyes::new(wake);
        for round in 0..3 {
            assert_eq!(eyes.follow([&file].into_iter()), PATROL);
            while woken.try_recv().is_ok() {}
            change(folder.path(), round);
            woken.recv_timeout(SOON).unwrap_or_else(|why| panic!("{name}, round {round}: {why}"));
        }
    }
}

#[test]
fn reading_the_file_and_changing_another_one_do_not_wake_the_thread() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("aigate.toml");
    fs::write(&file, "one").unwrap();
    let (wake, woken) = sync_channel(1);
    let mut eyes = Eyes::new(wake);
    eyes.follow([&file].into_iter());
    fs::write(folder.path().join("other.toml"), "two").unwrap();
    fs::read(&file).unwrap();
    assert_eq!(woken.recv_timeout(SETTLE), Err(RecvTimeoutError::Timeout));
}

#[test]
fn the_way_to_a_file_names_each_link_and_ends_at_the_first_part_that_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let file = volume(&root);
    let expected = [file.clone(), root.join("..data"), root.join("..2024_1/aigate.toml")];
    assert_eq!(way(&file), expected);
    let linked = root.join("linked");
    symlink(&root, &linked).unwrap();
    assert_eq!(way(&linked.join("none/x")), [linked.clone(), root.join("none")]);
    assert_eq!(way(&linked.join("../none")), [linked, root.parent().unwrap().join("none")]);
    symlink("loop", root.join("loop")).unwrap();
    assert_eq!(way(&root.join("loop")).len(), LINK_LIMIT + 1);
}

#[test]
fn a_large_file_is_not_read_and_a_pipe_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let large = folder.path().join("model.gguf");
    let file = fs::File::create(&large).unwrap();
    file.set_len(READ_LIMIT + 1).unwrap();
    let before = look(&large);
    assert!(matches!(before, Look::Content(Print::Large { .. })), "{before:?}");
    file.set_len(READ_LIMIT + 2).unwrap();
    assert_ne!(look(&large), before);
    assert!(matches!(look(Path::new("/dev/tty")), Look::Nothing(why) if why.contains("plain file")));
    assert!(matches!(look(folder.path()), Look::Nothing(_)));
    assert!(matches!(look(&folder.path().join("none")), Look::Nothing(why) if why == "is not there"));
}
