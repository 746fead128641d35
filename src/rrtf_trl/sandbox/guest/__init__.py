"""What runs programs: the fork server and its children, which never see a test."""
