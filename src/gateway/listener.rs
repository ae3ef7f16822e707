//! Listening sockets: those that were handed to us and those that we make ourselves.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process;

use rustix::net::{AddressFamily, SocketType, sockopt};

/// A listening stream socket, unix or TCP. One that we bound to a path is unlinked when it is dropped, if the path
/// is still ours.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    /// Made by us and by nobody else: who queues there waits for this process.
    pub(super) owned: bool,
    path: Option<BoundPath>,
}

/// The two families that FastCGI uses.
#[derive(Debug)]
pub(super) enum Socket {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    /// Takes over a descriptor that the process was started with.
    ///
    /// # Errors
    ///
    /// If it is not a listening stream socket of the unix or an internet family.
    pub(super) fn inherit(fd: OwnedFd) -> io::Result<Self> {
        if !is_listening(&fd) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a listening stream socket"));
        }
        let socket = match sockopt::socket_domain(&fd)? {
            AddressFamily::UNIX => Socket::Unix(fd.into()),
            AddressFamily::INET | AddressFamily::INET6 => Socket::Tcp(fd.into()),
            _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a unix nor a TCP socket")),
        };
        Ok(Self { socket, owned: false, path: None })
    }

    /// The socket, and the path that is ours until it is dropped.
    pub(super) fn into_parts(self) -> (Socket, Option<BoundPath>) {
        (self.socket, self.path)
    }

    /// The path or address, for the log.
    #[must_use]
    pub fn place(&self) -> String {
        // The socket itself only knows the name under which it was made.
        if let Some(bound) = &self.path {
            return format!("unix:{}", bound.path.display());
        }
        match &self.socket {
            Socket::Unix(socket) => socket
                .local_addr()
                .ok()
                .and_then(|address| address.as_pathname().map(|path| format!("unix:{}", path.display())))
                .unwrap_or_else(|| "unix:(unnamed)".to_owned()),
            Socket::Tcp(socket) => {
                socket.local_addr().map_or_else(|_| "(unknown)".to_owned(), |address| address.to_string())
            }
        }
    }
}

/// Whether a descriptor is a stream socket that accepts connections. Under Apache's mod_cgid stdin is a *connected*
/// socket, so being a socket says nothing.
pub(super) fn is_listening(fd: impl AsFd) -> bool {
    sockopt::socket_acceptconn(&fd) == Ok(true) && sockopt::socket_type(&fd) == Ok(SocketType::STREAM)
}

/// Listens at `unix:PATH` or `HOST:PORT`.
///
/// A unix socket is bound to another name, given its mode and then renamed over `PATH`: whoever connects meets the
/// old socket or the new one, never none. `socket_mode` counts for unix sockets only.
///
/// # Errors
///
/// With the place, the cause and a cure.
pub fn listen(address: &str, socket_mode: u32) -> io::Result<Listener> {
    match address.strip_prefix("unix:") {
        Some(path) => listen_at_path(Path::new(path), socket_mode),
        None => listen_at_address(address),
    }
}

fn listen_at_address(address: &str) -> io::Result<Listener> {
    let socket = numeric(address).and_then(TcpListener::bind).map_err(|error| {
        let cure = match error.kind() {
            io::ErrorKind::AddrInUse => "stop the program that has it, or choose another port",
            io::ErrorKind::PermissionDenied => "choose a port from 1024 on",
            _ => "give `unix:PATH` or an address of this host with a port, as in `127.0.0.1:9100`",
        };
        fault(&format!("cannot listen at `{address}`"), &error, cure)
    })?;
    Ok(Listener { socket: Socket::Tcp(socket), owned: true, path: None })
}

/// The address without a resolver: a name may mean several addresses, and one to listen at should not depend on a
/// name server that is up.
fn numeric(address: &str) -> io::Result<SocketAddr> {
    let loopback = address.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    loopback
        .as_deref()
        .unwrap_or(address)
        .parse()
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "not an IP address with a port"))
}

fn listen_at_path(path: &Path, mode: u32) -> io::Result<Listener> {
    let place = format!("cannot listen at `unix:{}`", path.display());
    if path.as_os_str().as_encoded_bytes().starts_with(b"@") {
        let error =
            io::Error::new(io::ErrorKind::InvalidInput, "sockets without a file are not for web servers");
        return Err(fault(&place, &error, "give a path such as `unix:/run/wxcgi/fcgi.sock`"));
    }
    if fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket()) {
        let error =
            io::Error::new(io::ErrorKind::AlreadyExists, "something other than a socket stands there");
        return Err(fault(&place, &error, "move it away or choose another path"));
    }
    let temporary = temporary_name(path).ok_or_else(|| {
        let error = io::Error::new(io::ErrorKind::InvalidInput, "the path names no file");
        fault(&place, &error, "give a path such as `unix:/run/wxcgi/fcgi.sock`")
    })?;
    bind_and_rename(path, &temporary, mode).map_err(|error| {
        // Of what was made under the other name nothing may stay.
        let _ = fs::remove_file(&temporary);
        let cure = match error.kind() {
            io::ErrorKind::NotFound => "make its folder first",
            io::ErrorKind::PermissionDenied => "give the folder to the user that runs this program",
            io::ErrorKind::InvalidInput => "choose a shorter path; a unix socket may have some 90 bytes",
            _ => "choose another path",
        };
        fault(&place, &error, cure)
    })
}

