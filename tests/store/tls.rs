//! A Redis that speaks TLS, with certificates of a test's own.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::server::RedisServer;
use crate::support::{PATIENCE, available, command, free_port};
use wxcgi::secret::Secret;
use wxcgi::store::Store;
use wxcgi::store::redis::{Address, Redis};

const LONG: Duration = Duration::from_secs(3600);

fn openssl(folder: &Path, arguments: &str) {
    let made = command("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// An authority (`ca.pem`), and a server that it vouches for: `localhost`.
fn make_certificates(folder: &Path) {
    const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    fs::write(folder.join("names"), "subjectAltName=DNS:localhost\n").unwrap();
    openssl(folder, &format!("req -x509 {KEY} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"));
    openssl(folder, &format!("req -new {KEY} -keyout key.pem -out request.pem -subj /CN=localhost"));
    openssl(
        folder,
        "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out cert.pem",
    );
}

fn store(url: &str, ca: Option<&[u8]>) -> Redis {
    Redis::new(Address::parse(&Secret::new(url), ca).unwrap(), PATIENCE, "wxcgi", "shop")
}

#[test]
fn a_server_is_believed_by_the_authority_that_is_named() {
    if !available("redis-server") || !available("openssl") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    let (port, cert) = (free_port().to_string(), folder.path().join("cert.pem"));
    let key = folder.path().join("key.pem");
    let mut options = vec!["--tls-port", &port, "--tls-auth-clients", "no"];
    options.extend(["--tls-cert-file", cert.to_str().unwrap(), "--tls-key-file", key.to_str().unwrap()]);
    let mut server = RedisServer::start(&options);
    let ca = fs::read(folder.path().join("ca.pem")).unwrap();
    let believed = store(&format!("rediss://localhost:{port}/0"), Some(&ca));
    believed.put("key", b"value", LONG).unwrap();
    assert_eq!(believed.get("key").unwrap().unwrap().bytes, b"value");
    for (host, ca) in [("localhost", None), ("127.0.0.1", Some(&ca[..]))] {
        let told = store(&format!("rediss://{host}:{port}/0"), ca).get("key").unwrap_err().to_string();
        assert!(told.contains("cannot be reached") && told.contains("certificate"), "{told}");
    }
    // A dead connection is replaced here too.
    server.restart();
    assert_eq!(believed.get("key").unwrap(), None);
    assert_eq!(believed.count("count", 5, LONG).unwrap(), Some(1));
}
