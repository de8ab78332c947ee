//! Sees when the configuration file, or a file that it depends on, has another content.
//!
//! What counts is the content, read through all symbolic links. The folders that hold the file and every link on the way to
//! it are watched (inotify), so that a write, an editor's rename, a file made anew and the links that Kubernetes swaps are
//! all seen; a touch is no change. Folders that cannot be watched are looked at every two seconds instead, and watched ones
//! now and then, because network file systems tell of no change that another machine made.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fmt::Display,
    fs,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher, event::AccessKind};
use sha2::{Digest, Sha256};
use tokio::{sync::mpsc, time::Instant};

/// How long the files must stay as they are before a change is told.
const SETTLE: Duration = Duration::from_millis(100);
/// A change is told after this time though the files still change.
const POSTPONE: Duration = Duration::from_secs(1);
/// How often the files are looked at where nothing tells of changes.
const POLL: Duration = Duration::from_secs(2);
/// How often they are looked at where something does.
const PATROL: Duration = Duration::from_secs(30);
/// Files up to this size are read; of larger ones only size, time of change and inode are compared.
const READ_LIMIT: u64 = 4 * 1024 * 1024;
/// Linux itself follows no more links in a path.
const LINK_LIMIT: usize = 40;

/// What was in the files when they were loaded. Take it before they are read: a change in between is then seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen(BTreeMap<PathBuf, Look>);

impl Seen {
    /// Looks at each of the files. A file that is not there is one that may come. Blocks.
    pub(super) fn of(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut seen = Self::default();
        paths.into_iter().for_each(|path| seen.add(path));
        seen
    }

    /// Looks at one more file; what was seen of it before stays. Blocks.
    pub(super) fn add(&mut self, path: PathBuf) {
        self.0.entry(path).or_insert_with_key(|path| look(path));
    }
}

/// Watches until it is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
    wake: SyncSender<()>,
}

impl Watch {
    /// Watches the files that were seen, on a thread of its own, and sends one message each time one or several of them have
    /// another content. A message that still waits in `changed` stands for a further one; give it room for one. When the
    /// configuration names other files after a change, start another watch and drop this one.
    ///
    /// # Errors
    /// In words, when no thread can be started. Where the system's watches are used up, files are polled instead, and the log
    /// says so.
    pub(super) fn start(seen: Seen, changed: mpsc::Sender<()>) -> Result<Self, String> {
        let stop = Arc::new(AtomicBool::new(false));
        let (wake, woken) = sync_channel(1);
        let eyes = Eyes::new(wake.clone());
        let patrol =
            Patrol { eyes, woken, stop: Arc::clone(&stop), last: BTreeMap::new(), seen: seen.0, changed };
        thread::Builder::new().name("aigate-watch".to_owned()).spawn(|| patrol.run()).map_err(|why| {
            format!("the thread that watches the configuration's files cannot start: {why}")
        })?;
        Ok(Self { stop, wake })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // When there is no room, the thread is about to wake already.
        let _ = self.wake.try_send(());
    }
}

/// The watching thread.
struct Patrol {
    eyes: Eyes,
    woken: Receiver<()>,
    stop: Arc<AtomicBool>,
    /// What was found at the last look.
    last: BTreeMap<PathBuf, Look>,
    /// What was told, or loaded at the start: contents only, a file that vanished keeps its last one.
    seen: BTreeMap<PathBuf, Look>,
    changed: mpsc::Sender<()>,
}

impl Patrol {
    fn run(mut self) {
        while !self.ended() {
            // Watched first, then looked at: a change between the two wakes the thread again.
            let pause = self.eyes.follow(self.seen.keys());
            if self.look() {
                continue; // links may lead elsewhere now
            }
            let _ = self.woken.recv_timeout(pause);
        }
    }

    fn ended(&self) -> bool {
        self.stop.load(Ordering::Acquire) || self.changed.is_closed()
    }

    /// Whether anything is other than at the last look. Tells what is to be told.
    fn look(&mut self) -> bool {
        let now = self.settled();
        if now == self.last {
            return false;
        }
        self.tell_of_absence(&now);
        let mut names = Vec::new();
        for (path, look) in &now {
            if let Look::Content(_) = look
                && self.seen.insert(path.clone(), look.clone()).as_ref() != Some(look)
            {
                names.push(path.display().to_string());
            }
        }
        self.last = now;
        if !names.is_empty() && !self.ended() {
            tracing::info!("changed: {}", names.join(", "));
            let _ = self.changed.try_send(());
        }
        true
    }

    /// What is in the files once it stays the same, or after all patience.
    fn settled(&self) -> BTreeMap<PathBuf, Look> {
        let all = || self.seen.keys().map(|path| (path.clone(), look(path))).collect();
        let until = Instant::now() + POSTPONE;
        let mut now: BTreeMap<_, _> = all();
        if now == self.last {
            return now;
        }
        loop {
            thread::sleep(SETTLE);
            let again = all();
            if again == now || Instant::now() >= until || self.ended() {
                return again;
            }
            now = again;
        }
    }

