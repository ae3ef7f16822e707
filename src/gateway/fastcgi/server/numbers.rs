//! What the loop knows of itself, for a page that shows it.

use super::super::peer::Phase;
use super::Server;
use crate::gateway::{Connections, Status};

impl Server<'_> {
    /// The numbers of this moment. Goes through all connections: for a page, not for every request.
    pub(super) fn status(&self) -> Status {
        let (started, start) = self.started;
        Status {
            started,
            uptime: start.elapsed(),
            connections: self.connections(),
            counts: self.counts.clone(),
        }
    }

    fn connections(&self) -> Connections {
        let (open, most) = (self.peers.served(), self.options.max_connections);
        let mut connections = Connections { open, most, shed: self.peers.shed(), ..Connections::default() };
        for peer in self.peers.waiting().filter(|peer| !peer.is_shed()) {
            let count = match peer.phase() {
                Phase::Fresh | Phase::Reading => &mut connections.reading,
                Phase::Answering => &mut connections.answering,
                Phase::Writing => &mut connections.writing,
                Phase::Idle => &mut connections.idle,
                Phase::Lingering => &mut connections.closing,
            };
            *count += 1;
        }
        connections
    }
}