fn bind_and_rename(path: &Path, temporary: &Path, mode: u32) -> io::Result<Listener> {
    // Left over from a process of the same number that was killed here.
    if fs::symlink_metadata(temporary).is_ok_and(|found| found.file_type().is_socket()) {
        fs::remove_file(temporary)?;
    }
    let socket = UnixListener::bind(temporary)?;
    fs::set_permissions(temporary, fs::Permissions::from_mode(mode))?;
    let bound = BoundPath::new(path, &fs::symlink_metadata(temporary)?);
    fs::rename(temporary, path)?;
    Ok(Listener { socket: Socket::Unix(socket), owned: true, path: Some(bound) })
}

/// A name beside `path`, for this process.
fn temporary_name(path: &Path) -> Option<PathBuf> {
    let mut name = path.file_name()?.to_owned();
    name.push(format!(".{}", process::id()));
    Some(path.with_file_name(name))
}

/// An error that tells the place, the cause and the cure.
fn fault(place: &str, error: &io::Error, cure: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{place}: {error}; {cure}"))
}

/// The path of a socket that we made. Dropping it removes the file, unless another process has put its own there.
#[derive(Debug)]
pub(super) struct BoundPath {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl BoundPath {
    fn new(path: &Path, metadata: &fs::Metadata) -> Self {
        Self { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() }
    }

    fn is_ours(&self) -> bool {
        fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode))
    }
}

impl Drop for BoundPath {
    fn drop(&mut self) {
        if self.is_ours() {
            // It may be gone by now; then there is nothing to do.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn address(path: &Path) -> String {
        format!("unix:{}", path.display())
    }

    #[test]
    fn a_unix_socket_has_its_mode_and_goes_when_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fcgi.sock");
        let listener = listen(&address(&path), 0o660).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o660);
        UnixStream::connect(&path).unwrap();
        drop(listener);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_loopback_has_a_name_and_no_other_name_is_resolved() {
        assert!(listen("localhost:0", 0).unwrap().place().starts_with("127.0.0.1:"));
        for name in ["example.com:9100", "9100", "localhost", "127.0.0.1", ""] {
            let error = listen(name, 0).unwrap_err().to_string();
            assert!(error.contains("not an IP address with a port; give `unix:PATH`"), "{error}");
        }
    }

    #[test]
    fn a_successor_keeps_its_socket_when_we_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fcgi.sock");
        let old = listen(&address(&path), 0o600).unwrap();
        let new = listen(&address(&path), 0o600).unwrap();
        drop(old);
        UnixStream::connect(&path).unwrap();
        drop(new);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_not_a_socket_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        fs::write(&path, "mine").unwrap();
        let error = listen(&address(&path), 0o600).unwrap_err().to_string();
        assert!(error.contains("notes.txt") && error.contains("other than a socket"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }

    #[test]
    fn an_error_tells_place_cause_and_cure() {
        let error = listen("unix:/nonexistent-folder/fcgi.sock", 0o600).unwrap_err().to_string();
        assert!(error.starts_with("cannot listen at `unix:/nonexistent-folder/fcgi.sock`: "), "{error}");
        assert!(error.ends_with("; make its folder first"), "{error}");
        let taken = listen("127.0.0.1:0", 0).unwrap();
        let error = listen(&taken.place(), 0).unwrap_err().to_string();
        assert!(error.ends_with("choose another port"), "{error}");
        assert!(listen("unix:", 0).is_err());
        assert!(listen("unix:@wxcgi", 0).is_err());
    }

    #[test]
    fn only_a_listening_stream_socket_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let unix = UnixListener::bind(folder.path().join("sock")).unwrap();
        assert!(matches!(Listener::inherit(unix.into()).unwrap().socket, Socket::Unix(_)));
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(matches!(Listener::inherit(tcp.into()).unwrap().socket, Socket::Tcp(_)));
        let (connected, _other) = UnixStream::pair().unwrap();
        assert!(Listener::inherit(connected.into()).is_err());
        assert!(Listener::inherit(fs::File::open("/dev/null").unwrap().into()).is_err());
    }
}
