"""Flask's home: the pages, and the stable addresses of the tiles."""
