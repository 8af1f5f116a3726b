"""exiftool's home: every tag that a file carries, as plain values."""
