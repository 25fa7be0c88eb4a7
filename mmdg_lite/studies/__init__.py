"""What notebooks 02 to 05, 08 and 09 measure."""
