"""What several test files share: recordings, a tiny CLIP, a toy with three branches."""
