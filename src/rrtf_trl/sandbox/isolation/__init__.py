"""What a program is kept in: namespaces, Landlock, system call filters, limits."""
