"""Unit tests judged by a SandboxFusion server, for rrtf-trl."""
