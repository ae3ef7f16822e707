//! The program `wxcgi`: finds out who started it and hands over.

fn main() {}
