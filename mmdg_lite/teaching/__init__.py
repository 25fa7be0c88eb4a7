"""Assignments, and the checks that give students instant feedback."""
