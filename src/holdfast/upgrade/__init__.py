"""The upgrade: the only place where encoders, stores, aligners and measures meet."""
