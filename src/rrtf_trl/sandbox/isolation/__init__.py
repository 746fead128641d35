"""The isolation layers: namespaces, Landlock, system call filters, limits."""
