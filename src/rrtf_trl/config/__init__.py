"""What can be set: every option with its type, a composed configuration, and what differs between runs."""
