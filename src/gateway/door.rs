//! Which door? Who started this process, and how does it want to be served?
//!
//! The order of the questions matters. Being a socket is not the question that tells FastCGI from CGI: under
//! Apache's mod_cgid stdin is a connected socket, only a *listening* one is a FastCGI responder's.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::process;

use listenfd::ListenFd;

use super::listener::{Listener, is_listening};

/// More sockets than this systemd does not hand over.
const MAX_LISTEN_FDS: usize = 64;

/// Who started us, and how we are to serve.
#[derive(Debug)]
pub enum Door {
    /// A FastCGI manager (systemd, spawn-fcgi, lighttpd, mod_fcgid), with its listening sockets.
    FastCgi(Vec<Listener>),
    /// A web server, for one request.
    Cgi,
    /// A web server that does not say so as CGI/1.1 asks; see [`refuse_misconfigured`].
    ///
    /// [`refuse_misconfigured`]: super::cgi::refuse_misconfigured
    Misconfigured,
    /// A person, or a program that acts for one.
    Person,
}

/// Finds out which door this process stands in. To be called once, before anything opens a descriptor.
///
/// Listening sockets are taken over: they are closed on `exec`, and stdin is `/dev/null` afterwards, so that no child
/// inherits them.
#[must_use]
pub fn find() -> Door {
    let mut listeners = take_systemd_sockets();
    if listeners.is_empty() {
        listeners.extend(take_stdin());
    }
    if listeners.is_empty() {
        door_of_environment(&|name| env::var_os(name))
    } else {
        Door::FastCgi(listeners)
    }
}

/// Whether a web server started this process, rightly set up or not. Then nobody may read the command line: Apache
/// puts a query without `=` there (RFC 3875 §4.4).
#[must_use]
pub fn started_by_web_server() -> bool {
    !matches!(door_of_environment(&|name| env::var_os(name)), Door::Person)
}

/// The door that the environment alone tells of.
fn door_of_environment(variable: &dyn Fn(&str) -> Option<OsString>) -> Door {
    match variable("GATEWAY_INTERFACE") {
        Some(interface) if interface.as_bytes().starts_with(b"CGI/") => Door::Cgi,
        Some(_) => Door::Misconfigured,
        None if variable("REQUEST_METHOD").is_some() => Door::Misconfigured,
        None if variable("QUERY_STRING").is_some() => Door::Misconfigured,
        None if variable("SERVER_SOFTWARE").is_some() => Door::Misconfigured,
        None => Door::Person,
    }
}

/// The sockets that systemd hands over, if it does so to us and not to a parent of ours.
fn take_systemd_sockets() -> Vec<Listener> {
    let number = |name| env::var(name).ok().and_then(|text| text.parse::<usize>().ok());
    let ours = number("LISTEN_PID") == usize::try_from(process::id()).ok();
    // `listenfd` makes a list as long as the variable says.
    if !ours || number("LISTEN_FDS").is_none_or(|count| count > MAX_LISTEN_FDS) {
        return Vec::new();
    }
    let mut fds = ListenFd::from_env();
    (0..fds.len()).filter_map(|index| take_systemd_socket(&mut fds, index)).collect()
}

fn take_systemd_socket(fds: &mut ListenFd, index: usize) -> Option<Listener> {
    let unix = fds.take_unix_listener(index).ok().flatten().map(Into::into);
    let fd = unix.or_else(|| fds.take_tcp_listener(index).ok().flatten().map(Into::into));
    let listener = fd.and_then(|fd| Listener::inherit(fd).ok());
    if listener.is_none() {
        log::error!(target: "gateway", "socket {index} of `LISTEN_FDS` is not a listening stream socket; left out");
    }
    listener
}

/// Takes stdin over if it is a listening socket.
fn take_stdin() -> Option<Listener> {
    let stdin = io::stdin();
    if !is_listening(&stdin) {
        return None;
    }
    let listener = Listener::inherit(stdin.as_fd().try_clone_to_owned().ok()?).ok()?;
    if let Ok(null) = File::open("/dev/null") {
        // If it fails, stdin stays the listener, which harms only children that are given it.
        let _ = rustix::stdio::dup2_stdin(null);
    }
    Some(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(variables: &[(&str, &str)]) -> Door {
        let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into());
        door_of_environment(&find)
    }

    #[test]
    fn gateway_interface_means_cgi() {
        assert!(matches!(door(&[("GATEWAY_INTERFACE", "CGI/1.1")]), Door::Cgi));
        assert!(matches!(door(&[("GATEWAY_INTERFACE", "CGI/1.1"), ("QUERY_STRING", "-s")]), Door::Cgi));
    }

    #[test]
    fn a_web_server_that_does_not_introduce_itself_is_misconfigured() {
        for name in ["REQUEST_METHOD", "QUERY_STRING", "SERVER_SOFTWARE"] {
            assert!(matches!(door(&[(name, "")]), Door::Misconfigured), "{name}");
        }
        assert!(matches!(door(&[("GATEWAY_INTERFACE", "")]), Door::Misconfigured));
        assert!(matches!(door(&[("GATEWAY_INTERFACE", "FooCGI/1")]), Door::Misconfigured));
    }

    #[test]
    fn anything_else_is_a_person() {
        assert!(matches!(door(&[("PATH", "/bin"), ("LISTEN_FDS", "1")]), Door::Person));
    }
}
