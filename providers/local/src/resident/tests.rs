use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
    mpsc,
};

use super::*;

/// Counts how often models were loaded, by target: the tests run beside one another.
static LOADED: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Echo;

impl Worker for Echo {
    type Model = ();

    fn load(residence: &Residence) -> Result<(), String> {
        LOADED.lock().unwrap().push(residence.target.clone());
        if residence.path.as_os_str() == "broken" { Err("it is broken".to_owned()) } else { Ok(()) }
    }

    fn new(_model: &Arc<()>, _residence: &Residence) -> Self {
        Self
    }
}

fn residence(target: &str, workers: usize, queue: usize) -> Residence {
    Residence {
        target: target.to_owned(),
        path: "there".into(),
        bytes: 10,
        workers,
        queue,
        threads: 1,
        context: 1,
        unload_after: None,
    }
}

fn loads(target: &str) -> usize {
    LOADED.lock().unwrap().iter().filter(|loaded| *loaded == target).count()
}

/// Work that says that it has begun and ends when it is told to.
fn held(begun: &mpsc::Sender<Result<(), Error>>) -> (Work<Echo>, mpsc::Sender<()>) {
    let (end, ended) = mpsc::channel::<()>();
    let begun = begun.clone();
    let work = move |worker: Result<&mut Echo, Error>| {
        let there = worker.is_ok();
        begun.send(worker.map(drop)).unwrap();
        if there {
            // An error is the end as well: the test is over.
            let _ = ended.recv();
        }
    };
    (Box::new(work), end)
}

#[test]
fn as_many_calls_as_there_are_places_are_taken_and_the_rest_is_refused_at_once() {
    let resident = Resident::<Echo>::new(residence("places", 2, 3), &Memory::new(100));
    let (begun, begins) = mpsc::channel();
    let mut ends = Vec::new();
    for _ in 0..5 {
        let (work, end) = held(&begun);
        resident.submit(work).unwrap();
        ends.push(end);
    }
    let refused = resident.submit(held(&begun).0).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Overloaded);
    assert!(refused.retry_after().is_some());
    assert!(refused.message().contains("answers 2 at once, and 3 wait"), "{}", refused.message());
    for _ in 0..2 {
        begins.recv().unwrap().unwrap();
    }
    assert!(begins.try_recv().is_err(), "two workers work on two pieces");
    drop(ends);
    for _ in 0..3 {
        begins.recv().unwrap().unwrap();
    }
    assert_eq!(loads("places"), 1, "workers share the model");
}

#[test]
fn a_model_that_cannot_be_loaded_tells_each_caller_why() {
    let broken = Residence { path: "broken".into(), ..residence("broken", 1, 4) };
    let resident = Resident::<Echo>::new(broken, &Memory::new(100));
    let (begun, begins) = mpsc::channel();
    for _ in 0..3 {
        resident.submit(held(&begun).0).unwrap();
        let error = begins.recv().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Missing);
        assert_eq!(error.message(), "`broken` cannot be loaded: it is broken");
    }
}

#[test]
fn work_that_panics_takes_nothing_but_itself_down() {
    let resident = Resident::<Echo>::new(residence("panics", 1, 4), &Memory::new(10));
    let (begun, begins) = mpsc::channel();
    for _ in 0..3 {
        resident.submit(Box::new(|_: Result<&mut Echo, Error>| panic!("on purpose"))).unwrap();
        let (work, end) = held(&begun);
        resident.submit(work).unwrap();
        begins.recv().unwrap().unwrap();
        drop(end);
    }
}

#[test]
fn an_idle_model_is_unloaded_and_comes_back_when_it_is_asked() {
    let brief = Residence { unload_after: Some(Duration::from_millis(1)), ..residence("brief", 2, 2) };
    let memory = Memory::new(10);
    let resident = Resident::<Echo>::new(brief, &memory);
    let (begun, begins) = mpsc::channel();
    for round in 1..=3 {
        let (work, end) = held(&begun);
        resident.submit(work).unwrap();
        begins.recv().unwrap().unwrap();
        drop(end);
        // The whole memory can be had again only when the model has left it.
        while memory.lease(10).is_err() {}
        assert_eq!(loads("brief"), round);
    }
}

#[test]
fn no_work_is_lost_while_workers_come_and_go() {
    let brief = Residence { unload_after: Some(Duration::from_nanos(1)), ..residence("restless", 3, 64) };
    let resident = Resident::<Echo>::new(brief, &Memory::new(10));
    let done = Arc::new(AtomicUsize::new(0));
    let (told, tells) = mpsc::channel();
    for _ in 0..2000 {
        let (done, told) = (Arc::clone(&done), told.clone());
        let work = move |worker: Result<&mut Echo, Error>| {
            worker.unwrap();
            done.fetch_add(1, SeqCst);
            told.send(()).unwrap();
        };
        resident.submit(Box::new(work)).unwrap();
        tells.recv().unwrap();
    }
    assert_eq!(done.load(SeqCst), 2000);
}

#[test]
fn an_idle_model_makes_room_for_another_and_a_busy_one_does_not() {
    let memory = Memory::new(15);
    let first = Resident::<Echo>::new(residence("first", 1, 1), &memory);
    let second = Resident::<Echo>::new(residence("second", 1, 1), &memory);
    let (begun, begins) = mpsc::channel();
    let (work, end) = held(&begun);
    first.submit(work).unwrap();
    begins.recv().unwrap().unwrap();

    second.submit(held(&begun).0).unwrap();
    let error = begins.recv().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    assert!(error.message().contains("busy models have 10 B of the 15 B"), "{}", error.message());

    drop(end);
    // Between the end of its work and its being idle there is a moment.
    loop {
        let (work, _end) = held(&begun);
        second.submit(work).unwrap();
        match begins.recv().unwrap() {
            Ok(()) => break,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Overloaded),
        }
    }
    assert_eq!(loads("second"), 1);
}
