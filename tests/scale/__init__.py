"""Memory and growth at the size of Amazon Electronics, on synthetic data: `make scale`. No part of the tests."""
