//! The doors: every way in which the snippets and the README put the program behind a web server.

use super::{available, suexec};

/// One way for a request to reach the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// CGI without a web server: environment, stdin, stdout.
    ByHand,
    /// FastCGI without a web server: `cgi-fcgi` talks to `wxcgi fastcgi --listen unix:…`.
    FastcgiByHand,
    /// `apache/scriptalias.conf`, MPM event with mod_cgid.
    ApacheCgid,
    /// `apache/scriptalias.conf`, MPM prefork with mod_cgi.
    ApacheCgi,
    /// `apache/scriptalias.conf`, MPM event with mod_cgid and mod_suexec: the program runs as a user of its own, with
    /// hardly any environment.
    ApacheSuexec,
    /// `apache/htaccess` in a web folder.
    ApacheHtaccess,
    /// `apache/proxy-fcgi.conf`.
    ApacheProxyFcgi,
    /// `apache/fcgid.conf`: Apache starts the responder.
    ApacheFcgid,
    /// `nginx/fastcgi-unix.conf`.
    NginxUnix,
    /// `nginx/fastcgi-tcp.conf`.
    NginxTcp,
    /// `nginx/fastcgi-keepalive.conf`.
    NginxKeepalive,
    /// `nginx/fcgiwrap.conf`.
    NginxFcgiwrap,
    /// `lighttpd/cgi.conf`.
    LighttpdCgi,
    /// `lighttpd/fastcgi.conf`.
    LighttpdFastcgi,
    /// `nginx/fastcgi-unix.conf`; spawn-fcgi starts the responder with its socket as fd 0.
    SpawnFcgi,
    /// `nginx/fastcgi-unix.conf`; `ExecStart` of `systemd/wxcgi.service` under systemd-socket-activate.
    SocketActivated,
    /// `nginx/fastcgi-unix.conf`; the test holds the socket and gives it to the responder as fd 0, so that the
    /// responder can be replaced ([`super::Site::replace_responder`]).
    HeldSocket,
    /// `apache/proxy-fcgi.conf`; the socket is held in the same way.
    ApacheHeldSocket,
}

/// Who speaks HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Front {
    /// Nobody.
    None,
    /// Apache with these modules beside the common ones.
    Apache(&'static [&'static str]),
    Nginx,
    Lighttpd,
}

/// Who starts the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// The web server, as CGI or FastCGI.
    Front,
    /// We do, with `--listen unix:…`.
    ListenUnix,
    /// We do, with `--listen HOST:PORT`.
    ListenTcp,
    Fcgiwrap,
    SpawnFcgi,
    SocketActivate,
    HeldSocket,
}

impl Door {
    /// All of them.
    pub(crate) const ALL: [Door; 18] = [
        Door::ByHand,
        Door::FastcgiByHand,
        Door::ApacheCgid,
        Door::ApacheCgi,
        Door::ApacheSuexec,
        Door::ApacheHtaccess,
        Door::ApacheProxyFcgi,
        Door::ApacheFcgid,
        Door::NginxUnix,
        Door::NginxTcp,
        Door::NginxKeepalive,
        Door::NginxFcgiwrap,
        Door::LighttpdCgi,
        Door::LighttpdFastcgi,
        Door::SpawnFcgi,
        Door::SocketActivated,
        Door::HeldSocket,
        Door::ApacheHeldSocket,
    ];

    /// Those of `doors` whose servers this run is not told to do without, and may have.
    pub(crate) fn open_ones<const N: usize>(doors: [Door; N]) -> impl Iterator<Item = Door> {
        let is_open = |door: &Door| {
            door.tools().iter().all(|tool| available(tool))
                && (*door != Door::ApacheSuexec || suexec::is_possible())
        };
        doors.into_iter().filter(is_open)
    }

    /// Whether this door can be used in this run, see [`Door::open_ones`].
    pub(crate) fn is_open(self) -> bool {
        Door::open_ones([self]).next().is_some()
    }

