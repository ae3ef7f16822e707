//! Bytes that nobody can guess.

use std::io;

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

/// Random bytes of the system, at most 256. Opens no file, so none has to be there.
///
/// # Errors
///
/// If the system gives none: `getrandom(2)` is forbidden by a filter, or older than Linux 3.17.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    // So many come at once or not at all.
    const { assert!(N <= 256) };
    let mut bytes = [0; N];
    loop {
        match getrandom(&mut bytes, GetRandomFlags::empty()) {
            Ok(count) if count == N => return Ok(bytes),
            Err(Errno::INTR) => {}
            Ok(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_alike() {
        assert_ne!(random::<16>().unwrap(), random::<16>().unwrap());
        assert_ne!(random::<256>().unwrap(), [0; 256]);
    }
}
