"""Records of a topic become valid ratings, or dead letters."""
