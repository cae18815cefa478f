"""Generated from `proto/gateway/v1` by `make proto`; committed, and never edited."""
