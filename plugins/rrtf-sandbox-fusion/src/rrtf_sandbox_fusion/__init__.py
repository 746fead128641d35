"""Unit tests run by a SandboxFusion server, for rrtf-trl."""
