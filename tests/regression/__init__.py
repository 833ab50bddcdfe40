"""The regression check, and the two proofs of it: planted faults turn it red, other seeds leave it green."""
