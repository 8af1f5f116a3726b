"""The pages and the addresses of the tiles, asked as a browser would, and by a browser."""
