"""Results of finished runs: tables, paired contrasts, claims and the report. No module here imports torch."""
