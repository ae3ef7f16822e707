//! Bytes that nobody can guess.

use std::cell::Cell;
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

/// Sixteen random bytes, of those that are drawn by the dozen: each sealed reply wants as many, and the system call costs
/// as much as the sealing.
///
/// # Errors
///
/// As [`random`].
pub fn random_block() -> io::Result<[u8; 16]> {
    let mut stock = STOCK.take();
    if stock.is_empty() {
        stock = random::<256>()?.as_chunks().0.to_vec();
    }
    let block = stock.pop().ok_or(io::ErrorKind::UnexpectedEof)?;
    STOCK.set(stock);
    Ok(block)
}

thread_local! {
    static STOCK: Cell<Vec<[u8; 16]>> = const { Cell::new(Vec::new()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_alike() {
        assert_ne!(random::<16>().unwrap(), random::<16>().unwrap());
        assert_ne!(random::<256>().unwrap(), [0; 256]);
        let mut blocks: Vec<_> = (0..100).map(|_| random_block().unwrap()).collect();
        blocks.sort_unstable();
        blocks.dedup();
        assert_eq!(blocks.len(), 100);
    }
}
