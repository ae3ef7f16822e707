//! WeChat's protocol as pure functions: no I/O, no clock, no chance but what is passed in.