    fn tell_of_absence(&self, now: &BTreeMap<PathBuf, Look>) {
        for (path, look) in now {
            let before = self.last.get(path);
            match (before, look) {
                (Some(Look::Nothing(_)), Look::Content(_)) => {
                    tracing::info!("{} is there again", path.display());
                }
                (None | Some(Look::Content(_)), Look::Nothing(why)) => tracing::warn!(
                    "{} {why}: aigate goes on with what it has, and loads the file when it is there",
                    path.display()
                ),
                _ => {}
            }
        }
    }
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Look {
    Content(Print),
    /// Nothing that could be loaded, and why.
    Nothing(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Print {
    Hash([u8; 32]),
    Large { bytes: u64, modified: (i64, i64), inode: u64 },
}

fn look(path: &Path) -> Look {
    match print(path) {
        Ok(print) => Look::Content(print),
        Err(why) => Look::Nothing(why),
    }
}

fn print(path: &Path) -> Result<Print, String> {
    let unreadable = |why: std::io::Error| match why.kind() {
        std::io::ErrorKind::NotFound => "is not there".to_owned(),
        _ => format!("cannot be read ({why})"),
    };
    let about = fs::metadata(path).map_err(unreadable)?;
    if !about.is_file() {
        return Err("is not a plain file and is not watched".to_owned()); // to read a pipe could wait for ever
    }
    if about.len() > READ_LIMIT {
        let modified = (about.mtime(), about.mtime_nsec());
        return Ok(Print::Large { bytes: about.len(), modified, inode: about.ino() });
    }
    let mut content = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(READ_LIMIT + 1).read_to_end(&mut content))
        .map_err(unreadable)?;
    if content.is_empty() {
        return Err("is empty".to_owned()); // most often a file that is being written
    }
    Ok(Print::Hash(Sha256::digest(&content).into()))
}

/// The system's watches.
struct Eyes {
    /// None: there are none, and files are polled.
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    /// What is of interest in these folders, and they themselves.
    interest: Arc<Mutex<BTreeSet<PathBuf>>>,
    /// The trouble that was last told.
    told: Option<String>,
}

impl Eyes {
    fn new(wake: SyncSender<()>) -> Self {
        let interest = Arc::new(Mutex::new(BTreeSet::new()));
        let mut eyes =
            Self { watcher: None, folders: BTreeSet::new(), interest: Arc::clone(&interest), told: None };
        let see = move |event: notify::Result<Event>| {
            if concerns(&event, &interest.lock().unwrap_or_else(PoisonError::into_inner)) {
                let _ = wake.try_send(());
            }
        };
        match notify::recommended_watcher(see) {
            Ok(watcher) => eyes.watcher = Some(watcher),
            Err(why) => eyes.tell(&why),
        }
        eyes
    }

    /// Watches all on the way to these files, and says how long to wait for a change at most.
    fn follow<'a>(&mut self, paths: impl Iterator<Item = &'a PathBuf>) -> Duration {
        let Some(mut watcher) = self.watcher.take() else { return POLL };
        let entries: BTreeSet<PathBuf> = paths.flat_map(|path| way(path)).collect();
        let folders: BTreeSet<PathBuf> =
            entries.iter().filter_map(|entry| entry.parent()).map(Path::to_owned).collect();
        *self.interest.lock().unwrap_or_else(PoisonError::into_inner) = &entries | &folders;
        for gone in self.folders.difference(&folders) {
            let _ = watcher.unwatch(gone); // it may be gone from the disk, and the watch with it
        }
        let mut pause = PATROL;
        for folder in &folders {
            // Also those that are watched already: the folder of that name may be another one by now.
            if let Err(why) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                pause = POLL;
                if !matches!(why.kind, ErrorKind::PathNotFound) {
                    self.tell(&why);
                }
            }
        }
        self.folders = folders;
        self.watcher = Some(watcher);
        pause
    }

    fn tell(&mut self, why: &impl Display) {
        let why = why.to_string();
        if self.told.as_ref() != Some(&why) {
            tracing::warn!(
                "changes of the configuration's files are looked for every {} s, because they cannot be watched: {why}",
                POLL.as_secs()
            );
            self.told = Some(why);
        }
    }
}

/// Whether an event may mean another content. That somebody opens a file does not, and this thread does so itself.
fn concerns(event: &notify::Result<Event>, interest: &BTreeSet<PathBuf>) -> bool {
    match event {
        Ok(event) => match event.kind {
            EventKind::Access(kind) if !matches!(kind, AccessKind::Close(_)) => false,
            _ => event.need_rescan() || event.paths.iter().any(|path| interest.contains(path)),
        },
        Err(_) => true,
    }
}

/// Every entry of a folder on which it depends what `path` leads to: the links on the way, and at its end the file, or the
/// first part that is not there. Their folders are named without links.
fn way(path: &Path) -> Vec<PathBuf> {
    let mut entries = Vec::new();
    let Ok(path) = std::path::absolute(path) else { return entries };
    let mut at = PathBuf::from("/");
    let mut parts = reversed(&path);
    while let Some(part) = parts.pop() {
        match Path::new(&part).components().next() {
            Some(Component::Normal(name)) => at.push(name),
            Some(Component::RootDir) => at = PathBuf::from("/"),
            Some(Component::ParentDir) => {
                at.pop();
            }
            _ => {}
        }
        if let Ok(target) = fs::read_link(&at) {
            entries.push(at.clone());
            at.pop();
            parts.extend(reversed(&target));
            if entries.len() > LINK_LIMIT {
                return entries;
            }
        } else if parts.is_empty() || !at.is_dir() {
            entries.push(at);
            return entries;
        }
    }
    entries
}

/// The parts of a path, the last one first.
fn reversed(path: &Path) -> Vec<OsString> {
    path.components().rev().map(|part| part.as_os_str().to_owned()).collect()
}
