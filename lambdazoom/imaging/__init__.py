"""Pillow's home: from a file to pixels, from pixels to tiles. Nothing here knows of stores, the web or exiftool."""
