"""Where the processes of a run are started: on a Ray cluster."""
