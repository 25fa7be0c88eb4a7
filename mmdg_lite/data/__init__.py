"""Samples in, batches out: synthetic faces, converted real data, the benchmark's lists and its protocols."""
