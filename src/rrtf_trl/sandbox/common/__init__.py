"""What both sides of the sandbox share: data as bytes, the channel, what can go wrong."""
