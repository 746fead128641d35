"""Shared by guest and judge: data as bytes, the channel, faults."""
