//! House rules as tests: see `tests/it`. There is nothing here to import.
