//! How the process starts: in C's `main`, without the runtime that Rust sets up before its own.
//!
//! That runtime reads `/proc/self/maps` and installs signal handlers in order to name a stack overflow, in seventeen
//! system calls: a tenth of the time that a CGI request takes. What we need of it stands here: standard descriptors
//! that are open, and writes that fail instead of killing us.
//!
//! Other C libraries than glibc do not tell Rust the arguments without that runtime: with them it runs.
//!
//! The only unsafe code of the program: an exported name, and three calls of C.
#![allow(unsafe_code)]

use std::ffi::c_int;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, fcntl_getfd};
use rustix::stdio::{stderr, stdin, stdout};

/// Called by the C library's start code.
// SAFETY: no other item of the program is called `main`, and this has the type that C wants.
#[cfg(target_env = "gnu")]
#[unsafe(no_mangle)]
extern "C" fn main(_count: c_int, _arguments: *const *const u8) -> c_int {
    start()
}

/// The program.
pub(crate) fn start() -> ! {
    open_closed_descriptors();
    // Not ignored, which children would inherit: writes to a closed pipe and beyond RLIMIT_FSIZE fail all the same.
    for signal in [libc::SIGPIPE, libc::SIGXFSZ] {
        // SAFETY: the handler has the type that C wants and does nothing, and no other thread runs yet.
        unsafe { libc::signal(signal, nothing as *const () as libc::sighandler_t) };
    }
    let code = std::panic::catch_unwind(crate::run).unwrap_or(PANICKED);
    // Not `return`: this flushes what Rust has buffered for stdout.
    std::process::exit(code)
}

/// The handler of signals that tell of an error which the call returns as well.
extern "C" fn nothing(_signal: c_int) {}

/// As Rust's own `main` exits after a panic.
const PANICKED: c_int = 101;

/// A file that is opened later must not become what others take for stdin, stdout or stderr.
fn open_closed_descriptors() {
    // In this order: a file gets the lowest free number.
    for descriptor in [stdin(), stdout(), stderr()] {
        if fcntl_getfd(descriptor) == Err(Errno::BADF)
            && let Ok(null) = open("/dev/null", OFlags::RDWR, Mode::empty())
        {
            std::mem::forget(null);
        }
    }
}

unsafe extern "C" {
    // The linker's names for the first byte of the program in memory and the one behind its code.
    static __executable_start: u8;
    static etext: u8;
}

/// Gives the pages back that only the start needed: a responder lives for months with what the requests need. Those of
/// the program come again from the file as they are used; what the command line and the config took is free by now.
pub(crate) fn forget_pages() {
    let (start, end) = (&raw const __executable_start, &raw const etext);
    // SAFETY: all of the range is the program's file, mapped privately and never written to. The call cannot lose
    // anything, and its failure costs nothing but memory.
    unsafe { libc::madvise(start.cast_mut().cast(), end.addr() - start.addr(), libc::MADV_DONTNEED) };
    #[cfg(target_env = "gnu")]
    // SAFETY: it asks the allocator to give back what nobody uses.
    unsafe {
        libc::malloc_trim(0)
    };
}