    /// What must be installed.
    fn tools(self) -> &'static [&'static str] {
        match self {
            Door::ByHand => &[],
            Door::FastcgiByHand => &["cgi-fcgi"],
            Door::ApacheCgid
            | Door::ApacheCgi
            | Door::ApacheHtaccess
            | Door::ApacheProxyFcgi
            | Door::ApacheHeldSocket => &["apache2"],
            Door::ApacheSuexec => &["apache2", "suexec"],
            Door::ApacheFcgid => &["apache2", "mod_fcgid"],
            Door::NginxUnix | Door::NginxTcp | Door::NginxKeepalive | Door::HeldSocket => &["nginx"],
            Door::NginxFcgiwrap => &["nginx", "fcgiwrap", "spawn-fcgi"],
            Door::LighttpdCgi | Door::LighttpdFastcgi => &["lighttpd"],
            Door::SpawnFcgi => &["nginx", "spawn-fcgi"],
            Door::SocketActivated => &["nginx", "systemd-socket-activate"],
        }
    }

    /// The snippet that makes it, as a path in the repository.
    pub(crate) fn snippet(self) -> Option<&'static str> {
        match self {
            Door::ByHand | Door::FastcgiByHand => None,
            Door::ApacheCgid | Door::ApacheCgi | Door::ApacheSuexec => Some("apache/scriptalias.conf"),
            Door::ApacheHtaccess => Some("apache/htaccess"),
            Door::ApacheProxyFcgi | Door::ApacheHeldSocket => Some("apache/proxy-fcgi.conf"),
            Door::ApacheFcgid => Some("apache/fcgid.conf"),
            Door::NginxUnix | Door::SpawnFcgi | Door::SocketActivated | Door::HeldSocket => {
                Some("nginx/fastcgi-unix.conf")
            }
            Door::NginxTcp => Some("nginx/fastcgi-tcp.conf"),
            Door::NginxKeepalive => Some("nginx/fastcgi-keepalive.conf"),
            Door::NginxFcgiwrap => Some("nginx/fcgiwrap.conf"),
            Door::LighttpdCgi => Some("lighttpd/cgi.conf"),
            Door::LighttpdFastcgi => Some("lighttpd/fastcgi.conf"),
        }
    }

    pub(super) fn front(self) -> Front {
        match self {
            Door::ByHand | Door::FastcgiByHand => Front::None,
            Door::ApacheCgid => Front::Apache(&["mpm_event", "cgid"]),
            Door::ApacheCgi => Front::Apache(&["mpm_prefork", "cgi"]),
            Door::ApacheSuexec => Front::Apache(&["mpm_event", "cgid", "suexec"]),
            Door::ApacheHtaccess => Front::Apache(&["mpm_event", "cgid", "mime", "rewrite"]),
            Door::ApacheProxyFcgi | Door::ApacheHeldSocket => {
                Front::Apache(&["mpm_event", "proxy", "proxy_fcgi"])
            }
            Door::ApacheFcgid => Front::Apache(&["mpm_event", "fcgid"]),
            Door::NginxUnix
            | Door::NginxTcp
            | Door::NginxKeepalive
            | Door::NginxFcgiwrap
            | Door::SpawnFcgi
            | Door::SocketActivated
            | Door::HeldSocket => Front::Nginx,
            Door::LighttpdCgi | Door::LighttpdFastcgi => Front::Lighttpd,
        }
    }

    pub(super) fn start(self) -> Start {
        match self {
            Door::ByHand
            | Door::ApacheCgid
            | Door::ApacheCgi
            | Door::ApacheSuexec
            | Door::ApacheHtaccess
            | Door::ApacheFcgid
            | Door::LighttpdCgi => Start::Front,
            Door::FastcgiByHand
            | Door::ApacheProxyFcgi
            | Door::NginxUnix
            | Door::NginxKeepalive
            | Door::LighttpdFastcgi => Start::ListenUnix,
            Door::NginxTcp => Start::ListenTcp,
            Door::NginxFcgiwrap => Start::Fcgiwrap,
            Door::SpawnFcgi => Start::SpawnFcgi,
            Door::SocketActivated => Start::SocketActivate,
            Door::HeldSocket | Door::ApacheHeldSocket => Start::HeldSocket,
        }
    }
}
