//! Breakers that tripped: deployments that all replicas leave alone for a while.
//!
//! The truth is a small hash in Redis, read each second; a message on the connection only says that it is worth reading now. So a lost
//! message delays, and nothing else, and the reading notices a dead connection before a call does.

use std::{sync::Arc, time::Duration};

use redis::Value;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};

use crate::{
    keys::Keys,
    link::{Failure, Link},
    scripts,
};

/// Deployments that can be tripped at once.
pub(crate) const MOST: usize = 1_000;
const EACH: Duration = Duration::from_secs(1);
/// Between two readings, however many messages come.
const PAUSE: Duration = Duration::from_millis(20);
/// Two readings of the same trip differ by how long the answers took.
const SAME: Duration = Duration::from_millis(100);

/// A deployment that is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trip {
    /// As [`Shared::trip`](crate::Shared::trip) was told.
    pub deployment: Arc<str>,
    /// Until when.
    pub until: Instant,
}

pub(crate) struct Trips {
    known: watch::Sender<Arc<[Trip]>>,
    nudge: Arc<Notify>,
}

impl Trips {
    pub(crate) fn new() -> Self {
        Self { known: watch::Sender::new([].into()), nudge: Arc::default() }
    }

    /// Who notifies it makes the trips be read now.
    pub(crate) fn nudge(&self) -> Arc<Notify> {
        Arc::clone(&self.nudge)
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<[Trip]>> {
        self.known.subscribe()
    }

    /// The task that reads them.
    pub(crate) async fn follow(self: Arc<Self>, link: Arc<Link>, keys: Arc<Keys>) {
        let mut up = link.up();
        loop {
            // The link lives as long as this task.
            let _ = up.wait_for(|up| *up).await;
            // What went wrong, the link has counted, logged and, if need be, taken as the loss of the connection.
            if let Ok(trips) = read(&link, &keys).await {
                self.publish(trips);
            }
            sleep(PAUSE).await;
            let _ = timeout(EACH - PAUSE, self.nudge.notified()).await;
        }
    }

    fn publish(&self, trips: Vec<Trip>) {
        self.known.send_if_modified(|known| {
            let changed = !same(known, &trips);
            if changed {
                *known = trips.into();
            }
            changed
        });
    }
}

async fn read(link: &Link, keys: &Keys) -> Result<Vec<Trip>, Failure> {
    let line = link.line()?;
    let answer = link.run("trips", &line, &scripts::TRIPS.key(keys.trips())).await?;
    let now = Instant::now();
    let Value::Array(values) = answer else { return Ok(Vec::new()) };
    let pairs = values.chunks_exact(2).take(MOST);
    let mut trips: Vec<_> = pairs.filter_map(|pair| trip(&pair[0], &pair[1], now)).collect();
    trips.sort_by(|a, b| a.deployment.cmp(&b.deployment));
    Ok(trips)
}

fn trip(deployment: &Value, time: &Value, now: Instant) -> Option<Trip> {
    let (Value::BulkString(name), Value::Int(time)) = (deployment, time) else { return None };
    let deployment = std::str::from_utf8(name).ok()?.into();
    Some(Trip { deployment, until: now + Duration::from_micros(u64::try_from(*time).ok()?) })
}

fn same(known: &[Trip], read: &[Trip]) -> bool {
    let apart = |a: Instant, b: Instant| a.max(b) - a.min(b);
    known.len() == read.len()
        && known.iter().zip(read).all(|(a, b)| a.deployment == b.deployment && apart(a.until, b.until) < SAME)
}
