"""Where bytes are kept: the Store protocol and its implementations, and the watch over a source folder."""
