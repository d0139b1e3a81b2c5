"""Official annotation files become masks that a reader can open one by one."""
