"""What `tierwise init` looks for, and the config that it makes of what it finds."""
