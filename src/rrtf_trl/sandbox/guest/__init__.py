"""What runs the program: the fork server and its children, who never see a test."""
