"""Who may connect: keys, scopes, tickets, limits and the audit log."""
