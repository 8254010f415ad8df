"""Rectified flow: path, times, loss to train; schedule, solvers, guidance to make. Knows no network."""
