"""TLS: the certificate and its renewal, and a transport that is read at ticks as a plain one is."""
