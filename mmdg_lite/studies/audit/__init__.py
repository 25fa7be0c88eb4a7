"""The audit: each discrepancy between paper, released code and this package, in numbers."""
