//! The file that `cargo build --release` makes: static, so that it asks nothing of the machine that it runs on.

use std::fs;

use crate::support::program;

/// `e_type` of a program with addresses of its own, as `relocation-model=static` makes it.
const ET_EXEC: u64 = 2;
/// Program headers: what the kernel shall load beside us, and what that needs to link us.
const PT_DYNAMIC: u64 = 2;
const PT_INTERP: u64 = 3;

#[test]
fn nothing_is_loaded_or_relocated_at_the_start() {
    let elf = Elf(fs::read(program()).expect("our program"));
    assert_eq!(
        elf.number(16, 2),
        ET_EXEC,
        "it is position-independent: is it built with .cargo/config.toml?"
    );
    let headers = elf.program_headers();
    assert!(!headers.is_empty());
    assert!(!headers.contains(&PT_INTERP), "it is linked dynamically: is it built with .cargo/config.toml?");
    assert!(!headers.contains(&PT_DYNAMIC));
}

/// An ELF file, see elf(5).
struct Elf(Vec<u8>);

impl Elf {
    /// The types of the program headers.
    fn program_headers(&self) -> Vec<u64> {
        assert!(self.0.starts_with(b"\x7fELF"));
        let is_64_bit = self.number(4, 1) == 2;
        let (start, size) = if is_64_bit { (self.number(32, 8), 54) } else { (self.number(28, 4), 42) };
        let (length, count) = (self.number(size, 2), self.number(size + 2, 2));
        (0..count)
            .map(|index| self.number(usize::try_from(start + index * length).expect("in memory"), 4))
            .collect()
    }

    /// The number in `length` bytes at `offset`, in the order of this machine's bytes, for which the file is.
    fn number(&self, offset: usize, length: usize) -> u64 {
        let bytes = self.0[offset..offset + length].iter().map(|&byte| u64::from(byte));
        let join = |number: u64, byte: u64| number << 8 | byte;
        if cfg!(target_endian = "little") { bytes.rev().fold(0, join) } else { bytes.fold(0, join) }
    }
}
